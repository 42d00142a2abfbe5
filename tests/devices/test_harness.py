from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.device import Device
from devices.harness import Harness, ProtocolSettings, VisitRecord, summarise
from devices.measurement import Session
from devices.protocol import VisitRecord as Record
from devices.schedule import plan_round
from devices.testing import DeviceConformance, SimulatedDevice, simulated_artifact
from mnas.errors import ConfigError, MeasurementError
from mnas.export.artifact import ModelArtifact

REFERENCES = {f"ref{i}": simulated_artifact(f"ref{i}", 400_000 + 300_000 * i) for i in range(3)}
NOMINALS = {name: SimulatedDevice.true_ms(artifact) for name, artifact in REFERENCES.items()}
SHAS = {name: artifact.sha256 for name, artifact in REFERENCES.items()}


def _models(count: int) -> list[ModelArtifact]:
    return [simulated_artifact(f"model{i}", 200_000 * (i + 1)) for i in range(count)]


def _harness(device: SimulatedDevice, protocol: ProtocolSettings | None = None, seed: int = 0) -> Harness:
    rng = np.random.default_rng(seed)
    return Harness(device, REFERENCES, NOMINALS, protocol or ProtocolSettings(), rng=rng, clock=device.clock)


def _visits(models: list[ModelArtifact], wanted: Any, protocol: ProtocolSettings, **device: Any) -> list[VisitRecord]:
    return list(_harness(SimulatedDevice(**device), protocol).visits(models, wanted))


class TestSimulatedDevice(DeviceConformance):
    @pytest.fixture
    def bad_artifact(self) -> ModelArtifact:
        return simulated_artifact("bad")

    @pytest.fixture
    def device(self, bad_artifact: ModelArtifact) -> Device:
        return SimulatedDevice(unloadable=[bad_artifact.sha256])

    @pytest.fixture
    def good_artifacts(self) -> list[ModelArtifact]:
        return _models(3)


@given(
    models=st.integers(0, 40),
    references=st.integers(1, 4),
    every=st.integers(1, 10),
    visits=st.integers(1, 3),
    seed=st.integers(0, 5),
    repeats=st.integers(1, 3),
)
def test_round_holds_each_model_as_often_as_asked_between_references(
    models: int, references: int, every: int, visits: int, seed: int, repeats: int
) -> None:
    protocol = ProtocolSettings(reference_every=every, reference_visits=visits)
    names, refs = [f"m{i}" for i in range(models)], [f"r{i}" for i in range(references)]
    plan = plan_round(names, refs, protocol, np.random.default_rng(seed), model_visits=repeats)
    visited = [sha for sha, is_reference in plan if not is_reference]
    for turn in range(repeats):
        assert sorted(visited[turn * models : (turn + 1) * models]) == sorted(names)
    assert plan[0][1] and plan[-1][1]
    gap = 0
    for _, is_reference in plan:
        gap = 0 if is_reference else gap + 1
        assert gap <= every
    counts = Counter(sha for sha, is_reference in plan if is_reference)
    assert min(counts[ref] for ref in refs) >= visits
    assert max(counts.values()) - min(counts.values()) <= 1


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(6)))
def test_order_of_the_models_given_does_not_matter(order: list[int]) -> None:
    models, protocol = _models(6), ProtocolSettings(rounds=3)
    plain = _visits(models, 3, protocol)
    assert _visits([models[i] for i in order], 3, protocol) == plain
    per_round = {turn: Counter(r.sha256 for r in plain if r.round == turn and not r.is_reference) for turn in range(3)}
    assert all(counts == Counter(model.sha256 for model in models) for counts in per_round.values())


@pytest.mark.parametrize(("models", "size", "expected"), [(1, 1000, 3), (4, 400_000, 2), (12, 1_000_000, 1)])
def test_few_short_models_are_visited_again_as_long_as_references_take_longer(
    models: int, size: int, expected: int
) -> None:
    # The references take 2.4 ms together, and all are run equally often.
    harness = _harness(SimulatedDevice(noise=0.0), ProtocolSettings(max_model_visits=3, visit_ms=0.001))
    records = list(harness.visits([simulated_artifact(f"m{i}", size) for i in range(models)], 3))
    per_round = [Counter(r.sha256 for r in records if r.round == turn and not r.is_reference) for turn in range(3)]
    assert [set(counts.values()) for counts in per_round] == [{1}, {expected}, {expected}]


def test_order_differs_between_rounds_and_seeds() -> None:
    models = _models(10)
    records = list(_harness(SimulatedDevice(), ProtocolSettings(rounds=2)).visits(models, 2))
    other = list(_harness(SimulatedDevice(), ProtocolSettings(rounds=2), seed=1).visits(models, 2))
    first, second = ([r.sha256 for r in records if r.round == turn and not r.is_reference] for turn in range(2))
    assert first != second
    assert [r.sha256 for r in records] != [r.sha256 for r in other]


