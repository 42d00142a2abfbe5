"""The state of the devices over a study's measurements, as parts of its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mnas.cli.bench_conditions import condition_curves, conditions_table, readings
from mnas.cli.bench_figures import levels
from mnas.report.page import Cell, Figure, Gallery, KeyValues, Paragraph, Part
from mnas.report.svg import Axes, Series, scatter

if TYPE_CHECKING:
    from mnas.store import Store
    from search.result import StudyResult

_MOST_CURVES = 9
_LONG_S = 24 * 3600.0
_Reading = tuple[str, dict[str, float | str]]
"""When, as ISO 8601, and what."""


def condition_parts(store: Store, result: StudyResult) -> list[Part]:
    """Return the conditions from the first sitting of the tables to the last session, then each session's own."""
    parts: list[Part] = []
    gallery = _over_the_study(store, result)
    if gallery is not None:
        parts += [Paragraph("From the first sitting of the latency tables to the end of the last session:"), gallery]
    for spec, session in zip(result.config.devices, result.sessions, strict=False):
        if len(result.config.devices) > 1:
            parts.append(Paragraph(f"Session of the finalists on {spec}:"))
        parts += session_parts(session)
    return parts or [Paragraph("Nothing has been measured yet.")]


def session_parts(session: Mapping[str, Any]) -> list[Part]:
    """Return one session: how fast the device was round by round, its state, its verdict."""
    figure, table, curves = _rounds_figure(session), conditions_table(session), condition_curves(session)
    return [part for part in (figure, table, curves, KeyValues(_session_pairs(session))) if part is not None]


def _rounds_figure(session: Mapping[str, Any]) -> Figure | None:
    """Return the reference networks over their nominals and the finalists over their own medians, round by round."""
    nominals, series = session.get("reference_nominals_ms") or {}, []
    for arch_id, network in (session.get("networks") or {}).items():
        samples, rounds = network.get("samples_ms") or (), network.get("rounds") or ()
        level = levels(samples, rounds) if len(samples) == len(rounds) else {}  # once the rounds were not kept
        label = f"{arch_id[:12]}, raw, over its own median"
        series.append(_line("", list(level), list(level.values()), label, "faint"))
    for name, rounds in (session.get("reference_rounds_ms") or {}).items():
        if nominals.get(name):
            numbers = sorted(map(int, rounds))
            values = [float(rounds[str(number)]) / float(nominals[name]) for number in numbers]
            series.append(_line(name, numbers, values, f"{name}, raw, over its nominal", "trace"))
    if not any(one.xs for one in series):
        return None
    caption = (
        "Coloured: reference networks, raw, over their stored nominals: above 1 the device was slower than when it was "
        "calibrated. Grey: finalists, raw, over their own medians. What slows all alike is taken out of latency_ms."
    )
    return Figure(scatter(series, Axes("round", "raw, relative", height=320), title="Speed over the rounds"), caption)


def _line(name: str, xs: Sequence[float], ys: Sequence[float], label: str, style: Any) -> Series:
    return Series(name, list(xs), list(ys), labels=[label] * len(xs), style=style)


def _over_the_study(store: Store, result: StudyResult) -> Gallery | None:
    """Return one small figure for each reading that moved, over time."""
    sittings, sessions = _sittings(store, result), _sessions(store, result)
    times = sorted({_seconds(at) for at, _ in sittings + sessions})
    if len(times) < 2:
        return None
    is_long = times[-1] - times[0] > _LONG_S  # a table may be weeks older than the study: then their order is shown
    places = {at: times.index(at) + 1.0 if is_long else (at - times[0]) / 60 for at in times}
    figures = []
    for name in dict.fromkeys(name for _, found in sittings + sessions for name in found):
        series = [
            _of_reading(label, name, found, places, style)
            for label, found, style in (("tables", sittings, "hollow"), ("finalists", sessions, "points"))
        ]
        if len({y for one in series for y in one.ys}) > 1:
            axes = Axes("readings in order of time" if is_long else "minutes", "", width=320, height=190)
            figures.append(Figure(scatter([one for one in series if one.xs], axes, title=name), name))
    return Gallery(figures[:_MOST_CURVES]) if figures else None


def _of_reading(label: str, name: str, found: Sequence[_Reading], places: Mapping[float, float], style: Any) -> Series:
    seen = [(at, value) for at, one in found if isinstance(value := one.get(name), float)]
    xs = [places[_seconds(at)] for at, _ in seen]
    return Series(label, xs, [value for _, value in seen], labels=[at for at, _ in seen], style=style)


def _sittings(store: Store, result: StudyResult) -> list[_Reading]:
    marks = ", ".join("?" * len(result.lut_ids)) or "NULL"
    rows = store.query(
        f"SELECT started_at_utc, conditions_json FROM lut_sitting WHERE lut_id IN ({marks}) ORDER BY sitting_id",
        tuple(result.lut_ids),
    )
    return [(row["started_at_utc"], readings(json.loads(row["conditions_json"]))) for row in rows]


def _sessions(store: Store, result: StudyResult) -> list[_Reading]:
    """Return what was read before, during and after the sessions; the record of a session is made when it ends."""
    from search.events import EventLog, device_key

    ends = {event["key"]: event["at_utc"] for event in EventLog(store, result.study_id).history(["measured"])}
    found: list[_Reading] = []
    for number, session in enumerate(result.sessions, 1):
        start = session["started_at_utc"]
        found.append((start, readings(session.get("conditions_before") or {})))
        for one in session.get("conditions_during") or []:
            if "t_s" in one:
                at = datetime.fromtimestamp(_seconds(start) + one["t_s"], datetime.fromisoformat(start).tzinfo)
                found.append((at.isoformat(timespec="seconds"), readings(one)))
        found.append((ends.get(device_key(number), start), readings(session.get("conditions_after") or {})))
    return found


def _seconds(at_utc: str) -> float:
    return datetime.fromisoformat(at_utc).timestamp()


def _session_pairs(session: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    return [
        ("started (UTC)", session["started_at_utc"]),
        ("verdict", session["verdict"] + "".join(f"; {reason}" for reason in session["reasons"])),
        ("reference networks, raw ms", ", ".join(f"{k} {v:.4g}" for k, v in session["reference_ms"].items())),
        ("their stored nominals, ms", _nominals(session)),
        ("rounds", session["protocol"]["rounds"]),
    ]


def _nominals(session: Mapping[str, Any]) -> str:
    """Return the nominals of a session; before references had groups, their geometric mean alone was kept."""
    nominals = session.get("reference_nominals_ms")
    if nominals is None:
        return f"{session['reference_nominal_ms']:.4g} (geometric mean)"
    return ", ".join(f"{name} {value:.4g}" for name, value in nominals.items())
