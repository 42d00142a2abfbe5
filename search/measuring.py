"""Latencies measured while a search goes on: of each generation, on each device, before accuracy is paid for."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.architecture import Architecture
from mnas.export.network import write_network
from mnas.objectives import Objective
from mnas.seeding import derive_seed
from search.context import StudyContext
from search.study_device import open_study_device


@dataclass(frozen=True, slots=True)
class MeasuredOn:
    """What a device said of a candidate.

    Attributes:
        ms: Latency; ``None`` where it could not be measured.
        reason: Why not, or "".
    """

    ms: float | None
    reason: str = ""


def measured_devices(objectives: Sequence[Objective], devices: int) -> tuple[int, ...]:
    """Return the numbers of the devices that candidates are measured on, from 1; none where tables say everything."""
    measured = [one.device for one in objectives if one.source == "measured"]
    return tuple(range(1, devices + 1)) if 0 in measured else tuple(sorted(set(measured)))


class CandidateMeasuring:
    """Measures candidates with drawn weights, interleaved in one session a generation, and keeps each at once.

    What the event log holds already is not measured again, so that a search that goes on is told the same.

    Args:
        context: The study.
        numbers: Of the devices to measure on, from 1.
    """

    def __init__(self, context: StudyContext, numbers: Sequence[int]) -> None:
        self._context = context
        self.numbers = tuple(numbers)
        self._known: dict[str, MeasuredOn] = {
            key: _read(value) for key, value in context.log.payloads("candidate latency").items()
        }

    def measure(self, architectures: Sequence[Architecture]) -> None:
        """Measure those of some networks that are not known yet, on each device.

        Raises:
            DeviceError: A device is gone; what was measured is kept.
            MeasurementError: The reference networks could not be measured.
        """
        for number in self.numbers:
            new = [one for one in architectures if _key(one.arch_id, number) not in self._known]
            if new:
                self._session(new, number)

    def of(self, arch_id: str) -> dict[int, MeasuredOn]:
        """Return number of the device -> what it said of a network that was measured."""
        return {number: self._known[_key(arch_id, number)] for number in self.numbers}

    def _session(self, architectures: Sequence[Architecture], number: int) -> None:
        context = self._context
        config, log = context.config, context.log
        context.reporter.line(f"measuring {len(architectures)} candidates on {config.devices[number - 1]}")
        with (
            open_study_device(config.devices[number - 1], context.store, context.executor) as device,
            tempfile.TemporaryDirectory(prefix="mnas-candidates-") as folder,
        ):
            files = {
                one.arch_id: write_network(one, Path(folder), device.model_format, config.dtype)
                for one in architectures
            }
            seed = derive_seed(config.seed, "measuring candidates", str(number), *sorted(files))
            session = device.measure(files, seed=seed)
        for arch_id, found in session.networks.items():
            payload = {
                "ms": found.ms,
                "low_ms": found.low_ms,
                "high_ms": found.high_ms,
                "verdict": found.verdict,
                "reasons": list(found.reasons),
            }
            log.append("candidate latency", payload, _key(arch_id, number))
            self._known[_key(arch_id, number)] = _read(payload)


def _key(arch_id: str, number: int) -> str:
    return f"{arch_id}/{number}"


def _read(payload: dict[str, Any]) -> MeasuredOn:
    reason = "" if payload["ms"] is not None else "; ".join(payload["reasons"]) or "it gave no number"
    return MeasuredOn(payload["ms"], reason)
