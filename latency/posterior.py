"""What a few measured networks say of the factors between two devices, and what they leave open.

A network's latency on the new device is taken as ``factors @ parts + extras @ sizes`` (both not negative): each part
of what the other device takes has its own factor, spread around a common one that is left free; an extra is for what
the other device's costs cannot scale, such as a feature that costs nothing there. How far factors spread, how large
extras are and how far the sum is off a network are not known beforehand. So every combination of a grid is fitted, and
the fits are averaged by how probable they make the measurements (Bayesian model averaging, uniform prior; Hoeting et
al. 1999, "Bayesian model averaging: a tutorial"). With few networks one best combination is a bad guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from latency.nonnegative import fit_nonnegative

FloatArray = npt.NDArray[np.float64]
_HUBER_IN_NOISES = 2.0


@dataclass(frozen=True, slots=True)
class Spread:
    """One combination of what is not known beforehand.

    Attributes:
        factors: SD of a factor, relative to the common one.
        extras: SD of an extra, relative to a network's latency.
        noise: SD of what a sum of parts is off a network, relative to its latency.
    """

    factors: float
    extras: float
    noise: float

    def variances(self, parts: int) -> FloatArray:
        """Return the prior variances of factors and extras, shape (2 * parts,)."""
        return np.repeat([self.factors**2, self.extras**2], parts)


SPREADS = tuple(Spread(*one) for one in product((0.1, 0.2, 0.4, 0.8, 1.6), (0.003, 0.03, 0.3), (0.015, 0.03, 0.06)))
MIDDLE = Spread(0.4, 0.03, 0.03)
"""By which networks are chosen: what to measure next must not hang on what the first ones happened to say."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Factors and extras after some measurements; n parts.

    Attributes:
        mean: Shape (2 n,).
        covariance: Shape (2 n, 2 n).
        noise: SD of the relative error that no measurement takes away.
    """

    mean: FloatArray
    covariance: FloatArray
    noise: float

    def predict(self, rows: FloatArray) -> FloatArray:
        """Return milliseconds, shape (networks,), for rows of parts and sizes, shape (networks, 2 n)."""
        return np.asarray(rows @ self.mean, dtype=float)

    def relative_sd(self, rows: FloatArray) -> FloatArray:
        """Return the SD of each prediction's relative error, shape (networks,)."""
        predicted = np.maximum(self.predict(rows), np.finfo(float).tiny)
        variance = np.einsum("ij,jk,ik->i", rows, self.covariance, rows) / predicted**2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0) + self.noise**2))


