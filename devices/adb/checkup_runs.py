"""Checks of measuring itself: the runner, counts, the cost of a launch, repeatability, and that size tells."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from devices.adb.checklist import Check, judged
from devices.adb.checkup_cores import no_number, ratio_of
from devices.adb.device import AdbDevice
from devices.adb.link import AdbLink
from devices.adb.staging import CACHE_DIR
from devices.harness import Harness
from devices.measurement import Visit
from devices.protocol import VisitRecord, protocol_for
from devices.references import REFERENCE_NETWORKS, write_references
from mnas.export.artifact import SUFFIXES, ModelArtifact, save_artifact
from mnas.layers import layers_of_blocks
from mnas.seeding import named_rng
from mnas.weights import random_weights

ROUNDS = 10
_COUNTS = (5, 1, 17)
_FEW, _MANY = 2, 12
_VISIT_MS = 50.0
_TYPICAL_SPREAD = 0.05
_SLOW_LAUNCH_S = 1.0
_SINGLE, _OTHER = "dense", "pointwise"
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class CheckNets:
    """Networks of a checkup.

    Attributes:
        single: A reference network.
        other: Another one.
        double: The first with its blocks twice.
        garbage: A file that begins like a model and is none.
    """

    single: ModelArtifact
    other: ModelArtifact
    double: ModelArtifact
    garbage: ModelArtifact


def write_nets(folder: Path, model_format: str) -> CheckNets:
    """Write the networks in a format, ``tflite`` or ``onnx``.

    Raises:
        OSError: The folder cannot be written.
    """
    references = write_references(folder, model_format)
    network = REFERENCE_NETWORKS[_SINGLE]
    layers = layers_of_blocks((*network.blocks, *network.blocks[1:]), network.input_shape_chw)
    weights = random_weights(layers, named_rng(0, "checkup"))
    if model_format == "onnx":
        from mnas.export.onnx import write_onnx as write
    else:
        from mnas.export.tflite import write_tflite as write

    def save(data: bytes, name: str) -> ModelArtifact:
        path = folder / f"checkup-{name}{SUFFIXES[model_format]}"
        return save_artifact(data, path, model_format=model_format, input_shape_chw=network.input_shape_chw)

    garbage = b"\x1c\0\0\0TFL3" if model_format == "tflite" else b"\x08\x07"
    return CheckNets(
        references[_SINGLE],
        references[_OTHER],
        save(write(layers, weights, name="double"), "double"),
        save(garbage + bytes(range(256)) * 4, "garbage"),
    )


def check_runner(device: AdbDevice, link: AdbLink) -> Iterator[Check]:
    """Say which runner it is, and that what lies on the phone has the sha256 of what lies here."""
    info = device.info
    pinned = f"mask {info.cpu_mask}" if info.cpu_mask else "not pinned"
    found = (
        f"{info.runtime}, sha256 {info.runner_sha256[:12]}, delegate {info.delegate}, threads {info.threads}, {pinned}"
    )
    yield Check("runner", f"{found}; its ABI and loader fit")
    done = link.run(["sha256sum", f"{CACHE_DIR}/{info.runner_sha256}"], deadline_s=_ANSWER_S)
    seen = (done.stdout.split() or [done.stderr.strip() or "nothing"])[0]
    found = f"sha256 {seen[:12]} on the phone"
    yield Check("runner on the phone", found, *judged(seen == info.runner_sha256, "'mnas devices clean', then again"))
    for text in device.warnings:
        yield Check("note of the device", text, "warn")


def check_trial(device: AdbDevice, nets: CheckNets) -> Iterator[Check]:
    """Run a network once; a file that is no model must give a reason and no number."""
    trial = device.try_model(nets.single)
    if trial.how != "ok":
        raise no_number(nets.single.path.name, f"{trial.how}: {trial.error}")
    load = "" if trial.load_ms is None else f"ready after {trial.load_ms:.1f} ms, "
    yield Check("a network runs", f"{load}first inference {trial.first_run_ms:.2f} ms")
    trial = device.try_model(nets.garbage)
    words = trial.error if trial.how != "ok" else "it gave a number"
    yield Check("a file that is no model", words[:200], *judged(trial.how != "ok", "errors of this runner pass unseen"))


def check_counts(device: AdbDevice, nets: CheckNets) -> Iterator[Check]:
    """See that a launch makes exactly as many timed runs as it was asked for."""
    events = list(device.run([Visit(nets.single, runs, 2) for runs in _COUNTS]))
    told = [(event.visit.runs, sum(sample.runs for sample in event.samples), event.error) for event in events]
    found = ", ".join(f"{asked} asked for, {error or f'{got} made'}" for asked, got, error in told)
    is_good = all(asked == got and not error for asked, got, error in told)
    yield Check("counts of runs", found, *judged(is_good, "use another build of the runner"))


def check_overhead(device: AdbDevice, nets: CheckNets) -> Iterator[Check]:
    """Measure what a launch costs beside its inference, from batches of few and of many launches."""
    seconds, run_ms = [], 0.0
    for count in (_FEW, _MANY):
        began = time.perf_counter()
        events = list(device.run([Visit(nets.single, 1, 0)] * count))
        seconds.append(time.perf_counter() - began)
        errors = [event.error for event in events if event.error]
        if errors:
            raise no_number(nets.single.path.name, errors[0])
        run_ms = float(np.median([event.samples[0].value_ms for event in events]))
    launch_s = (seconds[1] - seconds[0]) / (_MANY - _FEW)
    batch_s = max(seconds[0] - _FEW * launch_s, 0.0)
    beside_ms = max(launch_s * 1000 - run_ms, 0.0)
    found = f"{beside_ms:.0f} ms a launch beside its inference, {batch_s * 1000:.0f} ms a batch, however long"
    yield Check("cost of a launch", found, *judged(launch_s < _SLOW_LAUNCH_S, "sessions take long here", "warn"))


def check_session(device: AdbDevice, nets: CheckNets, rounds: int = ROUNDS) -> Iterator[Check]:
    """Measure two networks and a double one, interleaved; say how well they repeat and that the double takes longer."""
    settings = replace(protocol_for("adb"), visit_ms=_VISIT_MS)
    references = {_SINGLE: nets.single, _OTHER: nets.other}
    harness = Harness(device, references, {}, settings, rng=np.random.default_rng(0))
    before = device.conditions()
    records = list(harness.visits([nets.double], rounds))
    after = device.conditions()
    times = round_times(records, rounds)
    single, other, double = (times[net.identity] for net in (nets.single, nets.other, nets.double))
    yield judge_spread(single, other)
    yield judge_double(double, single)
    yield _heat(before, after)


def round_times(records: list[VisitRecord], rounds: int) -> dict[str, list[float]]:
    """Return the median of each model in each round, in milliseconds, by identity.

    Raises:
        DeviceError: ``ADB90``: a launch gave no number.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for record in records:
        if record.error:
            raise no_number(f"round {record.round}", record.error)
        found.setdefault(record.sha256, {}).setdefault(record.round, []).extend(record.samples_ms)
    return {sha: [float(np.median(by_round[number])) for number in range(rounds)] for sha, by_round in found.items()}