def test_runs_follow_the_pilot_within_their_bounds() -> None:
    protocol = ProtocolSettings(rounds=3, visit_ms=2.0, min_runs=3, max_runs=6)
    models = [simulated_artifact("tiny", 1000), simulated_artifact("middle", 400_000), simulated_artifact("big", 10**7)]
    records = [r for r in _visits(models, 3, protocol, noise=0.0) if not r.is_reference]
    lengths = {m.sha256: [len(r.samples_ms) for r in records if r.sha256 == m.sha256] for m in models}
    assert list(lengths.values()) == [[3, 6, 6], [3, 4, 4], [3, 3, 3]]
    assert all(len(record.warmup_ms) == protocol.warmup for record in records)


def test_rounds_wanted_are_respected_and_go_on() -> None:
    models, protocol = _models(4), ProtocolSettings(rounds=5)
    wanted = {models[0].sha256: 5, models[1].sha256: 2, models[2].sha256: 0}
    device = SimulatedDevice()
    records = list(_harness(device, protocol).visits(models, wanted, first_round=7))
    rounds = {m.sha256: [r.round for r in records if r.sha256 == m.sha256] for m in models}
    assert list(rounds.values()) == [[7, 8, 9, 10, 11], [7, 8], [], []]
    assert _visits(models, {}, protocol) == []


def test_duplicates_are_measured_once() -> None:
    model = _models(1)[0]
    records = _visits([model, model, replace(model)], 4, ProtocolSettings())
    assert Counter(r.round for r in records if r.sha256 == model.sha256) == Counter(range(4))


def test_references_alone_can_be_visited() -> None:
    records = _visits([], 5, ProtocolSettings())
    assert {r.round for r in records} == set(range(5)) and all(r.is_reference for r in records)


def test_a_reference_can_be_a_model_as_well() -> None:
    session = _harness(SimulatedDevice()).measure([REFERENCES["ref0"]])
    (measurement,) = session.measurements.values()
    assert measurement.latency_ms == pytest.approx(NOMINALS["ref0"], rel=0.01)


def _slow_windows(seed: int) -> list[tuple[float, float, float]]:
    """Two speeds, each held for some rounds, slow for about 60 % of the runs."""
    rng, windows, time_ms = np.random.default_rng(seed), [], 0.0
    while time_ms < 60_000:
        fast, slow = rng.uniform(250, 350), rng.uniform(650, 900)
        windows.append((time_ms + fast, time_ms + fast + slow, 1.6))
        time_ms += fast + slow
    return windows


@pytest.mark.parametrize("seed", range(4))
def test_slow_states_move_the_median_and_not_the_estimate(seed: int) -> None:
    models = _models(12)
    device = SimulatedDevice(seed=seed, slow_windows_ms=_slow_windows(seed))
    session = _harness(device, ProtocolSettings(rounds=40), seed=seed).measure(models)
    off = []
    for model in models:
        truth, measurement = device.true_ms(model), session.measurements[model.sha256]
        assert measurement.latency_ms == pytest.approx(truth, rel=0.02)
        off.append(abs(float(np.median(measurement.samples_ms)) / truth - 1))
    assert np.median(off) > 0.2


def test_a_session_wholly_in_a_slow_state_is_corrected_and_flagged() -> None:
    device = SimulatedDevice(slow_windows_ms=[(0.0, 1e9, 1.6)])
    models = _models(5)
    session = _harness(device).measure(models)
    for model in models:
        assert session.measurements[model.sha256].latency_ms == pytest.approx(device.true_ms(model), rel=0.02)
    assert session.verdict == "drifted" and "1.6" in session.reasons[0]


def test_a_model_that_a_late_slow_state_hits_harder_has_drifted() -> None:
    # Over twelve launches; over three, this cannot be told from how three processes happen to lie in memory.
    models, protocol = _models(5), ProtocolSettings(rounds=60)
    total_ms = _total_ms(models, protocol)
    device = SimulatedDevice(
        slow_windows_ms=[(total_ms / 2, 1e9, 1.15)], slow_exponents={models[0].sha256: 2.0, **_no_effect(models[1:])}
    )
    session = _harness(device, protocol).measure(models)
    drifted = session.measurements[models[0].sha256]
    assert drifted.verdict == "drifted" and "halves" in drifted.reasons[-1]
    assert all(session.measurements[m.sha256].verdict == "ok" for m in models[1:])


