"""What every device must do, as tests to inherit, and a device that is simulated, to test all that is above devices."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devices.device import Device, DeviceInfo
from devices.measurement import Sample, SampleEvent, Visit
from devices.models.description import TensorSpec
from devices.trial import Trial
from mnas.errors import DeviceError
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import sha256_text

_MS_PER_BYTE = 1e-6


def simulated_artifact(name: str, size_bytes: int = 1_000_000) -> ModelArtifact:
    """Return an artefact without a file, for a `SimulatedDevice` only."""
    return ModelArtifact(
        path=Path(f"/nonexistent/{name}.onnx"),
        format="onnx",
        dtype="float32",
        input_shape=(1, 3, 8, 8),
        sha256=sha256_text(f"simulated {name}"),
        size_bytes=size_bytes,
        arch_id="",
        writer_version="",
    )


class SimulatedDevice:
    """A device whose latencies are made up: 0.1 ms and another millisecond for each million bytes of the model.

    Its time is simulated as well: it advances by what the runs take, and by nothing else.

    Args:
        seed: Of the noise.
        noise: Scale of the one-sided noise, as a fraction.
        slow_windows_ms: Start, stop (simulated milliseconds) and slowdown factor of states in which all runs take
            longer.
        slow_exponents: sha256 -> exponent of the slowdown, for models that a slow state hits more or less; 1 if absent.
        unloadable: Models that cannot be loaded.
        failing: Models whose visits fail.
        not_finite: Models that give NaN.
        placement_noise: Standard deviation of how much faster or slower a model runs for where it lies in memory.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        noise: float = 0.01,
        slow_windows_ms: Sequence[tuple[float, float, float]] = (),
        slow_exponents: Mapping[str, float] | None = None,
        unloadable: Iterable[str] = (),
        failing: Iterable[str] = (),
        not_finite: Iterable[str] = (),
        placement_noise: float = 0.0,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._noise = noise
        self._slow_windows_ms = tuple(slow_windows_ms)
        self._slow_exponents = dict(slow_exponents or {})
        self._unloadable = frozenset(unloadable)
        self._failing = frozenset(failing)
        self._not_finite = frozenset(not_finite)
        self._placement_noise = placement_noise
        self._places: dict[str, float] = {}
        self._is_closed = False
        self.renewals = 0
        self.time_ms = 0.0
        self.info = DeviceInfo(
            device_id="simulated",
            kind="simulated",
            model="simulated",
            soc="",
            os_build="",
            runtime="simulated",
            runtime_version="1",
            runner_sha256="",
            delegate="none",
            threads=1,
            cpu_mask="",
            is_simulated=True,
        )

    @property
    def model_format(self) -> str:
        """Format of the models that it takes."""
        return "onnx"

    def clock(self) -> float:
        """Return the simulated time in seconds."""
        return self.time_ms / 1000

    @staticmethod
    def true_ms(artifact: ModelArtifact) -> float:
        """Return what a model takes on the undisturbed device."""
        return 0.1 + artifact.size_bytes * _MS_PER_BYTE

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        """Refuse the models that it was told to refuse."""
        self._check_open()
        return {a.sha256: "simulated: cannot be loaded" for a in artifacts if a.sha256 in self._unloadable}

    def unload(self, sha256s: Iterable[str]) -> None:
        """Do nothing: nothing is held."""

    def renew(self) -> dict[str, str]:
        """Count it; with ``placement_noise`` every model then runs at another speed for as long as it stays there."""
        self._check_open()
        self.renewals += 1
        self._places.clear()
        return {}

    def try_model(self, artifact: ModelArtifact) -> Trial:
        """Make up a trial; models that were to fail do so."""
        self._check_open()
        if artifact.sha256 in self._unloadable:
            return Trial("refused", "simulated: cannot be loaded")
        if artifact.sha256 in self._failing:
            return Trial("crashed", "simulated: failed")
        return Trial(
            "ok",
            load_ms=1.0,
            first_run_ms=2 * self.true_ms(artifact),
            peak_memory_bytes=artifact.size_bytes,
            bad_outputs=("output",) if artifact.sha256 in self._not_finite else (),
            outputs=(TensorSpec("output", "float32", (1, 10)),),
        )

    def run(self, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
        """Make up one event for each visit."""
        for visit in batch:
            self._check_open()
            sha256 = visit.artifact.sha256
            if sha256 in self._failing or sha256 in self._unloadable:
                yield SampleEvent(visit, (), error="simulated: failed")
            else:
                warmup = tuple(self._sample(visit.artifact) for _ in range(visit.warmup))
                yield SampleEvent(visit, tuple(self._sample(visit.artifact) for _ in range(visit.runs)), warmup)

    def _sample(self, artifact: ModelArtifact) -> Sample:
        value = self.true_ms(artifact) * self._place(artifact.sha256)
        value *= 1 + self._noise * abs(self._rng.standard_normal())
        for start, stop, factor in self._slow_windows_ms:
            if start <= self.time_ms < stop:
                value *= factor ** self._slow_exponents.get(artifact.sha256, 1.0)
        self.time_ms += value
        return Sample(math.nan if artifact.sha256 in self._not_finite else value)

    def _place(self, sha256: str) -> float:
        if not self._placement_noise:
            return 1.0
        if sha256 not in self._places:
            self._places[sha256] = math.exp(self._placement_noise * self._rng.standard_normal())
        return self._places[sha256]

    def _check_open(self) -> None:
        if self._is_closed:
            raise DeviceError("DEV04", "the device was closed", value="simulated", fix="open another")

    def conditions(self) -> dict[str, Any]:
        """Return that it is simulated."""
        return {"simulated": True}

    def close(self) -> None:
        """Refuse all further runs."""
        self._is_closed = True


class DeviceConformance:
    """Tests that every device must pass. A subclass gives three pytest fixtures.

    * ``device``: an open `Device`; closed by the fixture.
    * ``good_artifacts``: two or more models that run on it.
    * ``bad_artifact``: a model that does not, e.g. a file of garbage.

    Attributes:
        is_lazy: The device asks for a visit when the one before is done; else it takes a batch whole.
        knows_outputs: Its trials tell of a model's outputs.
    """

    is_lazy = True
    knows_outputs = True

    def test_info_survives_json_and_names_the_runtime(self, device: Device) -> None:
        """Who it is can be stored, and two readings agree."""
        info = device.info
        assert DeviceInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
        assert info.device_key == device.info.device_key
        assert info.kind and info.model and info.runtime and info.threads >= 1

    def test_load_names_the_bad_model_only(
        self, device: Device, good_artifacts: Sequence[ModelArtifact], bad_artifact: ModelArtifact
    ) -> None:
        """A bad model has a reason; loading again changes nothing for the good ones."""
        failed = device.load([good_artifacts[0], bad_artifact, *good_artifacts[1:]])
        assert set(failed) == {bad_artifact.sha256} and failed[bad_artifact.sha256]
        assert device.load(good_artifacts) == {}

    def test_trials_tell_good_from_bad_and_leave_the_device_as_it_was(
        self, device: Device, good_artifacts: Sequence[ModelArtifact], bad_artifact: ModelArtifact
    ) -> None:
        """A trial never raises for a model, can be stored, and loads nothing."""
        good, bad = device.try_model(good_artifacts[0]), device.try_model(bad_artifact)
        for trial in (good, bad):
            assert Trial.from_json(json.loads(json.dumps(trial.to_json(), allow_nan=False))) == trial
        assert good.how == "ok" and good.error == "" and good.bad_outputs == ()
        assert bool(good.outputs) == self.knows_outputs
        assert good.load_ms is not None and good.first_run_ms is not None and good.first_run_ms > 0
        assert bad.how != "ok" and bad.error and "\n" not in bad.error and bad.first_run_ms is None
        (event,) = device.run([Visit(good_artifacts[0], 2, 0)])
        assert event.error == ""

    def test_run_keeps_order_and_counts(self, device: Device, good_artifacts: Sequence[ModelArtifact]) -> None:
        """One event for each visit, in order, with as many inferences as were asked for."""
        visits = [Visit(a, runs, 2) for runs in (1, 4) for a in good_artifacts]
        events = list(device.run(visits))
        assert [event.visit for event in events] == visits
        for event in events:
            assert event.error == ""
            assert sum(sample.runs for sample in event.samples) == event.visit.runs
            assert all(math.isfinite(sample.value_ms) and sample.value_ms > 0 for sample in event.samples)

    def test_a_bad_model_costs_its_own_visit_only(
        self, device: Device, good_artifacts: Sequence[ModelArtifact], bad_artifact: ModelArtifact
    ) -> None:
        """It gives an error and no number, and the batch goes on."""
        first, second = good_artifacts[:2]
        events = list(device.run([Visit(first, 2, 0), Visit(bad_artifact, 2, 0), Visit(second, 2, 0)]))
        assert [bool(event.error) for event in events] == [False, True, False]
        assert events[1].samples == ()

    def test_unloaded_models_run_again(self, device: Device, good_artifacts: Sequence[ModelArtifact]) -> None:
        """Unloading gives back memory, not the right to run; what was never loaded is passed over."""
        device.load(good_artifacts)
        device.unload([good_artifacts[0].sha256, "never loaded"])
        assert device.load(good_artifacts) == {}
        assert [event.error for event in device.run([Visit(a, 1, 0) for a in good_artifacts])] == [""] * len(
            good_artifacts
        )

    def test_models_run_after_a_renewal(self, device: Device, good_artifacts: Sequence[ModelArtifact]) -> None:
        """A fresh process holds the same models."""
        device.load(good_artifacts)
        assert device.renew() == {}
        assert [event.error for event in device.run([Visit(a, 1, 0) for a in good_artifacts])] == [""] * len(
            good_artifacts
        )

    def test_run_is_as_lazy_as_it_says(self, device: Device, good_artifacts: Sequence[ModelArtifact]) -> None:
        """A lazy device gives an event before the next visit is asked for; another takes all visits first."""
        taken: list[int] = []

        def batch() -> Iterator[Visit]:
            for place in range(3):
                taken.append(place)
                yield Visit(good_artifacts[0], 1, 0)

        events = iter(device.run(batch()))
        next(events)
        assert taken == ([0] if self.is_lazy else [0, 1, 2])

    def test_conditions_are_strict_json(self, device: Device) -> None:
        """What it says of its state can be stored."""
        assert isinstance(json.loads(json.dumps(device.conditions(), allow_nan=False)), dict)

    def test_close_is_final_and_repeatable(self, device: Device, good_artifacts: Sequence[ModelArtifact]) -> None:
        """Closing twice is no error; running afterwards is."""
        device.close()
        device.close()
        uses = (lambda: list(device.run([Visit(good_artifacts[0], 1, 0)])), lambda: device.try_model(good_artifacts[0]))
        for use in uses:
            try:
                use()
            except DeviceError:
                continue
            raise AssertionError("a closed device ran a model")
