"""What the page of a study hands to its script: networks, their parts, objectives as axes, finalists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnas.cli.study_networks import NetworkParts, PartList, part_costs, predictions, rounded, space_of
from mnas.objectives import UNITS

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.store import Store
    from search.candidate import Candidate
    from search.result import FrontMember, StudyResult

SCHEMA = "mnas.study-page/1"
_NAMES = {"macs": "MACs", "params": "parameters", "size": "size", "peak_memory": "peak memory"}
_Predicted = Sequence[list[tuple[float, float, float]] | None]


@dataclass(frozen=True, slots=True)
class Axis:
    """Something that networks are laid out, filtered and sorted by.

    Attributes:
        key: As `mnas.objectives.Objective.key`, but ``accuracy`` for the error.
        label: For people, with its unit.
        is_log: Whether it spans orders of magnitude by nature.
        is_maximised: Whether large is good.
    """

    key: str
    label: str
    is_log: bool
    is_maximised: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields as the script knows them."""
        return {"key": self.key, "label": self.label, "log": self.is_log, "max": self.is_maximised}


def axes_of(result: StudyResult, *, with_counts: bool) -> list[Axis]:
    """Return the axes of a study: latency and accuracy, latencies by device, the other objectives, counts."""
    several = bool(result.config.other_devices)
    how = "worst" if result.config.combine == "worst" else "weighted mean"
    latency = f"latency, {how} of devices (ms)" if several else "latency (ms)"
    axes = [Axis("latency", latency, True, False), Axis("accuracy", "top-1 accuracy", False, True)]
    if several:
        specs = enumerate(result.config.devices, 1)
        axes += [Axis(f"latency@{number}", f"latency on {spec} (ms)", True, False) for number, spec in specs]
    for one in result.config.sought:
        if one.name not in ("error", "latency"):
            unit = f" ({UNITS[one.name]})" if UNITS[one.name] else ""
            axes.append(Axis(one.key, f"{_NAMES.get(one.name, one.name)}{unit}", True, one.is_maximised))
    known = {axis.key.partition(":")[0] for axis in axes}
    if with_counts:
        axes += [Axis(name, _NAMES[name], True, False) for name in ("macs", "params") if name not in known]
    return axes


def page_data(store: Store, result: StudyResult, tables: Sequence[LatencyTable]) -> dict[str, Any]:
    """Return everything that the explorer of a study's page shows, as JSON.

    Args:
        store: Open.
        result: The study.
        tables: Of its devices in their order, as far as there are any.
    """
    space = space_of(store, result.study_id, result.config)
    genomes = [candidate.genome for candidate in result.candidates]
    parts = PartList(space) if space else None
    networks: list[NetworkParts] | None = parts.networks(genomes) if parts else None
    missing = result.config.missing
    predicted = [predictions(table, space, genomes, missing) if space else None for table in tables]
    costs = [part_costs(table, parts.segments if parts else (), missing) for table in tables]
    axes = axes_of(result, with_counts=networks is not None)
    sources = list(dict.fromkeys(candidate.accuracy_source for candidate in result.candidates))
    numbers = {candidate.arch_id: number for number, candidate in enumerate(result.candidates)}
    measured = _measured(store, result)
    return {
        "schema": SCHEMA,
        "study": result.study_id,
        "target": result.goal.target_ms if result.goal else None,
        "devices": list(result.config.devices),
        "combine": result.config.combine,
        "luts": [table.lut_id for table in tables],
        "fixed": [rounded(table.calibration.intercept_ms) for table in tables],
        "steps": len(result.config.sought) == 2 and not result.config.other_devices,
        "axes": [axis.to_json() for axis in axes],
        "sought": _sought(result, axes),
        "sources": sources,
        "parts": parts.to_json(costs) if parts else [],
        "networks": [
            _network(candidate, axes, networks[n] if networks else None, [one[n] if one else None for one in predicted])
            | {"by": sources.index(candidate.accuracy_source), **measured.get(candidate.arch_id, {})}
            for n, candidate in enumerate(result.candidates)
        ],
        "finals": [_final(result, member, axes, numbers) for member in result.members if member.arch_id in numbers],
    }


def _measured(store: Store, result: StudyResult) -> dict[str, dict[str, list[list[float] | None]]]:
    """Return arch_id -> latency and its 95 % interval on each device, of candidates that the search itself measured."""
    from search.events import EventLog

    found: dict[str, dict[str, list[list[float] | None]]] = {}
    for key, payload in EventLog(store, result.study_id).payloads("candidate latency").items():
        arch_id, _, number = key.rpartition("/")
        if payload["ms"] is not None:
            ends: list[list[float] | None] = [None] * len(result.config.devices)
            row = found.setdefault(arch_id, {"got": ends})["got"]
            row[int(number) - 1] = [rounded(payload[name]) for name in ("ms", "low_ms", "high_ms")]
    return found


