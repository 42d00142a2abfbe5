"""What a table's build consists of: segments, their probes, and the whole networks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from devices.device import DeviceInfo
from devices.protocol import ProtocolSettings
from latency.key import segment_key
from latency.probes import Mode, Probe, SegmentProbes, probes_of
from latency.table import block_params
from mnas.architecture import Architecture
from mnas.counts import total_macs
from mnas.errors import LutError
from mnas.export.artifact import WRITER_VERSION
from mnas.export.network import Dtype
from mnas.jsonio import sha256_json
from mnas.layers import layers_of
from mnas.seeding import named_rng
from mnas.segments import Segment, segments_of
from mnas.space import Genome, SearchSpace

NETWORK_ROUNDS = 2
"""Whole networks are few and everything is scaled by them, so they get so many times the rounds of the probes."""
_SECONDS_PER_VISIT = 0.008
_SECONDS_PER_MODEL = 0.045
"""Between onnxruntime and LiteRT on a 2025 server CPU, networks of 1.5 to 4 ms; smaller ones take less, phones more."""
_BYTES_PER_MODEL = 20_000
_BYTES_PER_VISIT = 400

_RELAUNCH_SHARE = 0.3
"""Of the time of whole networks, which are few and soon loaded. How one lies in memory moves it by up to 2 % for as
long as a process lives, which is most of what is wrong with its figure."""
_CHOICE = 8
"""Networks drawn for each one that is calibrated on."""
_EXTREME = 3
"""One in so many calibration networks is an extreme one."""


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

    @property
    def network_protocol(self) -> ProtocolSettings:
        """How whole networks are measured: as elsewhere, whatever the probes' visits are, and over more launches."""
        usual, own = ProtocolSettings(), self.protocol
        return replace(
            own,
            visit_ms=max(own.visit_ms, usual.visit_ms),
            reference_every=min(own.reference_every, usual.reference_every),
            relaunch_share=max(own.relaunch_share, _RELAUNCH_SHARE),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        return asdict(self)


class LutPlan:
    """Everything that will be measured for a table, worked out without measuring.

    Args:
        space: The space to be covered.
        settings: How.
        dtype: Of every model that is measured: ``float32``, or ``int8`` with the ranges of white noise.
    """

    def __init__(self, space: SearchSpace, settings: LutSettings, dtype: Dtype = "float32") -> None:
        self.space = space
        self.settings = settings
        self.dtype = dtype

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
        """Distinct genomes for calibration and validation, with their purpose.

        Those to validate on are drawn. Of those to calibrate on, a third is chosen among more drawn ones so that they
        lie as far apart in MACs and block parameters as a fit of three numbers can use; the others are drawn, since a
        fit on extremes alone said 0.8 percent too much of typical networks (the mean of seven builds).

        Raises:
            LutError: ``LUT04``: the space holds fewer networks than asked for.
        """
        settings = self.settings
        rng = named_rng(settings.seed, "whole networks of a table", self.space.name)
        wanted = settings.calibration + settings.validation
        drawn: dict[Genome, None] = {}
        for _ in range(100 * wanted):
            drawn.setdefault(self.space.draw(rng))
            if len(drawn) == settings.validation + _CHOICE * settings.calibration:
                break
        if len(drawn) >= wanted:
            validation, pool = list(drawn)[: settings.validation], list(drawn)[settings.validation :]
            sizes = [_size(self.space.decode(genome)) for genome in pool]
            extremes = far_apart(sizes, -(-settings.calibration // _EXTREME))
            typical = [place for place in range(len(pool)) if place not in extremes]
            chosen = [*extremes, *typical][: settings.calibration]
            purposes = dict.fromkeys((pool[place] for place in chosen), "calibration")
            return purposes | dict.fromkeys(validation, "validation")
        raise LutError(
            "LUT04",
            "the space holds too few networks to calibrate and validate a table",
            value=f"{len(drawn)} found, {wanted} asked for",
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
                "dtype": self.dtype,
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
        visits = rounds * (len(self.probes) + NETWORK_ROUNDS * len(self.networks))
        seconds = models * _SECONDS_PER_MODEL + visits * seconds_per_visit
        return {
            "segments": len(self.segments),
            "probes": len(self.probes),
            "whole_networks": len(self.networks),
            "visits": visits,
            "estimated_minutes": round(seconds / 60, 1),
            "estimated_bytes": models * _BYTES_PER_MODEL + visits * _BYTES_PER_VISIT,
        }


def _size(architecture: Architecture) -> tuple[float, float]:
    return float(total_macs(layers_of(architecture))), float(sum(map(block_params, segments_of(architecture))))


def far_apart(points: Sequence[Sequence[float]], count: int) -> list[int]:
    """Return the indices of points on which a linear fit with an intercept is pinned down best, one after the other.

    Greedy D-optimal design: each next point is where the fit on those before it is least certain.

    Args:
        points: Features of each, all of one length; at least ``count`` of them.
        count: How many to choose.
    """
    found = np.asarray(points, dtype=np.float64)
    spread = np.where(np.ptp(found, axis=0) > 0, found.std(axis=0), 1.0)
    columns = np.column_stack([np.ones(len(found)), (found - found.mean(axis=0)) / spread])
    information, chosen = np.eye(columns.shape[1]) * 1e-3, list[int]()
    while len(chosen) < count:
        doubt = np.einsum("ij,jk,ik->i", columns, np.linalg.inv(information), columns)
        doubt[chosen] = -1.0
        chosen.append(int(np.argmax(doubt)))
        information += np.outer(columns[chosen[-1]], columns[chosen[-1]])
    return chosen
