"""Runs in the store: what goes in comes out, whatever happens to the process in between."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.calibration import ready_harness
from devices.harness import Harness, ProtocolSettings, SessionRecorder, VisitRecord, summarise
from devices.measurement import Measurement
from devices.references import DEVICES
from devices.registry import open_device
from devices.run import BenchedModel, BenchRun, GateResult, Problem, RawRuns, Relative
from devices.runs import RUNS, RunRecorder, list_runs, load_run, load_visits
from devices.testing import SimulatedDevice, simulated_artifact
from mnas.errors import RunError
from mnas.export.artifact import ModelArtifact
from mnas.store import Store

REFERENCES = {f"ref{i}": simulated_artifact(f"ref{i}", 400_000 + 300_000 * i) for i in range(3)}
NOMINALS = {name: SimulatedDevice.true_ms(artifact) for name, artifact in REFERENCES.items()}
SHAS = {name: artifact.sha256 for name, artifact in REFERENCES.items()}
MODELS = {name: simulated_artifact(name, 300_000 * (i + 1)) for i, name in enumerate(("a.onnx", "b.onnx", "broken"))}
SETTINGS = ProtocolSettings(rounds=7)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite3", (RUNS,)) as opened:
        yield opened


def unmeasured(name: str, artifact: ModelArtifact) -> BenchedModel:
    return BenchedModel(name, "model", name, sha256=artifact.sha256, size_bytes=artifact.size_bytes)


def begin(store: Store, device: SimulatedDevice) -> RunRecorder:
    recorder = RunRecorder.begin(store, device.info, {"models": list(MODELS)}, {"mnas": "1"})
    recorder.measuring(SHAS, NOMINALS, SETTINGS, device.conditions())
    recorder.models([unmeasured(*item) for item in MODELS.items()])
    return recorder


def record(recorder: RunRecorder, device: SimulatedDevice, rounds: int = 7) -> list[VisitRecord]:
    harness = Harness(device, REFERENCES, NOMINALS, SETTINGS, rng=np.random.default_rng(0), clock=device.clock)
    records = []
    for _, one_round in itertools.groupby(harness.visits(MODELS.values(), rounds), key=lambda r: r.round):
        done = list(one_round)
        recorder.append_round(done)
        records += done
    return records


def result(recorder: RunRecorder, device: SimulatedDevice, records: list[VisitRecord]) -> BenchRun:
    session = summarise(records, SHAS, NOMINALS, SETTINGS, device_key=device.info.device_key)
    models = []
    for place, (name, artifact) in enumerate(MODELS.items()):
        measurement = session.measurements[artifact.sha256]
        made = replace(
            unmeasured(name, artifact), measurement=measurement, raw=RawRuns.of(measurement.samples_ms), load_ms=1.5
        )
        if measurement.latency_ms is None:
            made = replace(made, problem=Problem("MEA05", "no number", 4))
        elif place:
            made = replace(made, relative=Relative("a.onnx", 1.75, 1.7, 1.8))
        models.append(made)
    return BenchRun(
        run_id=recorder.run_id,
        status="done",
        started_at_utc="2026-01-02T03:04:05+00:00",
        finished_at_utc="2026-01-02T03:05:05+00:00",
        device=device.info,
        request={"models": list(MODELS), "rounds": 7},
        versions={"mnas": "1", "numpy": "2"},
        stopping={"rounds": 7, "why": "asked for"},
        timing={"wall_s": 2.0, "runs_s": 1.8, "overhead_fraction": 0.1},
        session=session.describe(),
        models=tuple(models),
        gates=(GateResult("max-latency-ms", 1.0, "a.onnx", 0.4, 0.39, 0.41, "pass", "0.4 is at most 1"),),
        extras={"sustained": {"a.onnx": {"ratio": 1.25}}},
    )


def as_stored(measurement: Measurement) -> Measurement:
    return replace(
        measurement,
        samples_ms=tuple(round(value, 6) for value in measurement.samples_ms),
        warmup_samples_ms=tuple(round(value, 6) for value in measurement.warmup_samples_ms),
    )


def same(left: BenchRun, right: BenchRun) -> bool:
    """Compare as text, in which two NaN are equal."""
    return json.dumps(left.to_json(), sort_keys=True) == json.dumps(right.to_json(), sort_keys=True)


def test_a_finished_run_comes_back_whole(store: Store) -> None:
    device = SimulatedDevice(failing=[MODELS["broken"].sha256])
    with begin(store, device) as recorder:
        records = record(recorder, device)
        run = result(recorder, device, records)
        recorder.finish(run)
    loaded = load_run(store)
    stored = [as_stored(model.measurement) for model in run.models if model.measurement]
    assert [model.measurement for model in loaded.models] == stored
    assert len(loaded.models[0].measurement.samples_ms) > 21  # type: ignore[union-attr]
    models = tuple(replace(model, measurement=one) for model, one in zip(run.models, stored, strict=True))
    assert same(loaded, replace(run, models=models))
    assert load_visits(store, recorder.run_id) == [VisitRecord.from_json(one.to_json()) for one in records]


def test_samples_are_kept_once_and_a_visit_takes_few_bytes(store: Store) -> None:
    device = SimulatedDevice()
    with begin(store, device) as recorder:
        records = record(recorder, device)
        recorder.finish(result(recorder, device, records))
    facts = [row[0] for row in store.query("SELECT facts_json FROM bench_run_models")]
    assert len(facts) == 3 and not any("samples_ms" in text for text in facts)
    visits = sum(len(row[0]) for row in store.query("SELECT records_json FROM bench_run_visits"))
    assert visits / len(records) < 300


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.lists(st.lists(st.floats(1e-6, 1e6) | st.just(math.nan), max_size=4), min_size=1, max_size=5),
    warmup=st.lists(st.floats(1e-6, 1e3), max_size=2),
    other=st.booleans(),
)
def test_any_samples_come_back_whether_the_visits_have_them_or_not(
    store: Store, samples: list[list[float]], warmup: list[float], other: bool
) -> None:
    """With ``other`` the measurement holds samples that were never recorded as visits: they must not be lost."""
    device = SimulatedDevice()
    with begin(store, device) as recorder:
        sha256 = MODELS["a.onnx"].sha256
        visits = [VisitRecord(r, sha256, False, tuple(ms), tuple(warmup)) for r, ms in enumerate(samples)]
        for visit in visits:
            recorder.append_round([visit])
        values = tuple(value for visit in visits for value in visit.samples_ms) + ((0.5,) if other else ())
        rounds = tuple(visit.round for visit in visits for _ in visit.samples_ms) + ((9,) if other else ())
        measured = Measurement(sha256, None, None, values, rounds, tuple(warmup * len(visits)), "invalid", ("so",))
        model = replace(unmeasured("a.onnx", MODELS["a.onnx"]), measurement=measured, raw=RawRuns.of(values))
        run = replace(result(recorder, device, _one_session()), models=(model,))
        recorder.finish(run)
    found = load_run(store).models[0].measurement
    assert found is not None
    assert repr(found) == repr(as_stored(measured))


_SESSION: list[VisitRecord] = []


def _one_session() -> list[VisitRecord]:
    if not _SESSION:
        device = SimulatedDevice()
        harness = Harness(device, REFERENCES, NOMINALS, SETTINGS, rng=np.random.default_rng(0), clock=device.clock)
        _SESSION.extend(harness.visits(MODELS.values(), 7))
    return _SESSION


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=250))
def test_percentiles_need_enough_runs(samples: list[float]) -> None:
    raw = RawRuns.of([*samples, math.nan])
    assert raw is not None and raw.count == len(samples)
    for value, fewest, percent in ((raw.p90_ms, 20, 90), (raw.p95_ms, 40, 95), (raw.p99_ms, 200, 99)):
        assert value == (pytest.approx(np.percentile(samples, percent)) if len(samples) >= fewest else None)
    assert RawRuns.of([math.nan]) is None


_KILLED = """
import itertools, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_runs import MODELS, begin, record
from devices.runs import RUNS
from devices.testing import SimulatedDevice
from mnas.store import Store

