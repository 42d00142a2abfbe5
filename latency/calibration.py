"""From the sum over a table's entries to the latency of a whole network.

A scale, an intercept, a price of the blocks' weights, and a factor for the blocks of each resolution. The price is
there because a block that is measured over and over keeps its weights in the cache, while those of a whole large
network pass through it; the factors because tensors of one resolution are of much the same size, and whether such a
tensor is still in the cache when the next block reads it differs between a whole network and a block between two
convolutions.

All but the scale are held: each is expected to be small, and a dozen networks move it as far as they tell (a linear
model with Gaussian priors, or ridge regression). To choose by cross-validation which of them to fit at all gave, of
five builds on one machine, three with an error of 1.0 % and two with 1.5 %; held, all have 1.0 to 1.2 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import LutError
from mnas.segments import Segment

_INTERCEPT_SPREAD, _PRICE_SPREAD, _WEIGHTS_SPREAD = 0.05, 0.05, 0.06
"""Standard deviations that are expected before a network was measured: of the intercept and of the price, as shares of
a typical network's latency, and of resolutions' factors about 1."""

_EXPECTED_ERROR, _LEAST_ERROR, _MOST_ERROR = 0.012, 0.008, 0.1
"""Relative error of networks about the fit: before it is known, and within which it is taken as seen."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``latency = scale * sum + per_mparam_ms * block parameters / 1e6 + intercept_ms``.

    The sum is that of the entries, each times the `weight` of its segment.

    Attributes:
        kind: ``none`` (no network was measured), ``held`` or ``scale``; in older tables ``affine``, ``weights``.
        scale: Factor.
        intercept_ms: Milliseconds.
        per_mparam_ms: Milliseconds for a million parameters of the blocks between stem and head.
        networks: How many whole networks it was fitted on.
        cv_error: Root mean square of the relative error in leave-one-out cross-validation; 0 for fewer than 2.
        px_weights: Side of a block's input in pixels -> factor of its entry; empty for a scale alone.
    """

    kind: str = "none"
    scale: float = 1.0
    intercept_ms: float = 0.0
    per_mparam_ms: float = 0.0
    networks: int = 0
    cv_error: float = 0.0
    px_weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, segment: Segment) -> float:
        """Return the factor of a segment's entry in the sum; 1 where its resolution has none of its own."""
        return self.px_weights.get(resolution_of(segment), 1.0)

    def apply(self, sum_ms: float, block_params: int) -> float:
        """Return the latency for a weighted sum of entries and the parameters of the blocks."""
        return self.scale * sum_ms + self.per_mparam_ms * block_params / 1e6 + self.intercept_ms

    def formula(self) -> str:
        """Return the formula for people."""
        parts = [f"{self.scale:.4f} x sum"]
        if self.per_mparam_ms:
            parts.append(f"{self.per_mparam_ms:+.4f} ms a million block parameters")
        if self.intercept_ms:
            parts.append(f"{self.intercept_ms:+.4f} ms")
        weights = ", ".join(f"{px} px x {weight:.3f}" for px, weight in self.px_weights.items())
        weighted = f"; blocks of {weights}" if weights else ""
        return " ".join(parts) + f" ({self.kind}, fitted on {self.networks} networks{weighted})"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def resolution_of(segment: Segment) -> str:
    """Return the side of a block's input in pixels, or "" for stem and head, which every network has."""
    return str(segment.in_shape_chw[1]) if segment.role == "block" else ""


def sums_by_resolution(segments: Sequence[Segment], entries_ms: Mapping[Segment, float]) -> dict[str, float]:
    """Return the sum of a network's entries for each resolution, "" for stem and head, in milliseconds.

    Args:
        segments: Of the network.
        entries_ms: Segment -> its entry.
    """
    found: dict[str, float] = {}
    for segment in segments:
        name = resolution_of(segment)
        found[name] = found.get(name, 0.0) + entries_ms[segment]
    return found