def centre_of(columns: int) -> FloatArray:
    """Return factors of 1 and extras of 0."""
    return np.repeat([1.0, 0.0], columns // 2)


def learn(rows: FloatArray, measured: FloatArray, spreads: Sequence[Spread] = SPREADS) -> Posterior:
    """Return the posterior after measurements.

    Args:
        rows: Parts and sizes of the measured networks, shape (networks, 2 n); none or more.
        measured: Milliseconds, shape (networks,).
        spreads: To be averaged over.
    """
    centre = centre_of(rows.shape[1])
    if len(rows) == 0:
        return _unmeasured(centre, spreads)
    common = float(np.median(measured / (rows @ centre)))
    relative = common * rows / measured[:, None]
    evidence = _log_evidences(relative, centre, spreads)
    probable = np.exp(evidence - evidence.max())
    probable /= probable.sum()
    used = [(share, one) for share, one in zip(probable, spreads, strict=True) if share > 1e-3]
    fits = [_fit(relative, centre, one) for _, one in used]
    shares = np.array([share for share, _ in used]) / sum(share for share, _ in used)
    mean = np.einsum("k,ki->i", shares, np.array([fit for fit, _ in fits]))
    covariance = sum(
        share * (own + np.outer(fit - mean, fit - mean)) for share, (fit, own) in zip(shares, fits, strict=True)
    )
    noise = float(np.sqrt(np.sum(shares * np.array([one.noise**2 for _, one in used]))))
    return Posterior(common * mean, common**2 * np.asarray(covariance), noise)


def log_evidence(rows: FloatArray, measured: FloatArray, spreads: Sequence[Spread] = SPREADS) -> float:
    """Return the log of how probable parts and sizes make the measurements; to be compared between devices alone."""
    centre = centre_of(rows.shape[1])
    common = float(np.median(measured / (rows @ centre)))
    evidence = _log_evidences(common * rows / measured[:, None], centre, spreads)
    return float(np.log(np.mean(np.exp(evidence - evidence.max()))) + evidence.max())


def next_choice(rows: FloatArray, chosen: Sequence[int], open_: Sequence[int], like: Sequence[int]) -> int:
    """Return which network, measured next, takes most off the mean variance of the predictions (I-optimal).

    Latencies play no part in it.

    Args:
        rows: Parts and sizes of all networks, shape (networks, 2 n).
        chosen: Indices of those measured.
        open_: Indices of those to choose from.
        like: Indices of those whose predictions count.
    """
    centre = centre_of(rows.shape[1])
    relative = rows / (rows @ centre)[:, None]
    covariance = np.diag(MIDDLE.variances(rows.shape[1] // 2)) + np.outer(centre, centre)
    for one in chosen:
        along = covariance @ relative[one]
        covariance = covariance - np.outer(along, along) / (MIDDLE.noise**2 + relative[one] @ along)
    candidates = relative[list(open_)] @ covariance
    own = MIDDLE.noise**2 + np.einsum("ij,ij->i", candidates, relative[list(open_)])
    gains = np.mean((relative[list(like)] @ candidates.T) ** 2, axis=0) / own
    return int(list(open_)[int(np.argmax(gains))])


def _unmeasured(centre: FloatArray, spreads: Sequence[Spread]) -> Posterior:
    """Return what is known before the first measurement: even the common factor may be anything."""
    variances = np.mean([one.variances(len(centre) // 2) for one in spreads], axis=0)
    noise = float(np.sqrt(np.mean([one.noise**2 for one in spreads])))
    return Posterior(centre, np.diag(variances) + np.outer(centre, centre), noise)


def _covariance(relative: FloatArray, centre: FloatArray, spread: Spread) -> tuple[FloatArray, FloatArray]:
    """Return the prior covariance of factors and extras, the common factor's included, and that of the networks."""
    prior = np.diag(spread.variances(len(centre) // 2)) + np.outer(centre, centre)
    return prior, relative @ prior @ relative.T + spread.noise**2 * np.eye(len(relative))


def _log_evidences(relative: FloatArray, centre: FloatArray, spreads: Sequence[Spread]) -> FloatArray:
    return np.array([_log_evidence(relative, centre, one) for one in spreads])


def _log_evidence(relative: FloatArray, centre: FloatArray, spread: Spread) -> float:
    """Return the log of the Gaussian marginal likelihood, without its constant."""
    _, between = _covariance(relative, centre, spread)
    factor = np.linalg.cholesky(between)
    off = np.linalg.solve(factor, 1 - relative @ centre)
    return float(-0.5 * off @ off - np.log(np.diag(factor)).sum())


def _fit(relative: FloatArray, centre: FloatArray, spread: Spread) -> tuple[FloatArray, FloatArray]:
    """Return the most probable factors and extras that are not negative, and their Gaussian covariance."""
    prior, between = _covariance(relative, centre, spread)
    along = prior @ relative.T
    covariance = prior - along @ np.linalg.solve(between, along.T)
    # One more column is the common factor, which nothing pulls: factor = common + deviation.
    networks, columns = relative.shape
    strength = spread.noise / np.sqrt(spread.variances(columns // 2))
    pull = np.hstack([np.diag(strength), -(strength * centre)[:, None]])
    data = np.hstack([relative, np.zeros((networks, 1))])
    huber = _HUBER_IN_NOISES * spread.noise
    return fit_nonnegative(data, np.ones(networks), pull, np.zeros(columns), huber)[:-1], covariance
