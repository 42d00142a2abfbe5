"""An audit as a table: each estimator, by its errors and by its losses, beside the rivals that cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mnas.cli.output import Result

_FIGURES = {
    "tau": "tau",
    "spearman": "Spearman",
    "beyond_params": "beyond params",
    "beyond_macs": "beyond MACs",
    "beyond_params_within_bands": "beyond params in bands",
    "beyond_macs_within_bands": "beyond MACs in bands",
}
"""Key of a figure in a verdict -> what it is called."""
_ENDS = {"value": "", "low": " low", "high": " high"}
_BANDS = "in bands: over pairs of networks of like MACs alone, three bands of them"


def audit_result(verdict: dict[str, Any]) -> Result:
    """Return an audit as rows, the best estimator first; intervals stand behind their numbers."""
    from search.accuracy.audit_notes import ceiling_notes, estimator_note

    judged = [row for one in verdict["estimators"] if not one.get("failure") for row in _ways(one)]
    judged.sort(key=lambda row: -row[1]["tau"]["value"])
    rows = [
        [f"{name}, by loss" if by == "loss" else name, *(_text(figures.get(key)) for key in _FIGURES), cost_s]
        for (name, by, cost_s), figures in judged
    ]
    records: list[dict[str, object]] = [
        {"estimator": name, "by": by, **dict(_numbers(figures)), "cost s": cost_s}
        for (name, by, cost_s), figures in judged
    ]
    notes = [*ceiling_notes(verdict), _BANDS]
    notes += [estimator_note(verdict, one) for one in verdict["estimators"] if one["name"] not in ("macs", "params")]
    if partly := verdict.get("partly_judged"):
        notes.append(
            f"judged on fewer networks so far, and so left out: {', '.join(partly)}; --estimator goes on with one"
        )
    columns = ("estimator", *_FIGURES.values(), "cost s")
    return Result(columns, rows, {"audit": verdict}, verdict["audit_id"], notes, records)


def _ways(one: dict[str, Any]) -> Iterator[tuple[tuple[str, str, float], dict[str, Any]]]:
    """Give an estimator's name, what of it is judged and its cost, with the figures."""
    cost_s = round(one["cost_s"], 3)
    yield (one["name"], "error", cost_s), one
    if one.get("by_loss"):
        yield (one["name"], "loss", cost_s), one["by_loss"]


def _text(value: dict[str, float] | None) -> str:
    return "" if value is None else f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def _numbers(figures: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    for key, name in _FIGURES.items():
        value = figures.get(key)
        yield from ((f"{name}{end}", None if value is None else round(value[part], 3)) for part, end in _ENDS.items())
