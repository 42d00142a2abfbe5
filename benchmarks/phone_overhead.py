"""What the harness adds on a phone: time a launch, time to stage models, time to a first number; and what cuts cost.

All on a software phone (tests/software_phone; root on Debian), whose shell, adbd and adb server are real: simulated, no
figure is a physical phone's. Parts, each of which can be run alone; what is done is kept in
``results/parts/phone_overhead.jsonl`` and not done again as long as the code is the same:

* ``overhead``: 100 models of 0.5 to 5 MB and a runner that returns at once. Harness time of a launch is the wall time
  of the batch without the runner's own, which a bare loop on the phone takes for the same launches. Staging is `load`,
  beside one ``adb push`` of all files and the phone's own ``sha256sum`` over them. The naive way is an ``adb push`` and
  an ``adb shell taskset MASK RUNNER`` for each model. All in each repeat, in changing order.
* ``cuts``: campaigns of 200 launches of 200 models, in each of which the link is cut at 50 random moments spread over
  the launches, and at 3 while the models are staged: every launch has one valid result and nothing is left on the
  phone.
* ``first_number``: ``mnas bench`` as a process, on a phone that has nothing yet and was never calibrated, without its
  timed session and the visits of the calibration.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _phone import (
    NOTE,
    CountingProxy,
    Moments,
    Rig,
    count_results,
    cutting_bytes,
    remains,
    rig,
    write_models,
)
from _phone_figures import BATCHES, cut_figures, first_figures, overhead_figures
from _result import ROOT, write_result

from devices.adb.device import AdbDevice
from devices.adb.launches import job_of
from devices.adb.quoting import join_words
from devices.adb.staging import CACHE_DIR
from devices.measurement import SampleEvent, Visit
from devices.runners.dialect import dialect_of
from mnas.errors import MnasError
from mnas.export.artifact import ModelArtifact
from mnas.export.network import write_network
from mnas.jsonio import sha256_bytes, sha256_text
from mnas.named_networks import named_network

PARTS = ROOT / "benchmarks" / "results" / "parts" / "phone_overhead.jsonl"
SMALLEST, LARGEST = 500_000, 5_000_000
RUNS, WARMUP = 5, 2
_OWN_LAUNCHES = 1000
"""The phone's clock tells hundredths of a second."""

PUSHED, NAIVE = "/data/local/tmp/pushed", "/data/local/tmp/naive"
TARGETS = {
    "overhead": {
        "harness_ms_per_launch": ("<=", 10.0),
        "staging_over_push": ("<=", 1.3),
        "round_trips_of_largest_batch": ("<=", 2.0),
    },
    "cuts": {
        "cuts_share_valid": (">=", 1.0),
        "cuts_fewest_in_a_campaign": (">=", 50.0),
        "cuts_missing": ("<=", 0.0),
        "cuts_twice": ("<=", 0.0),
        "cuts_left_on_phone": ("<=", 0.0),
    },
    "first_number": {"first_number_beyond_run_s": ("<=", 10.0)},
}
"""Of each part."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is; a trial run has less."""

    models: int = 100
    repeats: int = 7
    launches: int = 200
    cuts: int = 50
    staging_cuts: int = 3
    campaigns: int = 5
    first_numbers: int = 5


TRIAL = Size(models=10, repeats=2, launches=40, cuts=3, staging_cuts=1, campaigns=1, first_numbers=1)


