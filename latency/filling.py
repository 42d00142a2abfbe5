"""Fills entries that a table lacks with predictions learned from those that it has; they stay marked as such.

An operator model is fitted on the table's own entries, which are sums of operators like whole networks are. What it is
off, with a fifth of the entries left out at a time, is the spread of what it fills in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latency.operator_features import feature_matrix
from latency.operators import Operator, operators_of
from latency.predictor import FitSettings, fit_costs
from latency.table import LatencyTable, LutEntry
from latency.uncertainty import FloatArray, TableDraws
from mnas.errors import LutError
from mnas.layers import layers_of_blocks
from mnas.segments import Segment

FEWEST_ENTRIES = 20
_FOLDS = 5
_Z95 = 1.96
_SETTINGS = FitSettings(ridge=1e-4)
"""Entries are many and alike, so that they need less of a pull than a few whole networks."""


@dataclass(frozen=True, slots=True)
class _Filler:
    """What a unit of each feature costs, and the relative spread of predictions about entries."""

    costs: FloatArray
    relative_sd: float

    def entry(self, segment: Segment) -> LutEntry:
        ms = float((feature_matrix([_operators(segment)]) @ self.costs)[0])
        half = _Z95 * self.relative_sd * ms
        return LutEntry(ms, ms - half, ms + half, 0, "predicted")


def fill_in(table: LatencyTable, segments: Sequence[Segment]) -> LatencyTable:
    """Return the table with these segments added, predicted; entries that it has stay as they are.

    Args:
        table: What the predictions are learned from.
        segments: What it lacks.

    Raises:
        LutError: ``LUT08``: a prediction that is no latency, ``LUT09``: too few entries to learn from.
    """
    filler = _learn(table)
    added = {segment: filler.entry(segment) for segment in segments if segment not in table.entries}
    for segment, entry in added.items():
        if not entry.latency_ms > 0:
            raise LutError(
                "LUT08",
                "a prediction that is no latency",
                value=segment.label(),
                why="the table has no entry with such operators",
                fix="build a table that holds the segment",
            )
    return LatencyTable(
        lut_id=table.lut_id,
        space=table.space,
        device=table.device,
        dtype=table.dtype,
        batch=table.batch,
        settings=table.settings,
        entries={**table.entries, **added},
        calibration=table.calibration,
        validation=table.validation,
        created_at_utc=table.created_at_utc,
        uncertainty=table.uncertainty,
        draws=_with_added(table.draws, list(added.values()), filler.relative_sd) if table.draws else None,
        filled_in=table.filled_in | added.keys(),
    )


def _learn(table: LatencyTable) -> _Filler:
    known = [(segment, entry.latency_ms) for segment, entry in table.entries.items() if entry.latency_ms > 0]
    if len(known) < FEWEST_ENTRIES:
        raise LutError(
            "LUT09",
            "too few entries to learn others from",
            value=len(known),
            why=f"at least {FEWEST_ENTRIES} are needed",
            fix="build a table of the space that the network is from",
        )
    parts = feature_matrix([_operators(segment) for segment, _ in known])
    measured = np.array([ms for _, ms in known])
    fold = np.random.default_rng(0).permutation(len(known)) % _FOLDS
    errors = np.empty(len(known))
    for one in range(_FOLDS):
        out = fold == one
        errors[out] = parts[out] @ _costs(parts[~out], measured[~out]) / measured[out] - 1
    return _Filler(_costs(parts, measured), float(np.sqrt(np.mean(errors**2))))


def _costs(parts: FloatArray, measured: FloatArray) -> FloatArray:
    return np.asarray(fit_costs(parts, measured, np.ones(len(measured)), _SETTINGS, None))


def _operators(segment: Segment) -> tuple[Operator, ...]:
    return operators_of(layers_of_blocks(segment.blocks, segment.in_shape_chw))


def _with_added(draws: TableDraws, added: Sequence[LutEntry], relative_sd: float) -> TableDraws:
    """Give each predicted entry draws of its own: it errs whatever the measured ones do."""
    count = draws.entries_ms.shape[1]
    spread = np.random.default_rng(1).normal(1.0, relative_sd, (len(added), count))
    rows = np.array([entry.latency_ms for entry in added])[:, None] * spread
    return TableDraws(np.vstack([draws.entries_ms, rows]), draws.calibrations)
