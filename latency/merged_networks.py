"""The whole networks of tables that are merged: pooled, added up anew, and what they say of the merged table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean

from latency.calibration import Calibration, calibrate, sums_by_resolution
from latency.importers.yaml_table import resolutions_px
from latency.saving import MeasuredNetwork
from latency.table import LatencyTable, LutEntry, block_params
from latency.validation import MeasuredNetworks, Validation, validate
from mnas.architecture import Architecture
from mnas.errors import SpaceError
from mnas.segments import Segment, segments_of
from mnas.space import SearchSpace
from mnas.spaces.presets import open_space

_SESSIONS_DIFFER_BY = 0.01
"""Scales of two builds on one device differ by so much without any reason in the tables."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the networks say of a merged table.

    Attributes:
        networks: Those that the merged table can add up; one that served for calibration anywhere serves for it here.
        segments: ``arch_id`` -> the segments of a network.
        calibration: Fitted on all of them that serve for it.
        validation: On the others; ``None`` where it would promise too much.
        warnings: Why there is none, and what was dropped.
    """

    networks: tuple[MeasuredNetwork, ...]
    segments: dict[str, tuple[Segment, ...]]
    calibration: Calibration
    validation: Validation | None
    warnings: tuple[str, ...]


def judge(
    tables: Sequence[LatencyTable],
    networks: Mapping[str, Sequence[MeasuredNetwork]],
    entries: Mapping[Segment, LutEntry],
) -> Judgement:
    """Calibrate and validate a merged table on the networks of its sources.

    Every network is added up anew over the merged entries. The result counts as validated only where each source
    brought calibration networks, and one scale serves them all: the scales of any two sources must agree within twice
    their standard error and a hundredth.

    Args:
        tables: The sources.
        networks: ``lut_id`` -> its whole networks.
        entries: Of the merged table.
    """
    sides = tuple(sorted({px for table in tables for px in resolutions_px(table)}))
    pooled: dict[str, MeasuredNetwork] = {}
    segments: dict[str, tuple[Segment, ...]] = {}
    warnings, scales = [], dict[str, tuple[float, float]]()
    for table in tables:
        own = [_added_up(network, table, sides, entries) for network in networks[table.lut_id]]
        known = [network for network, _ in filter(None, own)]
        segments |= {network.arch_id: parts for network, parts in filter(None, own)}
        if len(known) < len(own):
            warnings.append(f"{len(own) - len(known)} whole networks of {table.lut_id} cannot be added up: left out")
        if scale := _scale(known):
            scales[table.lut_id] = scale
        for network in known:
            pooled[network.arch_id] = _pool(pooled.get(network.arch_id), network)
    plain = tuple(pooled.values())
    calibration = _calibrate(plain, segments, _spaces(tables, sides), entries)
    found = tuple(replace(one, sum_ms=_sum_ms(segments[one.arch_id], entries, calibration)) for one in plain)
    doubts = _doubts(tables, scales)
    validation = None if doubts else _validate(plain, found, calibration)
    if validation is None:
        warnings += [f"UNVALIDATED: {doubt}" for doubt in doubts or ("too few whole networks",)]
    return Judgement(found, segments, calibration, validation, tuple(warnings))


def _space(name: str, sides: Sequence[int]) -> SearchSpace | None:
    """Return a space by its name, with those of its resolutions that are among ``sides``."""
    family, _, preset = name.partition("/")

    def opened(*px: int) -> SearchSpace | None:
        try:
            return open_space(family, preset, px)
        except SpaceError:
            return None

    known = [px for px in sides if opened(px)]
    return opened(*known) if known else None


def _spaces(tables: Sequence[LatencyTable], sides: Sequence[int]) -> list[SearchSpace]:
    names = dict.fromkeys(name for table in tables for name in table.space.split(" + "))
    return [space for name in names if (space := _space(name, sides))]


def _added_up(
    network: MeasuredNetwork, table: LatencyTable, sides: Sequence[int], entries: Mapping[Segment, LutEntry]
) -> tuple[MeasuredNetwork, tuple[Segment, ...]] | None:
    """Return a network with its sum over the merged entries and its genome in the merged space, and its segments."""
    for name in table.space.split(" + "):
        architecture = _architecture(network, _space(name, resolutions_px(table)))
        merged = _space(name, sides)
        if architecture is None or merged is None:
            continue
        segments = segments_of(architecture)
        if all(segment in entries for segment in segments):
            sum_ms = _sum_ms(segments, entries, Calibration())
            genome_json = json.dumps(list(merged.encode(architecture)))
            return replace(network, sum_ms=sum_ms, genome_json=genome_json), segments
    return None


def _architecture(network: MeasuredNetwork, space: SearchSpace | None) -> Architecture | None:
    """Return a network's architecture if its genome is one of the space and means that very network."""
    if space is None:
        return None
    try:
        architecture = space.decode(tuple(json.loads(network.genome_json)))
    except (SpaceError, ValueError, TypeError):
        return None
    return architecture if architecture.arch_id == network.arch_id else None


