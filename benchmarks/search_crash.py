"""Killing a study on a table with ``kill -9`` at random moments, and going on with it.

Claims: the front is that of the uninterrupted study each time, and its record holds every evaluation once: nothing that
was recorded before the kill is lost or changed, and nothing is recorded twice. Each kill is of a study of its own, run
by the command. A moment is a number of recorded evaluations, uniform over the budget, and up to 20 ms; one at which the
study is over already is drawn again and counted.

    python benchmarks/search_crash.py --table $MNAS_TEST_DATA/TABLE.json --objectives top1:max,latency_ms:min \
        --json benchmarks/results/search_crash.json

Kills are added to ``results/parts/search_crash.jsonl``; with ``--minutes`` the script stops in time, and run again it
goes on.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from _result import ROOT, write_result

from mnas.jsonio import sha256_bytes
from mnas.seeding import named_rng
from mnas.store import FILE_NAME, Store
from search.schema import SEARCH

PARTS = Path(__file__).parent / "results" / "parts" / "search_crash.jsonl"
COMPARED = ("evaluated", "generation", "front")
SEEDS = 4
DRAWS, DELAY_S = 20, 0.02
TARGETS = {
    "kills": (">=", 100.0),
    "fronts_that_differ": ("==", 0.0),
    "evaluations_lost": ("==", 0.0),
    "evaluations_doubled": ("==", 0.0),
    "records_that_differ": ("==", 0.0),
}
Events = dict[tuple[str, str], tuple[int, str]]


def recorded(folder: Path) -> int:
    """Return how many evaluations the store has, -1 where it has no study yet; never writes into it."""
    try:
        store = sqlite3.connect(f"file:{folder / FILE_NAME}?mode=ro", uri=True)
        try:
            if not store.execute("SELECT 1 FROM study").fetchone():
                return -1
            return int(store.execute("SELECT count(*) FROM event WHERE kind = 'evaluated'").fetchone()[0])
        finally:
            store.close()
    except sqlite3.OperationalError:
        return -1


def events_of(folder: Path) -> Events:
    """Return sequence and payload of what is compared, by kind and key."""
    with Store(folder / FILE_NAME, (SEARCH,)) as store:
        rows = store.query("SELECT kind, key, sequence, payload_json FROM event ORDER BY sequence")
    return {
        (row["kind"], row["key"]): (row["sequence"], row["payload_json"]) for row in rows if row["kind"] in COMPARED
    }


def status_of(folder: Path) -> str:
    """Return the study's status."""
    with Store(folder / FILE_NAME, (SEARCH,)) as store:
        return str(store.query("SELECT status FROM study")[0]["status"])


def differing(one: Events, other: Events, kinds: Sequence[str] = COMPARED) -> int:
    """Return how many events of some kinds only one of the two has, or has otherwise."""
    first, second = ({key: event[1] for key, event in of.items() if key[0] in kinds} for of in (one, other))
    return sum(first.get(key) != second.get(key) for key in first.keys() | second.keys())