def _no_effect(models: list[ModelArtifact]) -> dict[str, float]:
    return {artifact.sha256: 0.0 for artifact in [*models, *REFERENCES.values()]}


def _total_ms(models: list[ModelArtifact], protocol: ProtocolSettings | None = None) -> float:
    device = SimulatedDevice()
    list(_harness(device, protocol).visits(models, (protocol or ProtocolSettings()).rounds))
    return device.time_ms


def test_an_undisturbed_session_is_ok_throughout() -> None:
    models = _models(8)
    session = _harness(SimulatedDevice()).measure(models)
    assert session.verdict == "ok" and session.reasons == ()
    for model in models:
        measurement = session.measurements[model.sha256]
        assert measurement.verdict == "ok" and measurement.interval_ms is not None
        truth = SimulatedDevice.true_ms(model)
        assert measurement.interval_ms[0] * 0.99 <= truth <= measurement.interval_ms[1] * 1.01
    assert session.conditions_before == {"simulated": True} and session.device_key


def test_noise_is_named() -> None:
    session = _harness(SimulatedDevice(noise=1.0)).measure(_models(3), 4)
    assert {m.verdict for m in session.measurements.values()} == {"noisy"}
    session = _harness(SimulatedDevice()).measure(_models(1), 2)
    (measurement,) = session.measurements.values()
    assert measurement.verdict == "noisy" and measurement.interval_ms is None and measurement.latency_ms


def test_bad_models_are_invalid_and_the_others_are_measured() -> None:
    good, unloadable, failing, strange = _models(4)
    device = SimulatedDevice(unloadable=[unloadable.sha256], failing=[failing.sha256], not_finite=[strange.sha256])
    records = []
    session = _harness(device).measure([unloadable, failing, strange, good])
    assert session.measurements[good.sha256].verdict == "ok"
    for model, word in ((unloadable, "cannot be loaded"), (failing, "simulated: failed"), (strange, "not positive")):
        measurement = session.measurements[model.sha256]
        assert measurement.verdict == "invalid"
        assert measurement.latency_ms is None and measurement.interval_ms is None
        assert any(word in reason for reason in measurement.reasons)
    records = _visits([failing, good], 9, ProtocolSettings(max_failures=2), failing=[failing.sha256])
    assert sum(r.sha256 == failing.sha256 for r in records) == 2
    assert sum(r.sha256 == good.sha256 for r in records) == 9


def test_fewer_than_half_of_the_rounds_is_invalid() -> None:
    models = _models(2)
    records = _visits(models, {models[0].sha256: 15, models[1].sha256: 7}, ProtocolSettings())
    session = summarise(records, SHAS, NOMINALS, ProtocolSettings())
    assert session.measurements[models[1].sha256].verdict == "invalid"
    assert "7 of 15 rounds" in session.measurements[models[1].sha256].reasons[0]
    wanted = {models[0].sha256: 15, models[1].sha256: 7}
    session = summarise(records, SHAS, NOMINALS, ProtocolSettings(), rounds_wanted=wanted)
    assert session.measurements[models[1].sha256].verdict == "ok"


def test_references_that_fail_leave_no_session() -> None:
    models, broken = _models(2), [REFERENCES["ref1"].sha256]
    with pytest.raises(MeasurementError) as caught:
        _harness(SimulatedDevice(unloadable=broken)).measure(models)
    assert caught.value.code == "MEA03"
    with pytest.raises(MeasurementError) as caught:
        _harness(SimulatedDevice(failing=broken)).measure(models)
    assert caught.value.code == "MEA02"
    with pytest.raises(MeasurementError) as caught:
        summarise(_visits(models, 3, ProtocolSettings()), SHAS, {}, ProtocolSettings())
    assert caught.value.code == "MEA01"


def test_summarise_is_pure_and_equals_measure() -> None:
    models, protocol = _models(5), ProtocolSettings(rounds=6)
    records = _visits(models, 6, protocol)
    before = list(records)
    first = summarise(records, SHAS, NOMINALS, protocol)
    second = summarise(
        [Record.from_json(json.loads(json.dumps(r.to_json()))) for r in records], SHAS, NOMINALS, protocol
    )
    assert records == before
    measured = _harness(SimulatedDevice(), protocol).measure(models)
    for sha256, measurement in measured.measurements.items():
        assert measurement == first.measurements[sha256]
        assert second.measurements[sha256].latency_ms == pytest.approx(measurement.latency_ms, rel=1e-4)
        assert second.measurements[sha256].rounds == measurement.rounds
    assert isinstance(first, Session) and first.reference_ms == measured.reference_ms


