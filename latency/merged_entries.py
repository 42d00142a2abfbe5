"""Equal segments of tables that are merged: whether their entries agree, and their weighted mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt

from latency.table import LatencyTable, LutEntry
from mnas.segments import Segment

Shares = Mapping[int, LutEntry]
"""Number of a table -> its entry of a segment."""


def shares_of(tables: Sequence[LatencyTable]) -> dict[Segment, Shares]:
    """Return every segment that a table has, with the entries of those that have it."""
    found: dict[Segment, dict[int, LutEntry]] = defaultdict(dict)
    for number, table in enumerate(tables):
        for segment, entry in table.entries.items():
            found[segment][number] = entry
    return dict(found)


def do_meet(shares: Shares) -> bool:
    """Return whether the intervals of all entries have a latency in common."""
    return max(entry.low_ms for entry in shares.values()) <= min(entry.high_ms for entry in shares.values())


def weights_of(shares: Shares) -> list[float]:
    """Return the inverse squares of the intervals' halves; the samples, where an entry has no interval."""
    halves = [(entry.high_ms - entry.low_ms) / 2 for entry in shares.values()]
    return [half**-2 for half in halves] if min(halves) > 0 else [max(1, e.samples) for e in shares.values()]


def mean_of(shares: Shares) -> LutEntry:
    """Return the weighted mean; where the intervals do not meet, with the hull of them, as ``drifted``."""
    entries, weights = list(shares.values()), weights_of(shares)
    if len(entries) == 1:
        return entries[0]
    mean = sum(w * entry.latency_ms for w, entry in zip(weights, entries, strict=True)) / sum(weights)
    samples = sum(entry.samples for entry in entries)
    if not do_meet(shares):
        return LutEntry(mean, min(e.low_ms for e in entries), max(e.high_ms for e in entries), samples, "drifted")
    widths = [entry.high_ms - entry.low_ms for entry in entries]
    half = 1 / sqrt(sum(weights)) if min(widths) > 0 else max(widths) / 2
    verdict = next((entry.verdict for entry in entries if entry.verdict != "ok"), "ok")
    return LutEntry(mean, mean - half, mean + half, samples, verdict)
