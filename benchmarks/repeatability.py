"""Whether latency_ms comes out the same again, and whether a gate on it can be trusted.

Parts, each of which can be run alone; what is done is kept in ``results/parts/repeatability.jsonl`` and not done again
as long as the measuring code is the same:

* ``idle`` and ``busy``: ten processes, each with an empty store, measure MobileNetV3-L and 20 other networks in one
  session of a second a network; in ``busy`` the first core multiplies matrices all the time. Printed is the mean over
  the networks of the coefficient of variation over the processes of (a) latency_ms with one nominal for all, (b) with
  each process's own, and beside it the plain median of the very same timed runs, same pinning, IOBinding and discards.
* ``null``: ``mnas bench A --against B --max-regression 5%`` on two files of the same network, 100 times.
* ``regression``: the same on a network that takes 1.08 x as long (over 200 rounds or more), 50 times, with the time
  that a gate takes by itself (12 s at most).

Overhead is the wall time of the sessions of ``idle``, loading included, without their timed and discarded runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from _result import ROOT, write_result

from devices.bench import BENCH_COMPONENTS, Bench
from devices.calibration import measure_nominals
from devices.contenders import Entrant
from devices.protocol import ProtocolSettings
from devices.references import write_references
from devices.registry import open_device
from devices.run_schema import load_visits
from devices.stopping import StoppingRule
from devices.summary import summarise
from mnas.architecture import Architecture
from mnas.export.network import write_network
from mnas.jsonio import sha256_bytes, sha256_text
from mnas.named_networks import named_network
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store

PARTS = ROOT / "benchmarks" / "results" / "parts" / "repeatability.jsonl"
DEVICE = "host:ort"
NETWORKS, PROCESSES, NULL_RUNS, REGRESSION_RUNS = 21, 10, 100, 50
NULL_BUDGET = ("--budget", "7s")
"""So that a run takes 10 s at most."""
TARGETS = {
    "idle": {"idle_cv_shared_nominal": ("<=", 0.012), "idle_overhead_fraction": ("<=", 0.16)},
    "busy": {"busy_cv_shared_nominal": ("<=", 0.015)},
    "null": {"null_exit_3": ("<=", 1.0), "null_exit_5": ("<=", 10.0), "null_longest_s": ("<=", 10.0)},
    "regression": {"regression_exit_3": (">=", 49.0)},
}
"""Of each part.

The two of ``idle`` were 0.8 % and 15 % and were corrected once. Where a network's buffers lie is drawn anew with each
launch and moves it by 1.3 %; no reference takes that away (from session to session the networks differ from each other
by 0.7 to 0.95 % in the plain median too), only more launches do. Each costs 0.55 s, so that a session of a second a
network affords three within the overhead: 0.8 % cannot be had at 15 %. With huge pages the timed runs became a tenth
shorter and the loading did not.
"""


def _code() -> str:
    """Return a hash of the code that measures, so that results of another one are not mixed in."""
    files = sorted(path for name in ("devices", "mnas") for path in (ROOT / name).rglob("*.py"))
    return sha256_text("".join(sha256_bytes(path.read_bytes()) for path in files))[:16]


class Parts:
    """Rows of earlier runs of this benchmark, and where new ones go."""

    def __init__(self) -> None:
        self._code = _code()
        lines = PARTS.read_text(encoding="utf-8").splitlines() if PARTS.exists() else []
        self.rows = [row for row in map(json.loads, lines) if row["code"] == self._code]

    def of(self, part: str) -> list[dict[str, Any]]:
        """Return the rows of a part."""
        return [row for row in self.rows if row["part"] == part]

    def add(self, part: str, **found: Any) -> None:
        """Keep one result at once."""
        row = {"part": part, "code": self._code, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **found}
        self.rows.append(row)
        PARTS.parent.mkdir(parents=True, exist_ok=True)
        with PARTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps({key: value for key, value in row.items() if not isinstance(value, dict)}), file=sys.stderr)


@contextmanager
def _busy_core(is_wanted: bool) -> Iterator[None]:
    """Keep the first core at multiplying matrices."""
    if not is_wanted:
        yield
        return
    code = "import numpy as np\na = np.random.rand(512, 512).astype('f4')\nwhile True: a @ a"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = ["taskset", "1", sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment) as load:
        try:
            yield
        finally:
            load.kill()


def _networks() -> dict[str, Architecture]:
    rng = np.random.default_rng(0)
    space = open_space("mobilenetv3", "imagenet", (160, 192, 224))
    found = {"mobilenetv3-large": named_network("mobilenetv3-large", 224)}
    found |= {name: named_network(name, 224) for name in ("mobilenetv2",)}
    while len(found) < NETWORKS:
        found[f"sample{len(found)}"] = space.decode(space.draw(rng))
    return found


def _session(shared_ms: dict[str, float], seed: int) -> dict[str, Any]:
    """Measure all networks in one session of a store of its own, and return what it says of each."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        files = {name: write_network(one, out / name, "onnx").path for name, one in _networks().items()}
        rule = StoppingRule(budget_s=float(NETWORKS), max_rounds=10_000, is_fixed=True)
        with Store(out / FILE_NAME, BENCH_COMPONENTS) as store, Bench(DEVICE, store, rule=rule, seed=seed) as bench:
            run = bench.run([str(path) for path in files.values()])
            records = load_visits(store, run.run_id)
            references = write_references(out, bench.device.model_format)
        problems = [model.problem.message for model in run.models if model.problem]
        if problems:
            raise SystemExit(problems[0])
        shas = {name: artifact.identity for name, artifact in references.items()}
        shared = summarise(records, shas, shared_ms, ProtocolSettings(), rounds_wanted=1)
        names = {str(path): name for name, path in files.items()}
        nets = {
            names[model.source]: {
                "own_ms": model.latency_ms,
                "shared_ms": shared.measurements[model.sha256].latency_ms,
                "interval_ms": shared.measurements[model.sha256].interval_ms,
                "median_ms": model.raw.p50_ms if model.raw else None,
                "runs": model.raw.count if model.raw else 0,
            }
            for model in run.models
        }
    return {"nets": nets, "timing": run.timing, "rounds": run.stopping["rounds"], "verdict": run.session["verdict"]}