@dataclass(frozen=True, slots=True)
class _Design:
    """Networks as rows of a linear model of ``latency / measured``.

    Attributes:
        columns: Sum, then what is held, each in units of its expected spread; shape (networks, numbers).
        names: Resolutions, the last columns.
        typical_ms: Geometric mean of the measured latencies.
        mparams: Mean parameters of the blocks, millions.
    """

    columns: FloatArray
    names: tuple[str, ...]
    typical_ms: float
    mparams: float

    @classmethod
    def of(cls, sums_ms: Sequence[Mapping[str, float]], mparams: FloatArray, measured: FloatArray) -> _Design:
        names = tuple(dict.fromkeys(name for one in sums_ms for name in one if name))
        parts = np.array([[one.get(name, 0.0) for name in names] for one in sums_ms], dtype=float)
        sums = np.array([sum(one.values()) for one in sums_ms])
        typical, mean = float(np.exp(np.mean(np.log(measured)))), max(float(np.mean(mparams)), 1e-9)
        rows = [
            sums,
            np.full(len(sums), _INTERCEPT_SPREAD * typical),
            mparams / mean * _PRICE_SPREAD * typical,
            *(_WEIGHTS_SPREAD * parts.reshape(len(sums), len(names))).T,
        ]
        return cls(np.stack(rows, axis=1) / measured[:, None], names, typical, mean)

    def solve(self, error: float, chosen: Sequence[int] | npt.NDArray[np.bool_] | slice = slice(None)) -> FloatArray:
        """Return what fits chosen networks best, given their relative error about the fit; the scale is not held."""
        rows = self.columns[chosen]
        held = np.eye(rows.shape[1])[1:] * error
        goal = np.concatenate([np.ones(len(rows)), np.zeros(len(held))])
        solution, *_ = np.linalg.lstsq(np.vstack([rows, held]), goal, rcond=None)
        return np.asarray(solution, dtype=float)

    def cross_validate(self, error: float) -> float:
        """Return the root mean square of the relative error of networks that were left out; 0 for fewer than 2."""
        count = len(self.columns)
        if count < 2:
            return 0.0
        left_out = [self.columns[i] @ self.solve(error, np.arange(count) != i) - 1 for i in range(count)]
        return float(np.sqrt(np.mean(np.square(left_out))))

    def numbers(self, solution: FloatArray) -> tuple[float, float, float]:
        """Return scale, intercept in milliseconds and price of a million parameters."""
        scale, intercept, price = (float(one) for one in solution[:3])
        typical = self.typical_ms
        return scale, intercept * _INTERCEPT_SPREAD * typical, price * _PRICE_SPREAD * typical / self.mparams

    def weights(self, solution: FloatArray) -> dict[str, float]:
        """Return resolution -> factor."""
        shares = 1 + _WEIGHTS_SPREAD * solution[3:] / solution[0]
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}


def _as_seen(error: float) -> float:
    return min(max(error, _LEAST_ERROR), _MOST_ERROR)


def _scale_of(sums: FloatArray, measured: FloatArray) -> tuple[float, float]:
    """Return the scale with the least relative error, and its error in leave-one-out cross-validation."""
    shares = sums / measured
    total, squares = float(shares.sum()), float((shares**2).sum())
    scale = total / squares if squares > 0 else 0.0
    if len(shares) < 2:
        return scale, 0.0
    rest = squares - shares**2
    others = np.divide(total - shares, rest, out=np.zeros_like(rest), where=rest > 0)
    return scale, float(np.sqrt(np.mean((others * shares - 1) ** 2)))


def refit(
    calibration: Calibration, sums_ms: FloatArray, block_params: FloatArray, measured_ms: FloatArray
) -> tuple[float, float, float]:
    """Fit scale, intercept in milliseconds and price anew as a calibration was fitted; its factors stay.

    Args:
        calibration: How, and with which error.
        sums_ms: Sums of the entries with its factors, shape (networks,).
        block_params: Parameters of the blocks, likewise.
        measured_ms: Likewise.
    """
    if calibration.kind == "scale":
        return _scale_of(sums_ms, measured_ms)[0], 0.0, 0.0
    design = _Design.of([{"": float(one)} for one in sums_ms], block_params / 1e6, measured_ms)
    return design.numbers(design.solve(_as_seen(calibration.cv_error)))


def _is_sane(found: Calibration, plain: float, fastest: tuple[float, int] | None) -> bool:
    if not found.scale > 0 or any(not weight > 0 for weight in found.px_weights.values()):
        return False
    return fastest is None or found.apply(*fastest) >= 0.5 * plain * fastest[0]


def calibrate(
    sums_ms: Sequence[Mapping[str, float]],
    block_params: Sequence[int],
    measured_ms: Sequence[float],
    *,
    fastest: tuple[float, int] | None = None,
) -> Calibration:
    """Fit the calibration on whole networks.

    A scale alone is fitted where the rest would say that the space's fastest network, which no calibration network may
    be near, takes less than half of what the scale says.

    Args:
        sums_ms: Sums of the table's entries by resolution, as `sums_by_resolution` gives them.
        block_params: Parameters of the blocks between stem and head.
        measured_ms: Measured latencies.
        fastest: Sum of entries, and block parameters, of the network of the space with the least sum.

    Raises:
        LutError: ``LUT06``: the fit is not a latency (a scale that is not positive).
    """
    if len(sums_ms) == 0:
        return Calibration()
    measured = np.asarray(measured_ms, dtype=float)
    sums = np.array([sum(one.values()) for one in sums_ms])
    plain, plain_error = _scale_of(sums, measured)
    if not plain > 0:
        raise LutError(
            "LUT06",
            "the calibration networks contradict the table",
            value=f"scale {plain:.4g}",
            why="a longer sum of blocks would mean a faster network",
            fix="build the table anew on a quieter machine: mnas lut build --anew",
        )
    alone = Calibration("scale", plain, networks=len(sums), cv_error=plain_error)
    if len(sums) == 1:
        return alone
    design = _Design.of(sums_ms, np.asarray(block_params, dtype=float) / 1e6, measured)
    error = _as_seen(design.cross_validate(_EXPECTED_ERROR))
    solution = design.solve(error)
    scale, intercept, price = design.numbers(solution)
    seen = design.cross_validate(error)
    held = Calibration("held", scale, intercept, price, len(sums), seen, design.weights(solution) if scale > 0 else {})
    return held if _is_sane(held, plain, fastest) else alone