@dataclass
class Study:
    """A study as the command runs it, and what comes of it uninterrupted."""

    words: list[str]
    algorithm: str
    seed: int
    too_late: int = field(default=0, init=False)

    def command(self, folder: Path, *more: str) -> list[str]:
        """Return the command for an output folder."""
        return [sys.executable, "-m", "mnas", "study", "run", *more, "--out", str(folder), "-q", "-o", "/dev/null"]

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start it in a new folder."""
        mine = ("--algorithm", self.algorithm, "--seeds", str(self.seed))
        return subprocess.Popen(self.command(folder, *self.words, *mine), cwd=ROOT)

    @cached_property
    def uninterrupted(self) -> Events:
        """Its record when nothing disturbs it."""
        with tempfile.TemporaryDirectory(prefix="mnas-crash-") as place:
            status = self.start(Path(place)).wait()
            events = events_of(Path(place))
        if status or not events:
            raise SystemExit(f"the study itself failed with status {status}")
        return events

    def kill_once(self, evaluations: int, delay_s: float, folder: Path) -> Events | None:
        """Kill it that long after so many evaluations, and return its record; None where it was over by then."""
        process = self.start(folder)
        while process.poll() is None and recorded(folder) < evaluations:
            time.sleep(0.001)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        status = process.wait()
        if status == -signal.SIGKILL and status_of(folder) == "running":
            return events_of(folder)
        self.too_late += 1
        return None

    def crash(self, budget: int, rng: np.random.Generator) -> dict[str, Any]:
        """Kill it at a random moment, go on with it, and return what became of it."""
        whole = self.uninterrupted
        for _ in range(DRAWS):
            with tempfile.TemporaryDirectory(prefix="mnas-crash-") as place:
                folder = Path(place)
                before = self.kill_once(int(rng.integers(budget)), float(rng.uniform(0, DELAY_S)), folder)
                if before is None:
                    continue
                resumed = subprocess.run(self.command(folder, "--resume", ""), cwd=ROOT, check=False)
                after, status = events_of(folder), status_of(folder)
            return {"exit": resumed.returncode, "status": status} | judged(whole, before, after)
        raise SystemExit(f"{DRAWS} moments in a row were none of the study")


def judged(whole: Events, before: Events, after: Events) -> dict[str, Any]:
    """Return what a kill has done to a record.

    Args:
        whole: Of the uninterrupted study.
        before: As it was when the process was dead.
        after: As it is at the end.
    """
    numbers = [json.loads(payload)["number"] for (kind, _), (_, payload) in after.items() if kind == "evaluated"]
    return {
        "evaluated_before": sum(kind == "evaluated" for kind, _ in before),
        "evaluated": len(numbers),
        "lost": sum(after.get(key) != event for key, event in before.items()),
        "doubled": len(numbers) - len(set(numbers)),
        "front_differs": differing(whole, after, ("front",)),
        "record_differs": differing(whole, after),
    }


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return sums over all kills."""
    kept = [row["evaluated_before"] for row in rows]
    return {
        "kills": len(rows),
        "fronts_that_differ": sum(row["front_differs"] > 0 for row in rows),
        "records_that_differ": sum(row["record_differs"] > 0 for row in rows),
        "evaluations_lost": sum(row["lost"] for row in rows),
        "evaluations_doubled": sum(row["doubled"] for row in rows),
        "not_finished": sum(row["status"] != "finished" or row["exit"] != 0 for row in rows),
        "evaluations_at_kill_least": min(kept, default=0),
        "evaluations_at_kill_median": float(np.median(kept)) if kept else 0.0,
        "evaluations_at_kill_most": max(kept, default=0),
        "moments_after_the_study": sum(row["too_late"] for row in rows),
        "algorithms": sorted({row["algorithm"] for row in rows}),
    }


def main() -> int:
    """Kill, judge and write; 0 when every target is met, 5 when time ran out before."""
    options = _options()
    key = {"table": sha256_bytes(options.table.read_bytes())[:12], "budget": options.budget}
    rows = [row for row in _read(options.parts) if row["key"] == key]
    words = ["--table", str(options.table.resolve()), "--objectives", options.objectives]
    words += ["--budget", str(options.budget)]
    names = options.algorithms.split(",")
    studies = {(name, seed): Study(words, name, seed) for name in names for seed in range(SEEDS)}
    end = time.monotonic() + 60 * options.minutes
    for number in range(len(rows), options.kills):
        if time.monotonic() > end:
            print(f"out of time after {len(rows)} kills; run again to go on", file=sys.stderr)
            return 5
        study = studies[names[number % len(names)], number // len(names) % SEEDS]
        study.too_late = 0
        found = study.crash(options.budget, named_rng(number, "moment of the kill"))
        rows.append({"key": key, "kill": number, "algorithm": study.algorithm, "seed": study.seed} | found)
        rows[-1] |= {"too_late": study.too_late}
        options.parts.parent.mkdir(parents=True, exist_ok=True)
        with options.parts.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(f"kill {number}: {json.dumps(found)}", file=sys.stderr)
    return 0 if write_result("search_crash", figures_of(rows), TARGETS, list(range(SEEDS)), options.json) else 1


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV or JSON of networks")
    parser.add_argument("--objectives", required=True, help="such as top1:max,latency_ms:min")
    parser.add_argument("--algorithms", default="nsga2,surrogate,ppo", help="names by commas, in turn")
    parser.add_argument("--budget", type=int, default=200, help="evaluations of a study")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many; run again to go on")
    parser.add_argument("--parts", type=Path, default=PARTS, help="kills that were made already")
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