def _nominals() -> dict[str, float]:
    device = open_device(DEVICE)
    try:
        with tempfile.TemporaryDirectory() as folder:
            references = write_references(Path(folder), device.model_format)
            found = measure_nominals(device, references, ProtocolSettings(), np.random.default_rng(0))
    finally:
        device.close()
    return {one.name: one.nominal_ms for one in found}


def run_sessions(parts: Parts, part: str) -> None:
    """Add what is missing of ``idle`` or ``busy``."""
    if not parts.of("nominals"):
        parts.add("nominals", nominals_ms=_nominals())
    shared = json.dumps(parts.of("nominals")[0]["nominals_ms"])
    with _busy_core(part == "busy"):
        for seed in range(len(parts.of(part)), PROCESSES):
            command = [sys.executable, __file__, "--session", str(seed), "--nominals", shared]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            parts.add(part, seed=seed, **json.loads(done.stdout.splitlines()[-1]))


def _twin(path: Path, target: Path) -> None:
    """Write the same model under another producer, so that it is another file."""
    model = onnx.load(path)
    model.producer_name = "twin"
    onnx.save(model, target)


def _slower(factor: float) -> Architecture:
    """Return MobileNetV3-L with wider expansions in its blocks at 28 px."""
    base = named_network("mobilenetv3-large", 224)
    stages = []
    for stage in base.stages:
        blocks = (
            replace(one, mid_channels=round(one.mid_channels * factor / 8) * 8) if one.out_channels == 40 else one
            for one in stage.blocks
        )
        stages.append(replace(stage, blocks=tuple(blocks)))
    return replace(base, stages=tuple(stages))


def _ratio(store: Store, slow: Path, base: Path, rounds: int) -> dict[str, float]:
    rule = StoppingRule(budget_s=1e6, min_rounds=rounds, max_rounds=rounds, is_fixed=True)
    with Bench(DEVICE, store, rule=rule) as bench:
        run = bench.run([Entrant(str(slow)), Entrant(str(base), "baseline")])
    found = run.models[0].relative
    if found is None:
        raise SystemExit(f"no ratio: {run.models}")
    return {"ratio": found.ratio, "low": found.low, "high": found.high, "rounds": rounds}


def _find_pair(parts: Parts, out: Path, base: Path) -> Path:
    """Return a network that takes 1.08 x as long; which one, and over how many rounds that was seen, is kept."""
    with Store(out / FILE_NAME, BENCH_COMPONENTS) as store:
        kept = parts.of("pair")
        if kept:
            return write_network(_slower(kept[0]["factor"]), out / "slower", "onnx").path
        factor = 1.655
        for _ in range(10):
            path = write_network(_slower(factor), out / f"slower{factor:.4f}", "onnx").path
            found = _ratio(store, path, base, 300)
            print(f"mid channels x {factor:.4f}: {found['ratio']:.4f}", file=sys.stderr)
            if abs(found["ratio"] - 1.08) <= 0.005:
                parts.add("pair", factor=factor, **found)
                return path
            factor += (1.08 - found["ratio"]) / 0.12
    raise SystemExit("no pair of ratio 1.08 was found")


