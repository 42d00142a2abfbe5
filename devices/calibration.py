"""From a device to a harness that is ready: references written, nominals loaded, or measured if there are none."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.device import Device
from devices.harness import Harness, ProtocolSettings
from devices.protocol import protocol_for
from devices.references import Nominal, check_nominals, load_nominals, save_nominals, write_references
from devices.stability import judge_heat
from mnas.errors import MeasurementError, StateError
from mnas.export.artifact import ModelArtifact
from mnas.store import Store, utc_now

_FEWEST_ROUNDS, _LONGEST_S = 20, 15.0


@dataclass(frozen=True, slots=True)
class ReadyHarness:
    """A harness with its nominals.

    Attributes:
        harness: Ready to measure.
        nominals: As stored.
        was_calibrated_now: The device had no nominals, so they were measured and stored just now.
        heat: Why those nominals may be too long: while they were measured the device slowed itself down, or may have.
    """

    harness: Harness
    nominals: dict[str, Nominal]
    was_calibrated_now: bool
    heat: tuple[str, ...] = ()


def measure_nominals(
    device: Device, references: dict[str, ModelArtifact], settings: ProtocolSettings, rng: np.random.Generator
) -> list[Nominal]:
    """Measure the references alone, over the settings' calibration rounds, and return what they took.

    On a slow runtime it ends after 15 seconds, with 20 rounds at least.

    Raises:
        DeviceError: The device itself is gone.
        MeasurementError: ``MEA04``: a reference failed in some visit, so nothing can rest on it.
    """
    harness = Harness(device, references, {}, settings, rng=rng)
    started = utc_now()
    samples: dict[str, list[float]] = {artifact.identity: [] for artifact in references.values()}
    began = time.monotonic()

    def enough(rounds_done: int) -> bool:
        return rounds_done >= _FEWEST_ROUNDS and time.monotonic() - began > _LONGEST_S

    for record in harness.visits([], settings.calibration_rounds, enough=enough):
        if record.error or not np.all(np.isfinite(record.samples_ms)):
            raise MeasurementError(
                "MEA04",
                "a reference network failed during calibration",
                value=record.error or str(record.samples_ms),
                why="its nominal would be worth nothing",
                fix="check the device and calibrate again",
            )
        samples[record.sha256] += record.samples_ms
    return [
        Nominal(name, artifact.sha256, float(np.quantile(samples[artifact.identity], settings.quantile)), started)
        for name, artifact in references.items()
    ]


def ready_harness(
    device: Device,
    store: Store,
    folder: Path,
    settings: ProtocolSettings | None = None,
    *,
    rng: np.random.Generator,
    recalibrate: bool = False,
) -> ReadyHarness:
    """Return a harness for a device; the first time for its device key, the references are calibrated.

    Args:
        device: Open; it stays open.
        store: Opened with the component `devices.references.DEVICES`.
        folder: Where the reference networks are written.
        settings: The protocol.
        rng: Draws the order of the visits.
        recalibrate: Measure the nominals anew and replace the stored ones.

    Raises:
        DeviceError: The device itself is gone.
        MeasurementError: The references cannot be measured.
        StateError: ``REF02``: the stored nominals are of other files.
    """
    settings = settings or protocol_for(device.info.kind)
    references = write_references(folder, device.model_format)
    key = device.info.device_key
    nominals = {} if recalibrate else load_nominals(store, key)
    is_new, heat = not nominals, tuple[str, ...]()
    if is_new:
        before = device.conditions()
        measured = measure_nominals(device, references, settings, rng)
        heat = judge_heat([before, device.conditions()])
        # Another process may have calibrated the same device meanwhile: whoever stored first is right for both.
        try:
            save_nominals(store, key, measured, replace=recalibrate)
        except StateError as error:
            if error.code != "REF01":
                raise
        nominals = load_nominals(store, key)
        is_new = nominals == {nominal.name: nominal for nominal in measured}
    return ReadyHarness(
        Harness(device, references, check_nominals(nominals, references), settings, rng=rng), nominals, is_new, heat
    )
