"""Killing mnas with ``kill -9`` at random moments of its main jobs, and going on.

Jobs: a bench, the build of a latency table, a search with training, and an export, all real and small, on this machine.
Each kill is in a folder of its own, where the device is calibrated already (and a search finds a table), at a moment
drawn evenly over the job's whole length. Judged is what a user finds then:

* the store opens and SQLite's own check passes;
* no file of ours is half there: every JSON, HTML, ONNX and TFLite file under its own name is read whole;
* no process of the job is left;
* the same command (with ``--resume`` where a search has begun) then ends as an undisturbed one does, and what was
  recorded before the kill is still there, unchanged; at the end no temporary file is left.

Kills are added to ``results/parts/crash_safety.jsonl``; with ``--minutes`` the script stops in time, and run again it
goes on. No figure is a latency: run what you like beside it.

    python benchmarks/crash_safety.py --minutes 20 --json benchmarks/results/crash_safety.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _audit_rows import ROWS, Deadline, OutOfTimeError, Rows
from _result import ROOT, write_result

from devices.long_work import IGNORE, VARIABLE
from mnas.seeding import named_rng
from mnas.store import FILE_NAME

PARTS = ROWS.with_name("crash_safety.jsonl")
PART, KEY = "kill", "1"
KILLS = 200
GIVE_UP_S, GONE_S = 600.0, 10.0
MARK = "MNAS_CRASH_MARK"
RECORDS = {"event": "kind, key, payload_json", "lut_visit": "*", "bench_run_visits": "*"}
"""Tables that are only ever added to, and what of a row must stay."""

TARGETS = {
    "kills": (">=", float(KILLS)),
    "stores_damaged": ("==", 0.0),
    "half_files": ("==", 0.0),
    "stray_processes": ("==", 0.0),
    "records_lost": ("==", 0.0),
    "not_gone_on": ("==", 0.0),
    "temporary_files_left": ("==", 0.0),
}


@dataclass(frozen=True)
class Job:
    """One of the main jobs.

    Attributes:
        name: Of it.
        words: Of its command.
        first: Commands that make its folder ready.
        can_resume: Whether ``--resume`` goes on with it; else the same command does.
    """

    name: str
    words: tuple[str, ...]
    first: tuple[tuple[str, ...], ...] = ()
    can_resume: bool = False

    def command(self, folder: Path, *, is_again: bool = False) -> list[str]:
        """Return the command for an output folder."""
        more = ["-q"] if self.words[0] != "devices" else []
        more += ["--resume", ""] if is_again and self.can_resume and _has_study(folder) else []
        more += ["--force"] if is_again and self.name == "export" else []
        return [sys.executable, "-m", "mnas", *self.words, *more, "--out", str(folder), "-o", os.devnull]


_CALIBRATED = ("devices", "calibrate", "--device", "host:ort")
_LUT = tuple("lut build --preset digits --rounds 3 --calibration 3 --validation 3".split())
JOBS = (
    Job(
        "bench", tuple("bench mobilenetv3-small@32 mobilenetv2@32 --device host:ort --rounds 8".split()), (_CALIBRATED,)
    ),
    Job("lut build", (*_LUT, "--resolution", "8"), (_CALIBRATED,)),
    Job(
        "search",
        (
            *"search --data digits --preset digits --training small --budget 4 --population 2 --finalists 2".split(),
            *"--finalist-seeds 1 --lut-rounds 3 --lut-calibration 3 --lut-validation 3 --workers 1".split(),
        ),
        (_LUT,),
        can_resume=True,
    ),
    Job("export", tuple("export mobilenetv3-small --px 96 --to both".split())),
)


def _has_study(folder: Path) -> bool:
    """Return whether there is a study to go on with."""
    rows = _query(folder, "SELECT count(*) FROM study WHERE status = 'running'")
    return bool(rows and rows[0][0])


def _query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    path = folder / FILE_NAME
    if not path.exists():
        return []
    store = sqlite3.connect(path)
    try:
        return store.execute(sql).fetchall()
    except sqlite3.OperationalError:  # that table is not made yet
        return []
    finally:
        store.close()


def is_damaged(folder: Path) -> bool:
    """Return whether SQLite finds a fault in the store."""
    try:
        rows = _query(folder, "PRAGMA integrity_check")
    except sqlite3.DatabaseError:
        return True
    return rows not in ([], [("ok",)])


def records(folder: Path) -> set[str]:
    """Return every row that must outlive a kill, as text."""
    return {
        f"{table} {row}"
        for table, columns in RECORDS.items()
        for row in _query(folder, f"SELECT {columns} FROM {table}")
    }


def half_files(folder: Path) -> list[str]:
    """Return the files under their own names that cannot be read whole."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file() and _is_half(path)]


def _is_half(path: Path) -> bool:
    if path.name.startswith("."):
        return False  # a temporary file, which is nobody's
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".html":
            return not path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        elif path.suffix == ".onnx":
            import onnx

            onnx.checker.check_model(onnx.load(path))
        elif path.suffix == ".tflite":
            from mnas.export.litert import load_interpreter_class

            load_interpreter_class()(model_path=str(path)).allocate_tensors()
    except Exception:  # whatever a reader says of half a file
        return True
    return False


