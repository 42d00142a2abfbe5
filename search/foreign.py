"""A study whose latency table speaks of another device: what every result of it must carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from latency.on_device import MeasuringDevice
from latency.table import LatencyTable


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """The table that a study was allowed to use although it is of another device.

    Attributes:
        lut_id: The table.
        device: Its device in words.
        device_key: Its device's key.
        differing: Field of the key -> the table's value and the value of the study's device.
        measured_on: The study's own device, on which finalists are measured; fields of its `DeviceInfo`.
    """

    lut_id: str
    device: str
    device_key: str
    differing: dict[str, list[Any]]
    measured_on: dict[str, Any]

    @classmethod
    def of(cls, table: LatencyTable, device: MeasuringDevice) -> ForeignTable | None:
        """Return what is foreign about a table; ``None`` where it is of this device."""
        differing = {name: list(values) for name, values in table.device_differences(device.info).items()}
        if not differing:
            return None
        own = device.info.to_json()
        return cls(table.lut_id, device_words(table.device.to_json()), table.device_key, differing, own)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    def stamp(self) -> dict[str, str]:
        """Return what stands with every single result."""
        return {"lut_id": self.lut_id, "device": self.device, "device_key": self.device_key}

    def text(self) -> str:
        """Return what a reader must know, in one sentence."""
        fields = "; ".join(f"{name}: table {own!r}, device {other!r}" for name, (own, other) in self.differing.items())
        return (
            f"FOREIGN latency table {self.lut_id}: every predicted latency, and so the choice of networks, speaks of "
            f"{self.device}, not of {device_words(self.measured_on)} ({fields}); measured latencies are of the latter."
        )


def device_words(info: Mapping[str, Any]) -> str:
    """Return the fields of a `DeviceInfo` for people: model, runtime, threads."""
    runtime = f"{info['runtime']} {info['runtime_version']}".rstrip()
    return f"{info['model']}, {runtime}, {info['threads']} thread(s)"