store = Store(Path(sys.argv[1]), (RUNS,))
device = SimulatedDevice(failing=[MODELS["broken"].sha256])
recorder = begin(store, device)
record(recorder, device, 5)
with store.transaction() as sql:
    sql.execute("INSERT INTO bench_run_visits (run_id, round, records_json) VALUES (?, 5, '[]')", (recorder.run_id,))
    print(recorder.run_id, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def recording(store: Store) -> Iterator[subprocess.Popen[str]]:
    """A process that has recorded five rounds and is in the middle of the transaction of the sixth."""
    command = [sys.executable, "-c", _KILLED, str(store.path), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: reads /proc")
def test_after_kill_every_round_is_there_and_nobody_calls_it_running(
    store: Store, recording: subprocess.Popen[str]
) -> None:
    run_id = recording.stdout.readline().strip()  # type: ignore[union-attr]
    assert load_run(store, run_id).status == "running"
    assert [row.status for row in list_runs(store)] == ["running"]
    recording.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, recording.pid, os.WEXITED | os.WNOWAIT)

    assert [(row.run_id, row.status) for row in list_runs(store)] == [(run_id, "interrupted")]
    run = load_run(store)
    assert run.status == "interrupted" and run.stopping == {"rounds": 5, "why": "its process was killed"}
    device = SimulatedDevice(failing=[MODELS["broken"].sha256])
    with begin(store, device) as again:
        expected = record(again, device, 5)
    assert load_visits(store, run_id) == [VisitRecord.from_json(one.to_json()) for one in expected]
    whole = summarise(load_visits(store, run_id), SHAS, NOMINALS, SETTINGS, rounds_wanted=5)
    for model in run.models:
        assert model.measurement == whole.measurements[model.sha256]
    assert [model.measurement.verdict for model in run.models if model.measurement] == ["ok", "ok", "invalid"]
    assert run.models[0].latency_ms == pytest.approx(SimulatedDevice.true_ms(MODELS["a.onnx"]), rel=0.02)
    assert run.session["verdict"] == "ok"
    assert same(BenchRun.from_json(json.loads(json.dumps(run.to_json()))), run)


def test_a_run_killed_before_the_first_round_can_be_read(store: Store) -> None:
    recorder = RunRecorder.begin(store, SimulatedDevice().info, {}, {})
    store.execute("UPDATE bench_runs SET driver = 'elsewhere:1:5', heartbeat_s = ?", (time.time() - 61,))
    run = load_run(store, recorder.run_id)
    assert (run.status, run.models, run.session["verdict"]) == ("interrupted", (), "invalid")
    store.execute("UPDATE bench_runs SET heartbeat_s = ?", (time.time() - 30,))
    assert load_run(store, recorder.run_id).status == "running"
    recorder.fail("failed", "gone")


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (KeyboardInterrupt(), "interrupted", "interrupted from the keyboard"),
        (RunError("RUN99", "the device is gone"), "failed", "RUN99: the device is gone"),
        (None, "failed", "it was left without a result"),
    ],
)
def test_how_a_run_ended_is_kept(store: Store, error: BaseException | None, status: str, why: str) -> None:
    device = SimulatedDevice()
    try:
        with begin(store, device) as recorder:
            record(recorder, device, 4)
            if error:
                raise error
    except (KeyboardInterrupt, RunError):
        pass
    run = load_run(store)
    assert (run.status, run.stopping) == (status, {"rounds": 4, "why": why})
    assert run.finished_at_utc and run.models[0].latency_ms
    assert list_runs(store)[0].status == status