def judge_spread(single_ms: list[float], other_ms: list[float]) -> Check:
    """Judge how well a network repeats: by itself, and against another one of the same rounds, which is what counts."""
    raw = float(np.std(np.log(single_ms), ddof=1))
    ratio = float(np.std(np.log(single_ms) - np.log(other_ms), ddof=1))
    found = f"{len(single_ms)} launches of one network spread by {100 * raw:.1f} %"
    found += f", its ratio to another by {100 * ratio:.1f} %; median {np.median(single_ms):.3f} ms"
    remedy = "name cores with cpus=, close apps, let it cool down: intervals are wide here"
    return Check("repeatability", found, *judged(ratio <= _TYPICAL_SPREAD, remedy, "warn"))


def judge_double(double_ms: list[float], single_ms: list[float]) -> Check:
    """Judge the time of the double network over that of the single one: larger than 1 by the whole interval."""
    ratio = ratio_of(double_ms, single_ms)
    low, high = ratio.interval or (0.0, math.inf)
    found = f"with its blocks twice a network takes {ratio.value:.2f} times as long ({low:.2f} to {high:.2f})"
    name = "a network of twice the size"
    if high <= 1:
        return Check(name, found, "broken", "the numbers do not follow the model: use another build of the runner")
    return Check(name, found, *judged(low > 1, "too noisy to tell: check again on a cool phone", "warn"))


def _heat(before: Mapping[str, Any], after: Mapping[str, Any]) -> Check:
    def told(conditions: Mapping[str, Any]) -> str:
        sensors = list(conditions.get("temperatures_c", {}).items())[:4]
        heat = ", ".join(f"{name} {value:.1f} C" for name, value in sensors) or "no temperature"
        return f"status {conditions.get('thermal_status', '?')}, {heat}"

    lost = after["rejected_launches"]
    thrown = {name: lost[name] for name in ("hot", "unread", "capped", "unpinned", "failed") if lost[name]}
    words = ", ".join(f"{count} {name}" for name, count in thrown.items())
    found = f"before {told(before)}; after {told(after)}; thrown away and made again: {words or 'none'}"
    if lost["kept_hot"]:
        found += f"; {lost['kept_hot']} launches of a throttling phone count"
    remedy = "let it cool down, out of its case and off the charger"
    return Check("heat of the session", found, *judged(not lost["kept_hot"], remedy, "warn"))


Attempt = Callable[[str, Callable[[], Iterator[Check]]], bool]


def check_device(attempt: Attempt, device: AdbDevice, link: AdbLink, nets: CheckNets) -> bool:
    """Make all checks that need an open device, each by itself, and say whether networks run on it at all.

    On a runner that hangs each launch would take until its deadline, so after a first that failed there is no second.
    """
    attempt("runner", lambda: check_runner(device, link))
    if not attempt("a network runs", lambda: check_trial(device, nets)):
        return False
    attempt("counts of runs", lambda: check_counts(device, nets))
    attempt("cost of a launch", lambda: check_overhead(device, nets))
    attempt("repeatability", lambda: check_session(device, nets))
    return True