def marked(mark: str) -> list[int]:
    """Return the living processes of a job, by what they inherited."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found


def start(job: Job, folder: Path, mark: str, *, is_again: bool = False) -> subprocess.Popen[bytes]:
    """Start a job."""
    environment = {**os.environ, MARK: mark, VARIABLE: IGNORE, "MNAS_ADB": "none", "PYTHONPATH": str(ROOT)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        job.command(folder, is_again=is_again), cwd=ROOT, env=environment, stdout=quiet, stderr=quiet
    )


def make_ready(job: Job, folder: Path) -> Path:
    """Run what comes before a job, once, and return the folder that each kill gets a copy of."""
    folder.mkdir(parents=True, exist_ok=True)
    for words in job.first:
        before = Job(job.name, words)
        if status := start(before, folder, "first").wait(GIVE_UP_S):
            raise SystemExit(f"{' '.join(words)} failed with status {status}")
    return folder


def length_s(job: Job, ready: Path) -> float:
    """Return how long an undisturbed job takes."""
    with tempfile.TemporaryDirectory(prefix="mnas-crash-") as place:
        folder = Path(shutil.copytree(ready, Path(place) / "out"))
        started = time.monotonic()
        status = start(job, folder, "whole").wait(GIVE_UP_S)
        if status not in (0, 5):
            raise SystemExit(f"{job.name} itself failed with status {status}")
        return time.monotonic() - started


def crash(job: Job, ready: Path, after_s: float) -> dict[str, Any] | None:
    """Kill a job after so long, look at what is there, and go on; ``None`` where it was over by then."""
    with tempfile.TemporaryDirectory(prefix="mnas-crash-") as place:
        folder, mark = Path(shutil.copytree(ready, Path(place) / "out")), uuid.uuid4().hex
        process = start(job, folder, mark)
        try:
            process.wait(after_s)
            return None
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        until = time.monotonic() + GONE_S
        while (strays := marked(mark)) and time.monotonic() < until:
            time.sleep(0.1)
        for pid in strays:
            os.kill(pid, signal.SIGKILL)
        found = {"damaged": is_damaged(folder), "half": half_files(folder), "strays": len(strays)}
        before = records(folder)
        status = start(job, folder, mark, is_again=True).wait(GIVE_UP_S)
        left = [path.name for path in folder.rglob(".*") if path.is_file()]
        return found | {
            "records": len(before),
            "lost": len(before - records(folder)),
            "exit": status,
            "is_good": not is_damaged(folder) and not half_files(folder),
            "temporary": left,
        }


def run(rows: Rows, kills: int, deadline: Deadline, work: Path) -> None:
    """Make the kills that are lacking, the jobs in turn.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    done = {row["number"] for row in rows.of(PART, KEY)}
    ready: dict[str, Path] = {}
    lengths: dict[str, float] = {}
    for number in range(kills):
        if number in done:
            continue
        deadline.check(f"{kills - number} kills or fewer")
        job, rng = JOBS[number % len(JOBS)], named_rng(number, "moment of the crash")
        if job.name not in ready:
            ready[job.name] = make_ready(job, work / job.name.replace(" ", "-"))
            lengths[job.name] = length_s(job, ready[job.name])
        found, late = None, -1
        while found is None:
            late += 1
            share = float(rng.random())
            found = crash(job, ready[job.name], share * lengths[job.name])
        row = rows.add(PART, KEY, number=number, job=job.name, share=share, late=late, **found)
        print(json.dumps(row), file=sys.stderr)


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return sums over all kills."""
    shares = [row["share"] for row in rows]
    return {
        "kills": len(rows),
        "stores_damaged": sum(row["damaged"] for row in rows),
        "half_files": sum(len(row["half"]) for row in rows),
        "stray_processes": sum(row["strays"] for row in rows),
        "records_lost": sum(row["lost"] for row in rows),
        "not_gone_on": sum(row["exit"] not in (0, 5) or not row["is_good"] for row in rows),
        "temporary_files_left": sum(len(row["temporary"]) for row in rows),
        "share_of_the_job_quantiles": [float(one) for one in np.quantile(shares, (0, 0.25, 0.5, 0.75, 1))],
        "records_kept": sum(row["records"] for row in rows),
        "kills_of": {job.name: sum(row["job"] == job.name for row in rows) for job in JOBS},
    }


def main() -> int:
    """Kill, judge and write; 0 when every target is met, 5 when time ran out before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, default=None, help="file for the figures")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so many; run again to go on")
    parser.add_argument("--kills", type=int, default=KILLS)
    options = parser.parse_args()
    rows = Rows(PARTS)
    try:
        with tempfile.TemporaryDirectory(prefix="mnas-crash-ready-") as work:
            run(rows, options.kills, Deadline(options.minutes), Path(work))
    except OutOfTimeError as error:
        print(f"out of time, left: {error}; run again to go on", file=sys.stderr)
        return 5
    figures = figures_of(rows.of(PART, KEY))
    return 0 if write_result("crash_safety", figures, TARGETS, [0], options.json) else 1


if __name__ == "__main__":
    sys.exit(main())
