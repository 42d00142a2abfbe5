"""The same table, drawn anew: what its entries and calibration would have been with other rounds of the same build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from devices.harness import Harness
from devices.protocol import VisitRecord
from devices.summary import estimator_of, runs_by_model
from latency.calibration import Calibration, refit
from latency.probes import Probe, SegmentProbes
from latency.uncertainty import DRAWS, FloatArray, TableDraws
from mnas.segments import Segment


def drawn_latencies(records: Sequence[VisitRecord], harness: Harness) -> dict[str, FloatArray]:
    """Return `DRAWS` resampled latencies of every model of one chunk, milliseconds; NaN for those without a number.

    Models that shared their rounds are drawn in the same rounds, so that what disturbed them together stays together.
    """
    references = {name: artifact.sha256 for name, artifact in harness.references.items()}
    estimator = estimator_of(records, references, harness.nominals_ms, harness.settings)
    models, _ = runs_by_model(records)
    return {sha256: estimator.draws(runs, DRAWS) for sha256, runs in models.items()}


def table_draws(
    segments: Mapping[Segment, SegmentProbes],
    drawn: Mapping[Probe, FloatArray],
    networks: Sequence[tuple[Sequence[Segment], int, FloatArray]],
    calibration: Calibration,
) -> TableDraws:
    """Put draws of probes and of whole networks together to draws of a table.

    Each draw is calibrated anew. What the calibration's networks are off the fit is drawn, too, with the error that
    cross-validation saw: other networks would have given another calibration.

    Args:
        segments: Segment -> its probes, in the order of the table's entries.
        drawn: Probe -> its draws.
        networks: Of the calibration: segments, block parameters, draws of the measured latency.
        calibration: Of the table.
    """
    entries = np.stack(
        [drawn[parts.main] - sum(drawn[edge] for edge in parts.edges) / 2.0 for parts in segments.values()]
    )
    entries = np.where(np.isfinite(entries), entries, np.nanmean(entries, axis=1, keepdims=True))
    if not networks:
        return TableDraws(entries, np.tile([calibration.scale, 0.0, 0.0], (entries.shape[1], 1)))
    rows = {segment: row for row, segment in enumerate(segments)}
    weights = np.array([calibration.weight(one) for one in segments])
    weighted = entries * weights[:, None]
    sums = np.stack([weighted[[rows[one] for one in parts]].sum(axis=0) for parts, _, _ in networks])
    params = np.array([count for _, count, _ in networks], dtype=np.float64)
    measured = np.stack([latencies for _, _, latencies in networks])
    strays = np.random.default_rng(0).normal(1.0, calibration.cv_error, measured.shape)
    fits = [refit(calibration, sums[:, one], params, (measured * strays)[:, one]) for one in range(sums.shape[1])]
    return TableDraws(entries, np.array(fits))
