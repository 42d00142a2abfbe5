"""What a table's build consists of: segments, their probes, and the whole networks beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from devices.device import DeviceInfo
from devices.protocol import ProtocolSettings
from latency.key import segment_key
from latency.probes import Mode, Probe, SegmentProbes, probes_of
from mnas.errors import LutError
from mnas.export.artifact import WRITER_VERSION
from mnas.jsonio import sha256_json
from mnas.seeding import named_rng
from mnas.segments import Segment
from mnas.space import Genome, SearchSpace

NETWORK_VISITS = 3
"""Whole networks are few and everything is scaled by them, so each is visited so often a round, beside the probes."""
_SECONDS_PER_VISIT = 0.008
_SECONDS_PER_MODEL = 0.045
"""Between onnxruntime and LiteRT on a 2025 server CPU, networks of 1.5 to 4 ms; smaller ones take less, phones more."""
_BYTES_PER_MODEL = 20_000
_BYTES_PER_VISIT = 400


@dataclass(frozen=True, slots=True)
class LutSettings:
    """How a table is built.

    Attributes:
        mode: ``accurate`` (segments embedded, the difference taken) or ``fast`` (segments alone).
        protocol: The measuring protocol; its ``rounds`` are those of each probe.
        calibration: Whole networks that the table is calibrated on.
        validation: Other whole networks that it is validated on.
        seed: Draws the whole networks.
    """

    mode: Mode = "accurate"
    protocol: ProtocolSettings = field(default_factory=lambda: ProtocolSettings(rounds=6))
    calibration: int = 12
    validation: int = 12
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self)


class LutPlan:
    """Everything that will be measured for a table, worked out without measuring.

    Args:
        space: The space to be covered.
        settings: How.
    """

    def __init__(self, space: SearchSpace, settings: LutSettings) -> None:
        self.space = space
        self.settings = settings

    @cached_property
    def segments(self) -> dict[Segment, SegmentProbes]:
        """Every segment that the space can reach, with what must be measured for it."""
        return {segment: probes_of(segment, self.settings.mode) for segment in self.space.segments()}

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """The distinct probes: edges are shared between segments, and so are some mains."""
        found: dict[Probe, None] = {}
        for parts in self.segments.values():
            found.update(dict.fromkeys((parts.main, *parts.edges)))
        return tuple(found)

    @cached_property
    def networks(self) -> dict[Genome, str]:
        """Distinct genomes drawn for calibration and validation, with their purpose.

        Raises:
            LutError: ``LUT04``: the space holds fewer networks than asked for.
        """
        settings = self.settings
        rng = named_rng(settings.seed, "whole networks of a table", self.space.name)
        wanted = settings.calibration + settings.validation
        found: dict[Genome, str] = {}
        for _ in range(100 * wanted):
            purpose = "calibration" if len(found) < settings.calibration else "validation"
            found.setdefault(self.space.sample(rng), purpose)
            if len(found) == wanted:
                return found
        raise LutError(
            "LUT04",
            "the space holds too few networks to calibrate and validate a table",
            value=f"{len(found)} found, {wanted} asked for",
            why="validation needs networks that were not calibrated on",
            fix="ask for fewer of them",
        )

    def identity(self, device: DeviceInfo) -> str:
        """Return the hash of what a table is: its segments, device, settings and writer."""
        return sha256_json(
            {
                "segments": sorted(segment_key(segment) for segment in self.segments),
                "device_key": device.device_key,
                "settings": self.settings.to_json(),
                "writer_version": WRITER_VERSION,
                "dtype": "float32",
                "batch": 1,
            }
        )

    def counts(self, seconds_per_visit: float = _SECONDS_PER_VISIT) -> dict[str, int | float]:
        """Return what a build takes: counts, minutes and bytes, the last two as estimates.

        Args:
            seconds_per_visit: Of a model, the references' visits beside it included.
        """
        rounds = self.settings.protocol.rounds
        models = len(self.probes) + len(self.networks)
        visits = rounds * (len(self.probes) + NETWORK_VISITS * len(self.networks))
        seconds = models * _SECONDS_PER_MODEL + visits * seconds_per_visit
        return {
            "segments": len(self.segments),
            "probes": len(self.probes),
            "whole_networks": len(self.networks),
            "visits": visits,
            "estimated_minutes": round(seconds / 60, 1),
            "estimated_bytes": models * _BYTES_PER_MODEL + visits * _BYTES_PER_VISIT,
        }