def _sought(result: StudyResult, axes: Sequence[Axis]) -> list[int]:
    """Return the numbers of the axes that are objectives of the study, in its order."""
    places = {axis.key: number for number, axis in enumerate(axes)}
    keys = ["accuracy" if one.key == "error" else one.key for one in result.config.sought]
    return [places[key] for key in keys]


def _network(
    candidate: Candidate,
    axes: Sequence[Axis],
    parts: NetworkParts | None,
    predicted: Sequence[tuple[float, float, float] | None],
) -> dict[str, Any]:
    known: dict[str, float | None] = {one.key: one.value for one in candidate.values}
    known |= {"latency": candidate.latency_ms, "accuracy": None if candidate.score else _accuracy(candidate.error)}
    known |= {f"latency@{n}": one[0] for n, one in enumerate(predicted, 1) if one and f"latency@{n}" not in known}
    if parts:
        known |= {"macs": parts.macs, "params": parts.params}
    found: dict[str, Any] = {
        "id": candidate.arch_id[:12],
        "gen": candidate.generation,
        "v": [_value(known.get(axis.key)) for axis in axes],
        "pred": rounded(candidate.predicted_ms),
        "ms": [[rounded(end) for end in one] if one else None for one in predicted],
        "net": [list(stage) for stage in parts.stages] if parts else [],
    }
    # Written only where it says something: a page holds thousands.
    if candidate.latency_ms != candidate.predicted_ms:
        found["measured"] = True
    if candidate.status == "failed":
        found["why"] = candidate.reason or "failed"
    return found


def _accuracy(error: float | None) -> float | None:
    return None if error is None else 1 - error


def _value(value: float | None) -> float | None:
    return None if value is None else value if isinstance(value, int) else rounded(float(value))


def _final(result: StudyResult, member: FrontMember, axes: Sequence[Axis], numbers: dict[str, int]) -> dict[str, Any]:
    known: dict[str, float | None] = {one.key: one.value for one in member.values}
    known |= {"latency": member.measured_ms, "accuracy": _accuracy(member.val_error)}
    known |= {f"latency@{number}": ms for number, ms in enumerate(member.device_ms, 1)}
    return {
        "n": numbers[member.arch_id],
        "v": [_value(known.get(axis.key)) for axis in axes],
        "ends": [_ends(result, member, axis.key) for axis in axes],
        "front": member.is_recommended,
        "best": member.arch_id == result.best_under_target,
        "by": f"mean of {len(member.val_errors)} seed(s) on val, final schedule" if member.val_errors else "",
        "seeds": [str(seed) for seed in member.seeds],
        "test": _value(_accuracy(member.test_error)),
        "verdict": member.verdict,
        "sessions": [
            f"{session_id(result.study_id, number)}, {one['started_at_utc']}, device key {session_key(one)}"
            for number, one in enumerate(result.sessions, 1)
        ],
        "ties": [numbers[other] for other in (*member.ties_with, *member.same_latency_as) if other in numbers],
        "card": f"../{member.export}/card.md" if member.export else None,
    }


def session_id(study_id: str, number: int) -> str:
    """Return what names the session in which a study's finalists were measured on one of its devices.

    Args:
        study_id: The study.
        number: Of the device, from 1.
    """
    return f"{study_id}/measured@{number}"


def session_key(session: Mapping[str, Any]) -> str:
    """Return the beginning of the key of a session's device."""
    return str(session.get("device_key") or "unknown")[:12]


def _ends(result: StudyResult, member: FrontMember, key: str) -> list[float] | None:
    """Return the 95 % interval of a measured latency, or the least and the greatest of the seeds' accuracies."""
    if key == "accuracy":
        errors = member.val_errors
        return [rounded(1 - max(errors)), rounded(1 - min(errors))] if errors else None
    if key == "latency":
        return [rounded(end) for end in member.interval_ms] if member.interval_ms else None
    name, _, number = key.partition("@")
    if name != "latency" or not number or int(number) > len(result.sessions):
        return None
    found = result.sessions[int(number) - 1]["networks"].get(member.arch_id, {})
    low, high = found.get("low_ms"), found.get("high_ms")
    return [rounded(low), rounded(high)] if low is not None and high is not None else None