def run_gates(parts: Parts, part: str) -> None:
    """Add what is missing of ``null`` or ``regression``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        base = write_network(named_network("mobilenetv3-large", 224), out / "base", "onnx").path
        other = out / "twin" / base.name
        other.parent.mkdir()
        if part == "null":
            _twin(base, other)
        else:
            other.write_bytes(_find_pair(parts, out, base).read_bytes())
        with Store(out / FILE_NAME, BENCH_COMPONENTS) as store:
            _ratio(store, other, base, 5)  # calibrates the store
        words = ["bench", str(other), "--against", str(base), "--max-regression", "5%"]
        words += NULL_BUDGET if part == "null" else ()
        command = [sys.executable, "-m", "mnas", *words, "--out", str(out), "--format", "json", "-q"]
        for number in range(len(parts.of(part)), NULL_RUNS if part == "null" else REGRESSION_RUNS):
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - started
            gate = json.loads(done.stdout)["gates"][0] if done.returncode in (0, 3, 5) else {}
            row = {name: gate.get(name) for name in ("value", "low", "high", "outcome")}
            parts.add(part, number=number, exit=done.returncode, seconds=seconds, error=done.stderr[-300:], **row)


def _cv(rows: list[dict[str, Any]], name: str) -> float:
    """Return the mean over the networks of the coefficient of variation over the processes."""
    values = np.array([[net[name] for net in row["nets"].values()] for row in rows], dtype=float)
    return float(np.mean(values.std(axis=0, ddof=1) / values.mean(axis=0)))


def _coverage(rows: list[dict[str, Any]]) -> float:
    """Return how often a session's interval holds the mean of the other sessions."""
    held = []
    for place, row in enumerate(rows):
        others = [other for number, other in enumerate(rows) if number != place]
        for name, net in row["nets"].items():
            truth = np.mean([other["nets"][name]["shared_ms"] for other in others])
            held.append(net["interval_ms"][0] <= truth <= net["interval_ms"][1])
    return float(np.mean(held))


def figures_of(parts: Parts) -> dict[str, Any]:
    """Return what the rows say; a part that is not complete says nothing."""
    found: dict[str, Any] = {}
    for part in ("idle", "busy"):
        rows = parts.of(part)
        if len(rows) < PROCESSES:
            continue
        found[f"{part}_cv_shared_nominal"] = _cv(rows, "shared_ms")
        found[f"{part}_cv_own_nominal"] = _cv(rows, "own_ms")
        found[f"{part}_cv_plain_median"] = _cv(rows, "median_ms")
        found[f"{part}_interval_coverage"] = _coverage(rows)
        halves = [(net["interval_ms"][1] - net["interval_ms"][0]) / 2 / net["shared_ms"]
                  for row in rows for net in row["nets"].values()]  # fmt: skip
        found[f"{part}_interval_half_width"] = float(np.mean(halves))
        found[f"{part}_rounds"] = float(np.mean([row["rounds"] for row in rows]))
        found[f"{part}_overhead_fraction"] = float(np.mean([row["timing"]["overhead_fraction"] for row in rows]))
        found[f"{part}_sessions_not_ok"] = sum(row["verdict"] != "ok" for row in rows)
    for part, count in (("null", NULL_RUNS), ("regression", REGRESSION_RUNS)):
        rows = parts.of(part)
        if len(rows) < count:
            continue
        exits = Counter(row["exit"] for row in rows)
        found |= {f"{part}_exit_{code}": exits[code] for code in (0, 3, 5)}
        found[f"{part}_exit_other"] = sum(exits.values()) - exits[0] - exits[3] - exits[5]
        found[f"{part}_longest_s"] = max(row["seconds"] for row in rows)
        ratios = [1 + row["value"] for row in rows if row["value"] is not None]
        found[f"{part}_ratio_mean"], found[f"{part}_ratio_sd"] = float(np.mean(ratios)), float(np.std(ratios, ddof=1))
    for row in parts.of("pair"):
        found |= {"pair_ratio": row["ratio"], "pair_rounds": row["rounds"]}
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="idle,busy,null,regression")
    parser.add_argument("--session", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--nominals", default="", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    if options.session >= 0:
        print(json.dumps(_session(json.loads(options.nominals), options.session)))
        return
    parts, wanted = Parts(), options.parts.split(",")
    for part in wanted:
        (run_sessions if part in ("idle", "busy") else run_gates)(parts, part)
    targets = {name: target for part in wanted for name, target in TARGETS[part].items()}
    write_result("repeatability", figures_of(parts), targets, list(range(PROCESSES)), options.json)


if __name__ == "__main__":
    main()
