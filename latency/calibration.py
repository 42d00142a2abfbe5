"""From the sum over a table's entries to the latency of a whole network.

A scale always; an intercept, and a price of the blocks' weights, where cross-validation says that they pay. The price
is there because a block that is measured over and over keeps its weights in the cache, while those of a whole large
network pass through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import LutError

_RICHER_MUST_WIN_BY = 0.9
_FEWEST_NETWORKS = {"scale": 1, "affine": 4, "weights": 8}
"""A kind is tried only with so many networks: about two and a half for each number that is fitted."""
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``latency = scale * sum + per_mparam_ms * block parameters / 1e6 + intercept_ms``.

    Attributes:
        kind: ``none`` (no network was measured), ``scale``, ``affine`` or ``weights``.
        scale: Factor.
        intercept_ms: Milliseconds.
        per_mparam_ms: Milliseconds for a million parameters of the blocks between stem and head.
        networks: How many whole networks it was fitted on.
        cv_error: Root mean square of the relative error in leave-one-out cross-validation; 0 for fewer than 2.
    """

    kind: str = "none"
    scale: float = 1.0
    intercept_ms: float = 0.0
    per_mparam_ms: float = 0.0
    networks: int = 0
    cv_error: float = 0.0

    def apply(self, sum_ms: float, block_params: int) -> float:
        """Return the latency for a sum of entries and the parameters of the blocks."""
        return self.scale * sum_ms + self.per_mparam_ms * block_params / 1e6 + self.intercept_ms

    def formula(self) -> str:
        """Return the formula for people."""
        parts = [f"{self.scale:.4f} x sum"]
        if self.per_mparam_ms:
            parts.append(f"{self.per_mparam_ms:+.4f} ms a million block parameters")
        if self.intercept_ms:
            parts.append(f"{self.intercept_ms:+.4f} ms")
        return " ".join(parts) + f" ({self.kind}, fitted on {self.networks} networks)"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def _columns(kind: str, sums: FloatArray, mparams: FloatArray) -> FloatArray:
    one = np.ones_like(sums)
    return np.stack({"scale": [sums], "affine": [sums, one], "weights": [sums, one, mparams]}[kind], axis=1)


def _fit(columns: FloatArray, measured: FloatArray) -> FloatArray:
    """Least squares on the relative error."""
    solution, *_ = np.linalg.lstsq(columns / measured[:, None], np.ones_like(measured), rcond=None)
    return np.asarray(solution, dtype=float)


def _cross_validate(columns: FloatArray, measured: FloatArray) -> float:
    if len(measured) < 2:
        return 0.0
    errors = []
    for held_out in range(len(measured)):
        kept = np.arange(len(measured)) != held_out
        errors.append(float(columns[held_out] @ _fit(columns[kept], measured[kept])) / measured[held_out] - 1)
    return float(np.sqrt(np.mean(np.square(errors))))


def _fitted(kind: str, sums: FloatArray, mparams: FloatArray, measured: FloatArray) -> tuple[float, float, float]:
    """Return scale, intercept and price; those that the kind does not have are 0."""
    values = [*(float(value) for value in _fit(_columns(kind, sums, mparams), measured)), 0.0, 0.0]
    return values[0], values[1], values[2]


def refit(kind: str, sums_ms: FloatArray, block_params: FloatArray, measured_ms: FloatArray) -> tuple[float, ...]:
    """Fit a calibration of a kind that is already chosen; returns scale, intercept in milliseconds and price."""
    return _fitted(kind, sums_ms, block_params / 1e6, measured_ms)


def _is_sane(fitted: tuple[float, float, float], plain: float, fastest: tuple[float, int] | None) -> bool:
    scale, intercept, price = fitted
    if fastest is None:
        return scale > 0
    sum_ms, params = fastest
    return scale > 0 and scale * sum_ms + price * params / 1e6 + intercept >= 0.5 * plain * sum_ms


def calibrate(
    sums_ms: Sequence[float],
    block_params: Sequence[int],
    measured_ms: Sequence[float],
    *,
    fastest: tuple[float, int] | None = None,
) -> Calibration:
    """Fit the calibration on whole networks; a richer kind must beat the simpler one in cross-validation by a tenth.

    A richer kind is passed over, too, where it would say that the space's fastest network, which no calibration network
    may be near, takes less than half of what the scale alone says.

    Args:
        sums_ms: Sums of the table's entries.
        block_params: Parameters of the blocks between stem and head.
        measured_ms: Measured latencies.
        fastest: Sum of entries, and block parameters, of the network of the space with the least sum.

    Raises:
        LutError: ``LUT06``: the fit is not a latency (a scale that is not positive).
    """
    sums, measured = np.asarray(sums_ms, dtype=float), np.asarray(measured_ms, dtype=float)
    mparams = np.asarray(block_params, dtype=float) / 1e6
    if len(sums) == 0:
        return Calibration()
    best, error = "scale", _cross_validate(_columns("scale", sums, mparams), measured)
    plain = _fitted("scale", sums, mparams, measured)[0]
    for kind in ("affine", "weights"):
        if len(sums) >= _FEWEST_NETWORKS[kind]:
            own = _cross_validate(_columns(kind, sums, mparams), measured)
            if own < _RICHER_MUST_WIN_BY * error and _is_sane(_fitted(kind, sums, mparams, measured), plain, fastest):
                best, error = kind, own
    scale, intercept, price = _fitted(best, sums, mparams, measured)
    if not scale > 0:
        raise LutError(
            "LUT06",
            "the calibration networks contradict the table",
            value=f"scale {scale:.4g}",
            why="a longer sum of blocks would mean a faster network",
            fix="build the table anew on a quieter machine: mnas lut build --anew",
        )
    return Calibration(best, scale, intercept, price, len(sums), error)
