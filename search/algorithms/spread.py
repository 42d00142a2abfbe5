"""Choosing candidates by their latency, which is free, before their accuracy is paid for."""

from __future__ import annotations

import numpy as np

from search.algorithms.algorithm import FloatArray


def spread_by_latency(latency_ms: FloatArray, count: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of ``count`` candidates spread evenly over the logarithm of latency.

    Where some are zero or negative, as another cheap objective may be, they are spread over the values themselves.

    The range is cut into ``count`` equal bins, the fastest and the slowest candidate are always taken, one is drawn
    from each other bin, and what empty bins leave open is drawn from the rest.

    Args:
        latency_ms: ``(n,)``, finite.
        count: How many; all of them when there are not more.
        rng: Draws.
    """
    if len(latency_ms) <= count:
        return list(range(len(latency_ms)))
    position = np.log(latency_ms) if latency_ms.min() > 0 else latency_ms
    low, high = float(position.min()), float(position.max())
    bins = np.minimum(((position - low) / max(high - low, 1e-12) * count).astype(int), count - 1)
    chosen: list[int] = []
    for number in range(count):
        members = np.flatnonzero(bins == number)
        if number == 0:
            chosen.append(int(np.argmin(position)))
        elif number == count - 1 and int(np.argmax(position)) not in chosen:
            chosen.append(int(np.argmax(position)))
        elif len(members):
            chosen.append(int(rng.choice(members)))
    chosen = list(dict.fromkeys(chosen))
    rest = np.setdiff1d(np.arange(len(latency_ms)), chosen)
    chosen += [int(i) for i in rng.permutation(rest)[: count - len(chosen)]]
    return sorted(chosen)
