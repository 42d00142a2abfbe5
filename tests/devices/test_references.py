from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices.calibration import measure_nominals, ready_harness
from devices.harness import ProtocolSettings
from devices.references import (
    DEVICES,
    REFERENCE_NETWORKS,
    Nominal,
    check_nominals,
    load_nominals,
    save_nominals,
    write_references,
)
from devices.registry import open_device
from devices.testing import SimulatedDevice, simulated_artifact
from mnas.errors import ConfigError, MeasurementError, StateError
from mnas.store import Store

_NOMINALS = [Nominal(name, "a" * 64, 1.5, "2024-01-01T00:00:00+00:00") for name in ("one", "two")]
_QUICK = ProtocolSettings(rounds=3, calibration_rounds=3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite3", (DEVICES,)) as store:
        yield store


def test_nominals_are_kept_per_device_and_never_overwritten_in_silence(store: Store) -> None:
    assert load_nominals(store, "key") == {}
    save_nominals(store, "key", _NOMINALS)
    assert load_nominals(store, "key") == {nominal.name: nominal for nominal in _NOMINALS}
    assert load_nominals(store, "other") == {}
    changed = [replace(_NOMINALS[0], nominal_ms=9.0)]
    with pytest.raises(StateError) as caught:
        save_nominals(store, "key", changed)
    assert caught.value.code == "REF01" and len(load_nominals(store, "key")) == 2
    save_nominals(store, "key", changed, replace=True)
    assert load_nominals(store, "key") == {"one": changed[0]}


def test_nominals_of_other_files_are_refused() -> None:
    references = {nominal.name: simulated_artifact(nominal.name) for nominal in _NOMINALS}
    nominals = {n.name: replace(n, artifact_sha256=references[n.name].sha256) for n in _NOMINALS}
    assert check_nominals(nominals, references) == {"one": 1.5, "two": 1.5}
    for stale in ({**nominals, "one": _NOMINALS[0]}, {"one": nominals["one"]}, {**nominals, "old": _NOMINALS[0]}):
        with pytest.raises(StateError) as caught:
            check_nominals(stale, references)
        assert caught.value.code == "REF02"


@pytest.mark.parametrize("model_format", ["onnx", "tflite"])
def test_references_are_the_same_bytes_each_time(model_format: str, tmp_path: Path) -> None:
    first = write_references(tmp_path / "a", model_format)
    second = write_references(tmp_path / "b", model_format)
    assert list(first) == list(REFERENCE_NETWORKS)
    assert [a.sha256 for a in first.values()] == [a.sha256 for a in second.values()]
    assert len({a.sha256 for a in first.values()}) == len(first)


def test_references_need_a_known_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_references(tmp_path, "coreml")


def test_first_session_calibrates_and_later_ones_do_not(store: Store, tmp_path: Path) -> None:
    device = SimulatedDevice()
    rng = np.random.default_rng(0)
    first = ready_harness(device, store, tmp_path / "refs", _QUICK, rng=rng)
    assert first.was_calibrated_now
    for name, artifact in first.harness.references.items():
        assert first.nominals[name].nominal_ms == pytest.approx(device.true_ms(artifact), rel=0.01)
    second = ready_harness(SimulatedDevice(seed=5), store, tmp_path / "refs", _QUICK, rng=rng)
    assert not second.was_calibrated_now and second.nominals == first.nominals
    third = ready_harness(SimulatedDevice(seed=5), store, tmp_path / "refs", _QUICK, rng=rng, recalibrate=True)
    assert third.was_calibrated_now and third.nominals != first.nominals
    assert load_nominals(store, device.info.device_key) == third.nominals


class _HotDevice(SimulatedDevice):
    """Says that heat slows it down."""

    def conditions(self) -> dict[str, object]:
        return {**super().conditions(), "thermal_status": 2}


def test_a_calibration_of_a_hot_device_says_so_once(store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = (ready_harness(_HotDevice(), store, tmp_path, _QUICK, rng=rng) for _ in range(2))
    assert first.was_calibrated_now and "thermal status 2" in first.heat[0]
    assert second.heat == ()
    cool = ready_harness(SimulatedDevice(), store, tmp_path, _QUICK, rng=rng, recalibrate=True)
    assert cool.was_calibrated_now and cool.heat == ()


def test_calibration_rests_on_no_failed_reference() -> None:
    references = {"one": simulated_artifact("one"), "two": simulated_artifact("two")}
    for kind in ("failing", "not_finite"):
        device = SimulatedDevice(**{kind: [references["two"].sha256]})  # type: ignore[arg-type]
        with pytest.raises(MeasurementError) as caught:
            measure_nominals(device, references, _QUICK, np.random.default_rng(0))
        assert caught.value.code == "MEA04"


@pytest.mark.parametrize("spec", ["host:ort", "host:litert"])
def test_a_real_session_from_end_to_end(spec: str, store: Store, tmp_path: Path) -> None:
    device = open_device(spec)
    try:
        ready = ready_harness(device, store, tmp_path, _QUICK, rng=np.random.default_rng(0))
        models = list(ready.harness.references.values())
        session = ready.harness.measure(models)
    finally:
        device.close()
    assert ready.was_calibrated_now and set(session.reference_ms) == set(REFERENCE_NETWORKS)
    assert set(session.measurements) == {model.sha256 for model in models}
    assert all(m.latency_ms and m.latency_ms > 0 for m in session.measurements.values())
    assert session.device_key == device.info.device_key
