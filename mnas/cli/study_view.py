"""Studies as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mnas.cli.output import Result
from mnas.cli.study_changes import changes_note

if TYPE_CHECKING:
    from search.result import FrontMember, StudyResult

_COLUMNS = ("network", "predicted ms", "measured ms", "+- ms", "val top-1 %", "test top-1 %", "reward")


def _percent(error: float | None) -> float | None:
    return None if error is None else round(100 * (1 - error), 2)


def further_columns(result: StudyResult) -> tuple[str, ...]:
    """Return the columns that a study has beside those of every study: other objectives, and several devices."""
    keys = [one.key for one in result.config.sought if one.key not in ("error", "latency")]
    others = [key for key in keys if not key.startswith("latency@")]
    devices = result.devices if result.config.other_devices else ()
    return (*others, *(f"{spec} ms" for spec in devices))


def _further(result: StudyResult, member: FrontMember) -> list[object]:
    """Return what stands in `further_columns`."""
    known = {one.key: one.value for one in member.values}
    names = further_columns(result)
    devices = len(result.config.devices) if result.config.other_devices else 0
    measured = member.device_ms if devices else ()
    counted: list[object] = [known.get(name) for name in names[: len(names) - devices]]
    return [*counted, *(None if ms is None else round(ms, 4) for ms in measured)]


def front_result(result: StudyResult) -> Result:
    """Return the finalists of a study, fastest first."""
    rows: list[list[object]] = []
    for member in result.members:
        half = (member.interval_ms[1] - member.interval_ms[0]) / 2 if member.interval_ms else None
        marks = ["front"] if member.is_recommended else []
        marks += ["best under target"] if member.arch_id == result.best_under_target else []
        marks += [f"ties with {', '.join(other[:6] for other in member.ties_with)}"] if member.ties_with else []
        if member.same_latency_as:
            marks.append(f"latency as {', '.join(other[:6] for other in member.same_latency_as)}")
        marks += [member.verdict] if member.verdict not in ("", "ok") else []
        rows.append(
            [
                member.arch_id[:12],
                round(member.candidate.predicted_ms, 4),
                round(member.measured_ms, 4) if member.measured_ms is not None else None,
                round(half, 4) if half is not None else None,
                _percent(member.val_error),
                _percent(member.test_error),
                round(member.reward, 4) if member.reward is not None else None,
                *_further(result, member),
                ", ".join(marks),
            ]
        )
    title = titled(result, f"{result.study_id} ({result.status})")
    columns = (*_COLUMNS, *further_columns(result), "mark")
    return Result(columns, rows, study_document(result), title, notes_of(result), stamped(result, columns, rows))


def titled(result: StudyResult, text: str) -> str:
    """Return the title of a study's numbers, with words on a device that is none and on a table of another one."""
    foreign, simulated = result.foreign_lut, "SIMULATED " if result.is_simulated else ""
    return simulated + text + (f", predicted by a FOREIGN table of {foreign.device}" if foreign else "")


def table_notes(result: StudyResult) -> list[str]:
    """Return what must be said of the study's tables, as far as its notices do not say it."""
    said = [
        (one, [mark for mark in one.marks if not any(one.lut_id in n and mark in n for n in result.notices)])
        for one in result.tables
    ]
    return [f"latency table {one.lut_id}: {', '.join(marks)}" for one, marks in said if marks]


def stamped(result: StudyResult, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[dict[str, object]]:
    """Return rows for JSON lines and CSV, which have no room for notes: each says what its table is marked by."""
    foreign = [f"FOREIGN: of {result.foreign_lut.device}"] if result.foreign_lut else []
    words = "; ".join([*foreign, *result.lut_marks])
    return [{**dict(zip(columns, row, strict=True)), "lut marks": words} for row in rows]


def notes_of(result: StudyResult) -> list[str]:
    """Return what a reader of a study's numbers must know."""
    notes = []
    if result.goal:
        sure = f", kept to with a probability of {result.goal.confidence:g}" if result.goal.confidence else ""
        notes.append(f"target {result.goal.target_ms:.4g} ms ({result.goal.target_source}{sure})")
    if result.config.other_devices:
        how = "the worst of" if result.config.combine == "worst" else "the weighted geometric mean of"
        notes.append(f"latency is {how} {' and '.join(result.devices)}")
    if result.seed_noise is not None:
        notes.append(
            f"seed noise of one training: {100 * result.seed_noise:.2f} points of val accuracy; networks that tie "
            "cannot be told apart by it"
        )
    measured = [member.measured_ms for member in result.members if member.measured_ms is not None]
    if result.goal and measured and result.best_under_target is None:
        notes.append(f"no finalist meets the target; the fastest takes {min(measured):.4g} ms")
    notes += [note] if (note := changes_note(result)) else []
    for session in result.sessions:
        if session["verdict"] != "ok":
            notes.append(f"the measuring session is {session['verdict']}: {'; '.join(session['reasons'])}")
        notes += session.get("notes", ())
    if any(member.test_errors for member in result.members):
        notes.append("test was read after the choice was made and chose nothing")
    return [*notes, *table_notes(result), *result.audit.notes, *result.notices]


def candidates_result(result: StudyResult) -> Result:
    """Return every candidate in ask order, with the reasons of those that failed."""
    score = next((one.score for one in result.candidates if one.score), "")
    spread = ("std",) if any(one.std is not None for one in result.candidates) else ()
    ranked = (f"rank by {score}",) if score else ("rank-val error", *spread, "reward")
    columns = ("number", "network", "generation", "predicted ms", *ranked, "status", "reason")
    rows = [
        [
            *(c.number, c.arch_id[:12], c.generation, c.predicted_ms, c.error),
            *([c.std] if spread and not score else []),
            *([] if score else [c.reward]),
            *(c.status, c.reason),
        ]
        for c in result.candidates
    ]
    notes = [*table_notes(result), *result.audit.notes, *result.notices]
    title = titled(result, f"{result.study_id} ({result.status})")
    return Result(columns, rows, study_document(result), title, notes, stamped(result, columns, rows))


def study_document(result: StudyResult) -> dict[str, Any]:
    """Return a study as JSON."""
    return {
        "study_id": result.study_id,
        "status": result.status,
        "created_at_utc": result.created_at_utc,
        "config": result.config_json(),
        "versions": result.versions,
        "is_simulated": result.is_simulated,
        "lut_id": result.lut_id,
        "lut_ids": list(result.lut_ids),
        "foreign_lut": result.foreign_lut.to_json() if result.foreign_lut else None,
        "lut_marks": result.lut_marks,
        "goal": result.goal.to_json() if result.goal else None,
        "seed_noise": result.seed_noise,
        "generations": list(result.generations),
        "front": result.front_json(),
        "candidates": [candidate.to_json() for candidate in result.candidates],
        "session": result.session,
        "sessions": list(result.sessions),
        "notices": list(result.notices),
        "audit": result.audit.to_json(),
    }
