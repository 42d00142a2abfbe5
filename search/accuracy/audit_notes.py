"""An audit's verdict in sentences."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from search.accuracy.audit_statistics import Interval

NO_AUDIT = "no accuracy audit stands behind this front; mnas accuracy audit makes one"
_LEAST_TAU, _LEAST_RATIO = 0.5, 1.5


def _tau(value: dict[str, float]) -> str:
    interval = Interval.from_json(value)
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def ceiling_notes(verdict: dict[str, Any]) -> list[str]:
    """Return what holds for every estimator: noise, the ceiling, and whether networks can be told apart at all."""
    ratio = verdict["better_half_spread_over_noise"]
    origin = "audit that comes with mnas, of" if verdict.get("is_shipped") else "audit of"
    notes = [
        f"{origin} {verdict['networks']} networks x {verdict['seeds']} seeds: seed noise "
        f"{100 * verdict['noise']:.2f} points, two seeds agree at tau {_tau(verdict['seed_tau'])}",
        f"differences below {100 * verdict['gap']:.2f} points between means of {verdict['seeds']} seeds are noise",
    ]
    if verdict["seed_tau"]["value"] < _LEAST_TAU or (ratio is not None and ratio < _LEAST_RATIO):
        shown = "" if ratio is None else f", better half's spread {ratio:.1f} x the noise"
        notes.append(
            f"not measurable here: seeds hardly agree on the networks' order{shown}; train longer, or widen the space"
        )
    if verdict["failed"]:
        notes.append(f"{verdict['failed']} networks could not be trained and are left out")
    return notes


def estimator_note(verdict: dict[str, Any], one: dict[str, Any]) -> str:
    """Return what an audit says of one estimator."""
    if one.get("failure"):
        return f"{one['name']} could estimate none of the audit's networks: {one['failure']}"
    within = f" in generations of {one['generation']}" if one.get("generation") else ""
    text = f"{one['name']}{within} ranks at tau {_tau(one['tau'])}"
    if one["name"] == "macs":
        return text
    text += f" (by its loss at {_tau(one['by_loss']['tau'])})" if one.get("by_loss") else ""
    macs = next(other for other in verdict["estimators"] if other["name"] == "macs")
    text += f", MACs alone at {macs['tau']['value']:.2f}"
    beyond = Interval.from_json(one["beyond_macs"])
    if Interval.from_json(one["tau"]).low <= 0:
        return f"{text}: no better than chance, as far as this audit can tell"
    if beyond.holds_zero:
        return f"{text}: MACs would do as well (the difference holds 0)"
    return f"{text}: better than MACs" if beyond.low > 0 else f"{text}: worse than MACs"


def notes_for_search(verdict: dict[str, Any] | None, accuracy: str, sources: Collection[str]) -> list[str]:
    """Return what an audit says of a search's ranking.

    Args:
        verdict: Of the search's space and data; None where there was no audit.
        accuracy: Name of the search's estimator.
        sources: How its candidates' accuracies are marked.
    """
    if verdict is None:
        return [NO_AUDIT]
    audited = [one for one in verdict["estimators"] if one["name"] == accuracy]
    same = [one for one in audited if one["source"] in sources or one.get("failure")]
    if same:
        return [*ceiling_notes(verdict), estimator_note(verdict, same[0])]
    other = "with other settings" if audited else "not at all"
    return [*ceiling_notes(verdict), f"the audit judged the estimator {accuracy} {other}"]
