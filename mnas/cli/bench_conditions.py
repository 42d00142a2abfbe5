"""The state of a device around a bench run, as parts of its page: before, during, after, and what it lacks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnas.report.page import Cell, Figure, Gallery, Paragraph, Part, Table
from mnas.report.svg import Axes, Series, scatter

if TYPE_CHECKING:
    from devices.run import BenchRun

_NAMES = {
    "load_average": "load average, 1 min",
    "cpu_mhz": "CPU clock, mean (MHz)",
    "cpu_governor": "CPU governor",
    "steal_ticks": "steal time (ticks since boot)",
    "throttle_count": "slowed down for heat (times since boot)",
    "temperatures_c": "temperature (C)",
}
_APART = ("capabilities", "round", "t_s", "model_notes", "ordinary_priority", "real_time_limit_us")
_BYTES = "_bytes"
_MOST_CURVES = 6
_FEWEST_READINGS = 3

Readings = dict[str, float | str]


def readings(conditions: Mapping[str, Any]) -> Readings:
    """Return conditions as names with one value each: numbers in lists become their mean, nested names are joined."""
    found: Readings = {}
    for key, value in conditions.items():
        if key in _APART or value is None:
            continue
        name = _NAMES.get(key, key.replace("_", " "))
        if isinstance(value, Mapping):
            found |= {f"{name} {inner}": one for inner, one in readings(value).items()}
        elif isinstance(value, list | tuple):
            numbers = [float(one) for one in value if _is_number(one)]
            if numbers:
                found[name] = numbers[0] if key == "load_average" else statistics.fmean(numbers)
            elif value:
                found[name] = ", ".join(str(one) for one in value)
        elif _is_number(value):
            is_size = key.endswith(_BYTES)
            found[f"{key.removesuffix(_BYTES).replace('_', ' ')} (MB)" if is_size else name] = (
                value / 1e6 if is_size else float(value)
            )
        else:
            found[name] = str(value)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def lacking(conditions: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return which of a device's ``capabilities`` are not there: name, what that costs, how to get it.

    The last two are empty for a name that this machine's own check does not know.
    """
    from devices.runtimes.capabilities import describe_capability

    given = conditions.get("capabilities") or {}
    absent = [describe_capability(name, False) for name, is_there in given.items() if not is_there]
    return [(one.name, one.costs, one.remedy) for one in absent]


def _model_remarks(run: BenchRun, conditions: Mapping[str, Any]) -> list[str]:
    """Return what of single models ran otherwise than others: notes of the runtime, ordinary priority."""
    labels = {model.sha256: model.label for model in run.models if model.sha256}
    notes = conditions.get("model_notes") or {}
    remarks = [f"{labels[sha]}: {note}" for sha, found in notes.items() if sha in labels for note in found]
    ordinary = [labels[sha] for sha in conditions.get("ordinary_priority") or () if sha in labels]
    if ordinary:
        remarks.append(
            f"Ran at ordinary priority, since one run takes too long for a real-time one: {', '.join(ordinary)}."
        )
    return remarks


def _during_text(values: Sequence[float | str]) -> str:
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        return ", ".join(dict.fromkeys(str(value) for value in values))
    low, high = min(numbers), max(numbers)
    return f"{low:,.5g}" if low == high else f"{low:,.5g} to {high:,.5g}"


def conditions_table(session: Mapping[str, Any]) -> Table | None:
    """Return each reading before, during and after a session, or ``None`` when there is none."""
    before, after = (readings(session.get(f"conditions_{when}") or {}) for when in ("before", "after"))
    during = [readings(one) for one in session.get("conditions_during") or []]
    names = list(dict.fromkeys([*before, *after, *(name for one in during for name in one)]))
    if not names:
        return None
    rows: list[list[Cell]] = []
    for name in names:
        seen = [one[name] for one in during if name in one]
        rows.append([name, _cell(before.get(name)), _during_text(seen) if seen else None, _cell(after.get(name))])
    heads = [
        "reading",
        "before",
        "during" if not during else f"during ({len(during)} reading{'' if len(during) == 1 else 's'})",
        "after",
    ]
    return Table(heads, rows, align="lrrr", formats=[",.5g"] * 4, sortable=False)


def _cell(value: float | str | None) -> Cell:
    return value


def condition_curves(session: Mapping[str, Any]) -> Gallery | None:
    """Return how numeric readings moved during a session; those that stood still are left out."""
    during = session.get("conditions_during") or []
    if len(during) < _FEWEST_READINGS:
        return None
    times = [one.get("t_s", one.get("round")) for one in during]
    x_label = "seconds" if all("t_s" in one for one in during) else "round"
    found = [readings(one) for one in during]
    figures = []
    for name in dict.fromkeys(name for one in found for name in one):
        values = [value if isinstance(value := one.get(name), float) else None for one in found]
        if len({value for value in values if value is not None}) < 2:
            continue
        axes = Axes(x_label, "", width=320, height=180)
        figures.append(Figure(scatter([Series("", times, values, style="trace")], axes, title=name), name))
    return Gallery(figures[:_MOST_CURVES]) if figures else None


def _stolen_ticks(session: Mapping[str, Any]) -> int | None:
    """Return the growth of steal time over a session, or ``None`` where it cannot be told."""
    before, after = ((session.get(f"conditions_{when}") or {}).get("steal_ticks") for when in ("before", "after"))
    return int(after - before) if before is not None and after is not None else None


def condition_parts(run: BenchRun) -> list[Part]:
    """Return the device's state before, during and after the session, interruptions, and what the device lacks."""
    parts: list[Part] = []
    table, curves = conditions_table(run.session), condition_curves(run.session)
    if table is not None:
        parts.append(table)
    if curves is not None:
        parts.append(curves)
    if not parts:
        parts.append(Paragraph("The device gave no reading of its state."))
    known = [(model.label, model.involuntary_switches) for model in run.models if model.involuntary_switches >= 0]
    if known:
        total = sum(count for _, count in known)
        worst = max(known, key=lambda one: one[1])
        most = f", the most ({worst[1]}) during {worst[0]}" if total and len(known) > 1 else ""
        parts.append(Paragraph(f"The scheduler took the CPU away {total:,} times during the models' visits{most}."))
    else:
        parts.append(Paragraph("How often the scheduler took the CPU away is not known on this device."))
    stolen = _stolen_ticks(run.session)
    if stolen is not None:
        parts.append(
            Paragraph(f"The hypervisor took {stolen:,} ticks from this machine in all between before and after.")
        )
    last = run.session.get("conditions_after") or run.session.get("conditions_before") or {}
    parts += [Paragraph(remark) for remark in _model_remarks(run, last)]
    absent = lacking(last)
    if absent:
        rows: list[list[Cell]] = [[name.replace("_", " "), cost or None, fix or None] for name, cost, fix in absent]
        heads = ["this device lacked", "what that costs", "how to get it"]
        parts.append(Table(heads, rows, align="lll", sortable=False))
    return parts