def test_a_store_that_cannot_be_written_hides_no_error(store: Store) -> None:
    with pytest.raises(LookupError), begin(store, SimulatedDevice()):
        store.query("PRAGMA query_only=ON")
        raise LookupError
    assert [row.status for row in list_runs(store)] == ["running"]  # this process lives: nobody knows better yet


def test_a_run_that_is_over_never_changes(store: Store) -> None:
    device = SimulatedDevice()
    with begin(store, device) as recorder:
        run = result(recorder, device, record(recorder, device))
        with pytest.raises(RunError, match="RUN03"):
            recorder.finish(replace(run, run_id="run9-000000"))
        with pytest.raises(RunError, match=r"RUN03.*running"):
            recorder.finish(replace(run, status="running"))
        recorder.finish(run)
    before = load_run(store)
    for change in (
        lambda: recorder.finish(replace(run, status="failed")),
        lambda: recorder.fail("failed", "late"),
        lambda: recorder.append_round([]),
        lambda: recorder.models([]),
        lambda: recorder.measuring({}, {}, SETTINGS, {}),
    ):
        with pytest.raises(RunError, match="RUN03") as caught:
            change()
        assert caught.value.exit_code == 6
    assert same(load_run(store), before)


def test_ids_and_their_beginnings(store: Store) -> None:
    with pytest.raises(RunError, match=r"RUN01.*none"):
        load_run(store)
    ids = []
    for _ in range(11):
        recorder = RunRecorder.begin(store, SimulatedDevice().info, {}, {})
        recorder.fail("failed", "so")
        ids.append(recorder.run_id)
    assert len(set(ids)) == 11
    assert [row.run_id for row in list_runs(store)] == ids[::-1]
    assert [row.run_id for row in list_runs(store, 2)] == ids[:-3:-1]
    assert load_run(store, "run1").run_id == ids[0]
    assert load_run(store, "run10").run_id == ids[9]
    assert load_run(store, ids[1][:7]).run_id == ids[1]
    assert load_run(store).run_id == load_run(store, "latest").run_id == ids[10]
    with pytest.raises(RunError, match=rf"RUN02.*{ids[10]}"):
        load_run(store, "run")
    with pytest.raises(RunError, match=rf"RUN01.*{ids[10]}") as caught:
        load_run(store, "study1")
    assert ids[0] not in str(caught.value)  # the ten newest are enough


