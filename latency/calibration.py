"""From the sum over a table's entries to the latency of a whole network: a scale, and an intercept where it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import LutError

_AFFINE_MUST_WIN_BY = 0.9
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``latency = scale * sum + intercept_ms``.

    Attributes:
        kind: ``none`` (no network was measured), ``scale`` or ``affine``.
        scale: Factor.
        intercept_ms: Milliseconds.
        networks: How many whole networks it was fitted on.
        cv_error: Root mean square of the relative error in leave-one-out cross-validation; NaN-free, 0 for ``none``.
    """

    kind: str = "none"
    scale: float = 1.0
    intercept_ms: float = 0.0
    networks: int = 0
    cv_error: float = 0.0

    def apply(self, sum_ms: float) -> float:
        """Return the latency for a sum of entries."""
        return self.scale * sum_ms + self.intercept_ms

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def _fit(sums: FloatArray, measured: FloatArray, affine: bool) -> tuple[float, float]:
    """Least squares on the relative error."""
    columns = [sums / measured] + ([1.0 / measured] if affine else [])
    solution, *_ = np.linalg.lstsq(np.stack(columns, axis=1), np.ones_like(sums), rcond=None)
    return float(solution[0]), float(solution[1]) if affine else 0.0


def _cross_validate(sums: FloatArray, measured: FloatArray, affine: bool) -> float:
    errors = []
    for held_out in range(len(sums)):
        kept = np.arange(len(sums)) != held_out
        scale, intercept = _fit(sums[kept], measured[kept], affine)
        errors.append((scale * sums[held_out] + intercept) / measured[held_out] - 1)
    return float(np.sqrt(np.mean(np.square(errors))))


def calibrate(sums_ms: Sequence[float], measured_ms: Sequence[float]) -> Calibration:
    """Fit the calibration on whole networks; cross-validation decides whether an intercept is worth having.

    Raises:
        LutError: ``LUT06``: the fit is not a latency (a scale that is not positive).
    """
    sums, measured = np.asarray(sums_ms, dtype=float), np.asarray(measured_ms, dtype=float)
    if len(sums) == 0:
        return Calibration()
    affine, error = False, _cross_validate(sums, measured, False) if len(sums) > 1 else 0.0
    if len(sums) >= 4:
        affine_error = _cross_validate(sums, measured, True)
        if affine_error < _AFFINE_MUST_WIN_BY * error:
            affine, error = True, affine_error
    scale, intercept = _fit(sums, measured, affine)
    if not scale > 0:
        raise LutError(
            "LUT06",
            "the calibration networks contradict the table",
            value=f"scale {scale:.4g}",
            why="a longer sum of blocks would mean a faster network",
            fix="build the table anew on a quieter machine",
        )
    return Calibration("affine" if affine else "scale", scale, intercept, len(sums), error)
