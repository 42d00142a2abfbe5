"""Where the numbers of a study come from, by the ids of the runs that gave them, as parts of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mnas.cli.study_data import session_id, session_key
from mnas.report.page import Cell, KeyValues, Part, Table

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.store import Store
    from search.result import FrontMember, StudyResult

_HASH = 12


def public_result(result: StudyResult) -> StudyResult:
    """Return a study with the phones' serials replaced by what stands for them outside this machine."""

    def public(text: str) -> str:
        for serial, name in names.items():
            text = text.replace(serial, name)
        return text

    def serial_of(spec: str) -> str:
        return spec.removeprefix("adb:").partition("/")[0]

    config = result.config
    pairs = zip(config.devices, result.devices, strict=True)
    phones = {serial_of(spec): serial_of(name) for spec, name in pairs if spec.startswith("adb:")}
    names = {serial: phones[serial] for serial in sorted(phones, key=len, reverse=True)}
    if not names:
        return result
    first, *others = result.devices
    sessions = tuple({**one, "reasons": [public(reason) for reason in one["reasons"]]} for one in result.sessions)
    return replace(
        result,
        config=config.model_copy(update={"device": first, "other_devices": tuple(others)}),
        notices=tuple(map(public, result.notices)),
        audit=replace(result.audit, notes=tuple(map(public, result.audit.notes))),
        sessions=sessions,
    )


def provenance_parts(store: Store, result: StudyResult, tables: Sequence[LatencyTable]) -> list[Part]:
    """Return the runs behind the page, where each finalist's numbers come from, the study's log, its configuration."""
    pairs: list[tuple[str, Cell]] = [(f"version of {name}", number) for name, number in result.versions.items()]
    pairs += [(key, str(value)) for key, value in result.config.model_dump().items()]
    parts: list[Part] = [_runs_table(result, tables)]
    if result.members:
        parts.append(_members_table(store, result))
    return [*parts, _log_table(store, result), KeyValues(pairs)]


def _runs_table(result: StudyResult, tables: Sequence[LatencyTable]) -> Table:
    """Return study, tables and sessions, each with the device that it is of."""
    rows: list[list[Cell]] = [
        [result.study_id, "study", result.created_at_utc, "accuracy on rank-val, val and test", None, None]
    ]
    for table in tables:
        foreign = " (FOREIGN)" if result.foreign_lut and result.foreign_lut.lut_id == table.lut_id else ""
        info = table.device
        words = [info.model, info.os_build, f"{info.runtime} {info.runtime_version}", f"{info.threads} thread(s)"]
        device = ", ".join(filter(None, [*words, info.delegate]))
        rows.append(
            [
                table.lut_id,
                "latency table",
                table.created_at_utc,
                "predicted latency, latency by block",
                f"{device}{foreign}",
                table.device_key[:_HASH],
            ]
        )
    for number, (spec, session) in enumerate(zip(result.config.devices, result.sessions, strict=False), 1):
        name = session_id(result.study_id, number)
        rows.append([name, "session", session["started_at_utc"], "measured latency", spec, session_key(session)])
    columns = ["run", "kind", "begun (UTC)", "what comes from it", "device", "device key"]
    return Table(columns, rows, align="llllll", caption="The runs that the numbers of this page come from.")


def _members_table(store: Store, result: StudyResult) -> Table:
    """Return for each finalist the runs and files that its numbers are of."""
    from search.events import EventLog

    exported = EventLog(store, result.study_id).payloads("exported")
    predicted = ", ".join(result.lut_ids) or None
    rows: list[list[Cell]] = [
        [
            member.arch_id[:_HASH],
            predicted if member.candidate.latency_source == "lut" else member.candidate.latency_source,
            f"{member.candidate.accuracy_source}, seed {member.candidate.seed}",
            _trainings(member),
            _files(exported.get(member.arch_id)),
        ]
        for member in result.members
    ]
    columns = ["network", "predicted by", "ranked by", "trained at last", "files measured (sha256)"]
    return Table(columns, rows, align="lllll", row_ids=[member.arch_id[:_HASH] for member in result.members])


def _trainings(member: FrontMember) -> Cell:
    return ", ".join(f"seed {seed}" for seed in member.seeds) or None


def _files(export: Mapping[str, Any] | None) -> Cell:
    files = (export or {}).get("files", {})
    return ", ".join(f"{name} {file['sha256'][:_HASH]}" for name, file in files.items()) or None


def _log_table(store: Store, result: StudyResult) -> Table:
    """Return the kinds of events of the study with their number and time."""
    from search.events import EventLog

    kinds: dict[str, list[str]] = {}
    for event in EventLog(store, result.study_id).history():
        kinds.setdefault(event["kind"], []).append(event["at_utc"])
    rows: list[list[Cell]] = [[kind, len(times), times[0], times[-1]] for kind, times in kinds.items()]
    return Table(["event", "times", "first (UTC)", "last (UTC)"], rows, align="lrll", caption="The study's log.")