def _pool(known: MeasuredNetwork | None, other: MeasuredNetwork) -> MeasuredNetwork:
    """Return one network of two measurements of it; having served for calibration anywhere, it cannot validate."""
    if known is None:
        return other
    return replace(
        known,
        purpose="calibration" if "calibration" in (known.purpose, other.purpose) else "validation",
        measured_ms=fmean((known.measured_ms, other.measured_ms)),
        low_ms=min(known.low_ms, other.low_ms),
        high_ms=max(known.high_ms, other.high_ms),
    )


def _scale(networks: Sequence[MeasuredNetwork]) -> tuple[float, float] | None:
    """Return the scale that fits a table's calibration networks best, and its relative standard error."""
    shares = [one.sum_ms / one.measured_ms for one in networks if one.purpose == "calibration"]
    if len(shares) < 2:
        return None
    scale = sum(shares) / sum(share**2 for share in shares)
    spread = sqrt(sum((scale * share - 1) ** 2 for share in shares) / (len(shares) - 1))
    return scale, spread / sqrt(len(shares))


def _doubts(tables: Sequence[LatencyTable], scales: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return why networks of some tables say nothing of the others."""
    silent = [table.lut_id for table in tables if table.lut_id not in scales]
    doubts = [f"{', '.join(silent)} brought no calibration networks"] if silent else []
    for i, (name, (scale, error)) in enumerate(scales.items()):
        for other, (other_scale, other_error) in list(scales.items())[i + 1 :]:
            apart = abs(scale / other_scale - 1)
            if apart > 2 * sqrt(error**2 + other_error**2) + _SESSIONS_DIFFER_BY:
                doubts.append(f"the scales of {name} and {other} differ by {apart:.1%}")
    return doubts


def _sum_ms(segments: Sequence[Segment], entries: Mapping[Segment, LutEntry], calibration: Calibration) -> float:
    return sum(entries[one].latency_ms * calibration.weight(one) for one in segments)


def _calibrate(
    networks: Sequence[MeasuredNetwork],
    segments: Mapping[str, Sequence[Segment]],
    spaces: Sequence[SearchSpace],
    entries: Mapping[Segment, LutEntry],
) -> Calibration:
    fitting = [one for one in networks if one.purpose == "calibration"]
    entries_ms = {segment: entry.latency_ms for segment, entry in entries.items()}
    return calibrate(
        [sums_by_resolution(segments[one.arch_id], entries_ms) for one in fitting],
        [one.block_params for one in fitting],
        [one.measured_ms for one in fitting],
        fastest=min((_fastest(space, entries) for space in spaces), default=None),
    )


def _fastest(space: SearchSpace, entries: Mapping[Segment, LutEntry]) -> tuple[float, int]:
    """Return sum and block parameters of the network with the least sum; what is missing is never the least."""
    fastest = space.decode(space.cheapest(lambda one: entries[one].latency_ms if one in entries else 1e9))
    segments = segments_of(fastest)
    known = sum(entries[one].latency_ms for one in segments if one in entries)
    return known, sum(block_params(one) for one in segments)


def _validate(
    plain: Sequence[MeasuredNetwork], networks: Sequence[MeasuredNetwork], calibration: Calibration
) -> Validation | None:
    """Judge the predictions beside the sums as they stand, those of ``plain``."""
    pairs = list(zip(plain, networks, strict=True))
    fitted, held_out = (
        MeasuredNetworks(
            sums_ms=[one.sum_ms for one, _ in chosen],
            predicted_ms=[calibration.apply(one.sum_ms, one.block_params) for _, one in chosen],
            macs=[one.macs for one, _ in chosen],
            measured_ms=[one.measured_ms for one, _ in chosen],
        )
        for chosen in ([pair for pair in pairs if pair[0].purpose == use] for use in ("calibration", "validation"))
    )
    return validate(fitted, held_out) if min(len(fitted.sums_ms), len(held_out.sums_ms)) > 1 else None
