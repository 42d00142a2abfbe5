"""Draws of a merged table: those of its sources put together, each calibrated anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from latency.calibration import refit
from latency.merged_entries import Shares, do_meet, shares_of, weights_of
from latency.merged_networks import Judgement
from latency.table import LatencyTable, LutEntry, block_params
from latency.uncertainty import FloatArray, TableDraws, Uncertainty, uncertainty_of
from mnas.segments import Segment

_Z95 = 1.959964


def draws_of(tables: Sequence[LatencyTable], judgement: Judgement) -> TableDraws | None:
    """Return draws of the merged table, in the order of its entries; ``None`` where a source has none, or fewer.

    A shared segment is drawn as its entries are averaged; one whose entries lie apart is drawn now from one source, now
    from another, since nobody knows which of them is right.
    """
    sources = [table.draws for table in tables]
    known = [source for source in sources if source is not None]
    if len(known) < len(tables) or len({len(source.calibrations) for source in known}) > 1:
        return None
    orders = [{segment: row for row, segment in enumerate(table.entries)} for table in tables]
    shares = shares_of(tables)
    drawn = {
        segment: _drawn(own, {n: known[n].entries_ms[orders[n][segment]] for n in own})
        for segment, own in shares.items()
    }
    return TableDraws(np.stack(list(drawn.values())), _calibrations(drawn, judgement))


def _drawn(shares: Shares, draws: Mapping[int, FloatArray]) -> FloatArray:
    rows = np.stack([draws[number] for number in shares])
    if do_meet(shares):
        return np.asarray(np.average(rows, axis=0, weights=weights_of(shares)))
    columns = np.arange(rows.shape[1])
    return np.asarray(rows[columns % len(rows), columns])


def _calibrations(drawn: Mapping[Segment, FloatArray], judgement: Judgement) -> FloatArray:
    """Fit each draw anew on the networks, which stray by their own intervals and by what cross-validation saw."""
    calibration = judgement.calibration
    fitting = [one for one in judgement.networks if one.purpose == "calibration"]
    count = len(next(iter(drawn.values())))
    if not fitting:
        return np.tile([calibration.scale, 0.0, 0.0], (count, 1))
    weighted = {segment: rows * calibration.weight(segment) for segment, rows in drawn.items()}
    sums = np.stack([np.sum([weighted[part] for part in judgement.segments[one.arch_id]], axis=0) for one in fitting])
    params = np.array([one.block_params for one in fitting], dtype=np.float64)
    spreads = [(one.high_ms - one.low_ms) / (2 * _Z95 * one.measured_ms) for one in fitting]
    sds = np.hypot(spreads, calibration.cv_error)
    strays = np.random.default_rng(0).normal(1.0, sds[:, None], sums.shape)
    measured = np.array([one.measured_ms for one in fitting])[:, None] * strays
    return np.array([refit(calibration, sums[:, k], params, measured[:, k]) for k in range(count)])


def uncertainty_by(draws: TableDraws, entries: Mapping[Segment, LutEntry], judgement: Judgement) -> Uncertainty:
    """Take the errors on the pooled networks apart, as a build does with its own."""
    order = {segment: row for row, segment in enumerate(entries)}
    calibration, errors, variances = judgement.calibration, list[float](), list[float]()
    params = np.array([block_params(segment) for segment in entries], dtype=np.float64)
    costs = draws.costs_ms(params, np.array([calibration.weight(segment) for segment in entries]))
    for one in judgement.networks:
        rows = [order[part] for part in judgement.segments[one.arch_id]]
        predicted = calibration.apply(one.sum_ms, one.block_params)
        is_fitted = one.purpose == "calibration"
        errors.append(calibration.cv_error if is_fitted else predicted / one.measured_ms - 1)
        variances.append(float(np.var(costs[rows].sum(axis=0) + draws.intercepts_ms)) / predicted**2)
    return uncertainty_of(errors, variances)