@given(
    st.builds(
        VisitRecord,
        round=st.integers(0, 99),
        sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
        is_reference=st.booleans(),
        samples_ms=st.lists(st.integers(1, 10**9).map(lambda ns: ns / 1e6), max_size=5).map(tuple),
        warmup_ms=st.lists(st.integers(1, 10**9).map(lambda ns: ns / 1e6), max_size=3).map(tuple),
        involuntary_switches=st.integers(-1, 50),
        error=st.sampled_from(["", "it crashed"]),
        t_monotonic_s=st.integers(0, 10**7).map(lambda ms: ms / 1000),
        statistic=st.sampled_from(["run", "launch_median", "launch_mean"]),
    )
)
def test_records_round_trip_through_json(record: VisitRecord) -> None:
    assert VisitRecord.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record


def test_records_keep_nan_out_of_json() -> None:
    record = VisitRecord(0, "a" * 64, False, (1.0, float("nan")))
    text = json.dumps(record.to_json(), allow_nan=False)
    assert np.isnan(VisitRecord.from_json(json.loads(text)).samples_ms[1])


@pytest.mark.parametrize("field", [{"rounds": 0}, {"min_runs": 5, "max_runs": 4}, {"quantile": 1.5}, {"visit_ms": 0.0}])
def test_settings_out_of_range_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ProtocolSettings(**field)


def test_models_are_loaded_anew_every_few_rounds() -> None:
    device, models = SimulatedDevice(), _models(3)
    protocol = ProtocolSettings(rounds=12, rounds_per_launch=5)
    records = list(_harness(device, protocol).visits(models, 12))
    assert device.renewals == 2
    assert {record.launch for record in records if record.round < 5} == {0}
    assert {record.launch for record in records if 5 <= record.round < 10} == {1}
    assert {record.launch for record in records if record.round >= 10} == {2}


def test_loading_anew_takes_a_bounded_share_of_the_time() -> None:
    class SlowToLoad(SimulatedDevice):
        def load(self, artifacts: Any) -> dict[str, str]:
            self.time_ms += 100
            return super().load(artifacts)

        def renew(self) -> dict[str, str]:
            self.time_ms += 200
            return super().renew()

    device = SlowToLoad()
    protocol = ProtocolSettings(rounds=100, rounds_per_launch=1, relaunch_share=0.1)
    list(_harness(device, protocol).visits(_models(3), 100))
    assert 1 <= device.renewals
    assert device.renewals * 200 <= 0.11 * device.time_ms


def test_placement_in_memory_widens_the_interval_when_launches_differ() -> None:
    protocol = ProtocolSettings(rounds=20, rounds_per_launch=5)
    model = _models(1)
    steady = _harness(SimulatedDevice(), protocol).measure(model).measurements[model[0].sha256]
    device = SimulatedDevice(placement_noise=0.03)
    moved = _harness(device, protocol).measure(model).measurements[model[0].sha256]
    assert steady.interval_ms and moved.interval_ms and moved.latency_ms and steady.latency_ms
    assert moved.interval_ms[1] / moved.interval_ms[0] - 1 > 3 * (steady.interval_ms[1] / steady.interval_ms[0] - 1)


def test_heat_makes_a_session_throttled_and_conditions_are_read_on_the_way() -> None:
    class Hot(SimulatedDevice):
        def conditions(self) -> dict[str, Any]:
            return {"throttle_count": int(self.time_ms / 1000)}

    models = _models(40)
    session = _harness(Hot(), ProtocolSettings(rounds=15)).measure(models)
    assert session.verdict == "throttled" and "slowed itself down" in session.reasons[0]
    rounds = [one["round"] for one in session.conditions_during]
    assert len(rounds) >= 2 and rounds == sorted(rounds)
    assert json.loads(json.dumps(session.describe(), allow_nan=False))["conditions_during"]
    assert _harness(SimulatedDevice()).measure(models).verdict == "ok"


def test_launches_that_were_thrown_away_are_a_note_whatever_the_verdict() -> None:
    class Repeating(SimulatedDevice):
        def conditions(self) -> dict[str, Any]:
            done = int(self.time_ms > 0)
            counts = {"hot": 5 + 3 * done, "unread": 0, "capped": 7, "unpinned": done, "failed": 2 * done}
            return {"rejected_launches": {**counts, "kept_hot": 0, "waited_s": 30.4 * done}}

    session = _harness(Repeating()).measure(_models(2))
    assert session.verdict == "ok" and session.describe()["notes"] == list(session.notes)
    assert session.notes == (
        "6 launches were thrown away and made again: 3 while the device throttled, 1 off their cores, 2 without a "
        "number; 30 s were waited for it to cool down",
    )
    assert _harness(SimulatedDevice()).measure(_models(2)).notes == ()