class Parts:
    """Rows of earlier runs of this benchmark with the same code and size, and where new ones go.

    Args:
        size: Of this run.
        is_kept: A trial run's rows are not.
    """

    def __init__(self, size: Size, is_kept: bool) -> None:
        self.size, self._is_kept = size, is_kept
        self._key = {"code": _code(), "size": asdict(size)}
        lines = PARTS.read_text(encoding="utf-8").splitlines() if is_kept and PARTS.exists() else []
        self._rows = [row for row in map(json.loads, lines) if {name: row[name] for name in self._key} == self._key]

    def of(self, part: str) -> list[dict[str, Any]]:
        """Return the rows of a part."""
        return [row for row in self._rows if row["part"] == part]

    def add(self, part: str, **found: Any) -> None:
        """Keep one result at once."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        row = {"part": part, **self._key, "at": at, "is_simulated": True, **found}
        self._rows.append(row)
        if self._is_kept:
            PARTS.parent.mkdir(parents=True, exist_ok=True)
            with PARTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        print(f"simulated, {part}: {json.dumps(found)}", file=sys.stderr, flush=True)


def _code() -> str:
    """Return a hash of the code that measures and of the phone, so that results of another one are not mixed in."""
    folders = [ROOT / "devices", ROOT / "mnas", ROOT / "tests" / "software_phone"]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".c", ".h", ".sh")]
    files += [
        ROOT / "benchmarks" / name for name in ("phone_overhead.py", "_phone.py", "_phone_figures.py", "_timed_mnas.py")
    ]
    return sha256_text("".join(sha256_bytes(path.read_bytes()) for path in sorted(files)))[:16]


def run_overhead(parts: Parts) -> None:
    """Add the repeats that are missing of ``overhead``."""
    size, done = parts.size, len(parts.of("overhead"))
    if done >= size.repeats:
        return
    with rig(storage_mb=1024) as one:
        rng = np.random.default_rng(0)
        sizes = np.linspace(SMALLEST, LARGEST, size.models).astype(int).tolist()
        models = write_models(one.folder / "models", sizes, rng)
        for repeat in range(done, size.repeats):
            found: dict[str, Any] = {}
            for place in range(len(_WAYS)):
                one.phone.reset()
                found |= _WAYS[(place + repeat) % len(_WAYS)](one, models, repeat)
            parts.add("overhead", repeat=repeat, megabytes=sum(model.size_bytes for model in models) / 1e6, **found)


def _harness_way(one: Rig, models: Sequence[ModelArtifact], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    with one.open() as device:
        opening_s, before = time.perf_counter() - started, device.round_trips
        started = time.perf_counter()
        errors = device.load(models)
        staging_s, staging_trips = time.perf_counter() - started, device.round_trips - before
        if errors:
            raise SystemExit(f"not staged: {errors}")
        own_ms = [_own_ms(device, models)]
        batches = {str(count): _batch(device, models, count, rng) for count in rng.permutation(BATCHES).tolist()}
        own_ms.append(_own_ms(device, models))
    return {
        "opening_s": opening_s,
        "staging_s": staging_s,
        "staging_round_trips": staging_trips,
        "own_ms": float(np.mean(own_ms)),
        "batches": batches,
    }


def _batch(device: AdbDevice, models: Sequence[ModelArtifact], count: int, rng: np.random.Generator) -> dict[str, Any]:
    order = [int(place) for turn in range(-(-count // len(models))) for place in rng.permutation(len(models))]
    visits = [Visit(models[place], RUNS, WARMUP) for place in order[:count]]
    before, started = device.round_trips, time.perf_counter()
    events = list(device.run(visits))
    wall_s = time.perf_counter() - started
    errors = [event.error for event in events if event.error]
    if errors or len(events) != count:
        raise SystemExit(f"{len(events)} of {count} launches, errors: {errors[:3]}")
    return {"wall_ms_per_launch": wall_s / count * 1e3, "round_trips": device.round_trips - before}


def _commands(runner: str, paths: Sequence[str]) -> Iterator[list[str]]:
    dialect = dialect_of("tflite")
    for place, path in enumerate(paths):
        job = job_of(
            path,
            RUNS,
            WARMUP,
            place=place,
            dialect=dialect,
            threads=1,
            delegate=dialect.default_delegate,
            deadline_s=60,
        )
        yield dialect.command(runner, job.request)


def _own_ms(device: AdbDevice, models: Sequence[ModelArtifact]) -> float:
    """Return what a launch of the runner takes on the phone by itself: started by a bare loop, on the same cores."""
    runner = f"{CACHE_DIR}/{device.info.runner_sha256}"
    commands = _commands(runner, [f"{CACHE_DIR}/{model.sha256}" for model in models])
    turns = -(-_OWN_LAUNCHES // len(models))
    script = [
        f"T={turns}; taskset -p {device.info.cpu_mask} $$ >/dev/null || exit 9",
        "cd /data/local/tmp; read -r a x </proc/uptime",
        "n=0; while [ $n -lt $T ]; do n=$((n + 1))",
        *(f"{join_words(command)} >own.o 2>own.e </dev/null" for command in commands),
        "done; read -r b x </proc/uptime; rm -f own.o own.e; echo $a $b",
    ]
    done = device.phone.link.run_script("\n".join(script), deadline_s=120)
    if done.rc != 0:
        raise SystemExit(f"the bare loop failed: {done}")
    began, ended = map(float, done.stdout.split())
    return (ended - began) / (turns * len(models)) * 1e3


def _push_way(one: Rig, models: Sequence[ModelArtifact], seed: int) -> dict[str, Any]:
    """Push all files with the adb client, compressed as it likes and not at all, and hash them on the phone."""
    paths = [str(model.path) for model in models]
    found: dict[str, Any] = {}
    for name, flags in (("push_s", ()), ("plain_push_s", ("-Z",))):
        one.adb("shell", f"rm -rf {PUSHED}; mkdir {PUSHED}")
        seconds = one.adb("push", *flags, *paths, PUSHED + "/")
        found["sha256sum_s"] = one.adb("shell", f"sha256sum {PUSHED}/*")
        found[name] = seconds + found["sha256sum_s"]
    return found


def _naive_way(one: Rig, models: Sequence[ModelArtifact], seed: int) -> dict[str, Any]:
    """Push and launch one model at a time with the adb client, then launch each once more."""
    with one.open() as device:
        mask = device.info.cpu_mask
    one.adb("shell", f"mkdir {NAIVE}")
    one.adb("push", str(one.phone.image.runners["instant_runner"]), f"{NAIVE}/runner")
    paths = [f"{NAIVE}/{model.path.name}" for model in models]
    commands = [f"taskset {mask} {join_words(command)}" for command in _commands(f"{NAIVE}/runner", paths)]
    pushes, launches = [], []
    for is_pushed in (False, True):
        for model, path, command in zip(models, paths, commands, strict=True):
            if not is_pushed:
                pushes.append(one.adb("push", str(model.path), path))
            launches.append(one.adb("shell", command))
    return {"naive_push_s": sum(pushes), "naive_wall_ms_per_launch": float(np.mean(launches)) * 1e3}


_WAYS = (_harness_way, _push_way, _naive_way)


def run_cuts(parts: Parts) -> None:
    """Add the campaigns that are missing of ``cuts``; each has its number as seed."""
    done = len(parts.of("cuts"))
    if done >= parts.size.campaigns:
        return
    with rig() as one:
        for seed in range(done, parts.size.campaigns):
            one.phone.reset()
            host, _, port = one.phone.address.partition(":")
            proxy = CountingProxy(host, int(port)).start()
            one.own.attach(proxy.address)
            try:
                parts.add("cuts", seed=seed, **_campaign(one, proxy, parts.size, seed))
            finally:
                proxy.stop()
                one.own.server.disconnect(proxy.address)


def _campaign(one: Rig, proxy: CountingProxy, size: Size, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    # Sizes by which the number of a model is known from any other's.
    sizes = [20_000 + 12 * number for number in range(size.launches)]
    models = write_models(one.folder / f"campaign{seed}", sizes, rng)
    visits = [Visit(models[place], RUNS, WARMUP) for place in rng.permutation(len(models))]
    events, error, staging_cuts, started = list[SampleEvent](), "", 0, time.perf_counter()
    with one.open(proxy.address) as device:
        try:
            places = np.sort(rng.integers(1, sum(sizes), size.staging_cuts))
            with cutting_bytes(proxy, np.diff(places, prepend=0).tolist()):
                device.load(models)
            staging_cuts, proxy.results = proxy.cuts, lambda: len(events)
            with proxy.cutting(Moments(rng, size.cuts, size.launches)):
                for event in device.run(visits):
                    events.append(event)
        except MnasError as broken:
            error = str(broken)
        losses = device.phone.recovery.losses
    count = count_results(events, visits)
    return {
        "launches": len(visits),
        "staging_cuts": staging_cuts,
        "cuts": proxy.cuts - staging_cuts,
        "last_cut_at_share_of_launches": proxy.launch_at_cut / len(visits),
        "losses_noticed": losses,
        "seconds": time.perf_counter() - started,
        **asdict(count),
        "error": error,
        "warnings": device.warnings[-3:],
        **remains(one.phone),
    }


def run_first_number(parts: Parts) -> None:
    """Add what is missing of ``first_number``; each on a phone of its own."""
    for repeat in range(len(parts.of("first_number")), parts.size.first_numbers):
        with rig() as one:
            parts.add("first_number", repeat=repeat, **_first_number(one))


def _first_number(one: Rig) -> dict[str, Any]:
    model = write_network(named_network("mobilenetv3-large", 224), one.folder / "model", "tflite").path
    library, times = one.library("benchmark_model"), one.folder / "times.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ADB_", "ANDROID_", "MNAS_"))}
    folders = {"MNAS_RUNNERS": library.folder, "MNAS_STATE": one.folder / "state", "TMPDIR": one.folder}
    environment = {**kept, **{name: str(folder) for name, folder in folders.items()}}
    words = ["bench", str(model), "--device", f"adb:{one.phone.address}/tflite", "--adb", f"127.0.0.1:{one.own.port}"]
    words += ["--out", str(one.folder / "out"), "--format", "json", "-q"]
    command = [sys.executable, str(ROOT / "benchmarks" / "_timed_mnas.py"), str(times), *words]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=one.folder, timeout=300)
    total_s = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"mnas bench: exit code {done.returncode}: {done.stderr[-500:]}")
    run, spent = json.loads(done.stdout), json.loads(times.read_text(encoding="utf-8"))
    if not run["device"]["is_simulated"]:
        raise SystemExit("the run does not say that its phone is simulated")
    session_s = run["timing"]["wall_s"]
    return {
        "total_s": total_s,
        "session_s": session_s,
        "calibration_visits_s": spent["calibration_visits"],
        "beyond_run_s": total_s - session_s - spent["calibration_visits"],
        "session_without_visits_s": session_s - spent["session_visits"],
        "latency_ms": run["models"][0]["measurement"]["latency_ms"],
        "verdict": run["session"]["verdict"],
        **remains(one.phone),
    }


def figures_of(parts: Parts) -> dict[str, Any]:
    """Return what the rows say; a part that is not complete says nothing."""
    size = parts.size
    figures: dict[str, Any] = {"is_simulated": True, "note": NOTE}
    figures["adb_client"] = f"adbutils {importlib.metadata.version('adbutils')}'s own"
    if size != Size():
        figures["trial"] = "a small trial run: the figures are not those of the claim"
    for part, wanted, tell in (
        ("overhead", size.repeats, overhead_figures),
        ("cuts", size.campaigns, cut_figures),
        ("first_number", size.first_numbers, first_figures),
    ):
        rows = parts.of(part)
        if len(rows) >= wanted:
            figures |= tell(rows)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(TARGETS))
    parser.add_argument("--trial", action="store_true", help="a small run to see that it works; nothing is kept")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    parts, wanted = Parts(TRIAL if options.trial else Size(), not options.trial), options.parts.split(",")
    runs = {"overhead": run_overhead, "cuts": run_cuts, "first_number": run_first_number}
    for part in wanted:
        runs[part](parts)
    targets = {name: target for part in wanted for name, target in TARGETS[part].items()}
    print(f"{NOTE}\n")
    write_result("phone_overhead", figures_of(parts), targets, list(range(Size().repeats)), options.json)


if __name__ == "__main__":
    main()