def test_a_run_that_is_slow_still_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot look at the process, such as another machine, goes by the heartbeat."""
    monkeypatch.setattr("devices.run_recorder._BEAT_S", 0.01)
    with begin(store, SimulatedDevice()) as recorder:
        store.execute("UPDATE bench_runs SET heartbeat_s = 0")
        end = time.monotonic() + 30
        while not store.query("SELECT heartbeat_s FROM bench_runs")[0][0]:
            assert time.monotonic() < end, "it never beat"
            time.sleep(0.01)
        recorder.fail("failed", "enough")
    before = {thread.name for thread in threading.enumerate()}
    assert "run-heartbeat" not in before


def test_a_real_session_on_this_machine_comes_back_whole(store: Store, tmp_path: Path, make_net: Any) -> None:
    """host:ort, from begin to finish; a second reader of the same file sees the same."""
    models = [make_net("onnx", channels) for channels in (8, 16)]
    protocol = ProtocolSettings(rounds=4, calibration_rounds=3)
    device = open_device("host:ort")
    try:
        with (
            Store(store.path, (RUNS, DEVICES)) as other,
            RunRecorder.begin(other, device.info, {"models": 2}, {}) as recorder,
        ):
            harness = ready_harness(device, other, tmp_path, protocol, rng=np.random.default_rng(0)).harness
            shas = {name: artifact.sha256 for name, artifact in harness.references.items()}
            recorder.measuring(shas, harness.nominals_ms, protocol, device.conditions())
            plain = [unmeasured(artifact.path.name, artifact) for artifact in models]
            recorder.models(plain)
            session = SessionRecorder(harness)
            for _, one_round in itertools.groupby(harness.visits(models, 4), key=lambda r: r.round):
                done = list(one_round)
                recorder.append_round(done)
                for visit in done:
                    session.add(visit)
            assert load_run(store).status == "running"
            found = session.session(4)
            measured = [replace(model, measurement=found.measurements[model.sha256]) for model in plain]
            run = replace(
                load_run(store),
                status="done",
                device=device.info,
                session=found.describe(),
                models=tuple(measured),
            )
            recorder.finish(run)
    finally:
        device.close()
    loaded = load_run(store)
    assert loaded.device == device.info and not loaded.device.is_simulated
    for before, after in zip(measured, loaded.models, strict=True):
        assert before.measurement is not None and after.latency_ms and after.latency_ms > 0
        assert after.measurement == as_stored(before.measurement)
    assert json.loads(json.dumps(loaded.session)) == json.loads(json.dumps(found.describe()))


def test_runs_of_one_device(store: Store) -> None:
    info = SimulatedDevice().info
    for device_id, threads in (("host:ort,threads=1", 1), ("host:litert", 2), ("host:ort,threads=4", 4)):
        RunRecorder.begin(store, replace(info, device_id=device_id, threads=threads), {}, {}).fail("failed", "")
    assert [row.device_id for row in list_runs(store, device="host:ort")] == [
        "host:ort,threads=4",
        "host:ort,threads=1",
    ]
    key = replace(info, threads=2).device_key
    assert [row.device_id for row in list_runs(store, device=key[:12])] == ["host:litert"]
    assert list_runs(store, device="adb") == []
