"""How good a table is on networks that it was neither built from nor, as it was judged, calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Errors:
    """Error of predictions; fractions, not percent.

    Attributes:
        mape: Mean absolute relative error.
        rmse_ms: Root mean square error, in milliseconds.
        within_5: Share of networks within 5 %.
        within_10: Share of networks within 10 %.
        bias: Mean relative error; positive where predictions are too long.
        kendall_tau: Rank correlation (tau-b); 0 for predictions that are all equal.
        spearman: Rank correlation; 0 for predictions that are all equal.
    """

    mape: float
    rmse_ms: float
    within_5: float
    within_10: float
    bias: float
    kendall_tau: float
    spearman: float


@dataclass(frozen=True, slots=True)
class Validation:
    """Errors of a table beside the baselines that it must beat.

    Attributes:
        networks: How many.
        table: The calibrated table.
        plain_sum: The table without its calibration.
        constant: The mean of the calibration networks for every network.
        macs_linear: A line through the calibration networks' MACs.
        relative_sd: SD of the table's relative error; its estimates' intervals are made of it.
        fitted: Networks that the calibration which was judged was fitted on; ``None``: not known. The one in use may be
            fitted on those of the validation, too.
        covered: Share of the measurements within the predictions' 95 % intervals; ``None``: not known.
        relative_width: Mean width of these intervals over the prediction; ``None``: not known.
    """

    networks: int
    table: Errors
    plain_sum: Errors
    constant: Errors
    macs_linear: Errors
    relative_sd: float
    fitted: int | None = None
    covered: float | None = None
    relative_width: float | None = None

    def judged_on(self, fitted_now: int) -> str:
        """Return in words what it rests on, where the calibration in use is fitted on so many networks."""
        if self.fitted is not None and fitted_now > self.fitted:
            return f"on {self.networks} other networks, before it was fitted on all {fitted_now}"
        return f"on {self.networks} other networks"

    def intervals_text(self) -> str:
        """Return in words whether its intervals hold what they should."""
        if self.covered is None or self.relative_width is None:
            return "how many measurements the 95 % intervals hold was not looked at"
        return (
            f"95 % intervals hold {self.covered:.0%} of the {self.networks} measurements; their mean width is "
            f"{self.relative_width:.1%}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Validation:
        """Read what `to_json` wrote, or wrote before all fields were there."""
        read: dict[str, Any] = {name: value.get(name) for name in ("fitted", "covered", "relative_width")}
        read |= {name: Errors(**value[name]) for name in ("table", "plain_sum", "constant", "macs_linear")}
        return cls(networks=value["networks"], relative_sd=value["relative_sd"], **read)


def errors_of(predicted_ms: Sequence[float], measured_ms: Sequence[float]) -> Errors:
    """Compare predictions with measurements, both in milliseconds and of one length of at least 2."""
    from scipy import stats  # reading a table must not wait for it

    predicted, measured = np.asarray(predicted_ms, dtype=float), np.asarray(measured_ms, dtype=float)
    relative = predicted / measured - 1
    return Errors(
        mape=float(np.mean(np.abs(relative))),
        rmse_ms=float(np.sqrt(np.mean((predicted - measured) ** 2))),
        within_5=float(np.mean(np.abs(relative) <= 0.05)),
        within_10=float(np.mean(np.abs(relative) <= 0.10)),
        bias=float(np.mean(relative)),
        kendall_tau=_rank(stats.kendalltau, predicted, measured),
        spearman=_rank(stats.spearmanr, predicted, measured),
    )


def _rank(statistic: Any, predicted: FloatArray, measured: FloatArray) -> float:
    if np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return 0.0
    return float(statistic(predicted, measured).statistic)


@dataclass(frozen=True, slots=True)
class MeasuredNetworks:
    """Whole networks with what was measured of them; the arrays have one length.

    Attributes:
        sums_ms: Sum of the table's entries.
        predicted_ms: The calibrated sum.
        macs: Multiply-accumulates.
        measured_ms: Measured latency.
        intervals_ms: 95 % intervals of the predictions, where they are known.
    """

    sums_ms: Sequence[float]
    predicted_ms: Sequence[float]
    macs: Sequence[int]
    measured_ms: Sequence[float]
    intervals_ms: Sequence[tuple[float, float]] = ()


def validate(calibration: MeasuredNetworks, held_out: MeasuredNetworks) -> Validation:
    """Judge a table on held-out networks, beside baselines fitted on the calibration networks alone.

    Args:
        calibration: All that the calibration which is judged was fitted on.
        held_out: Two networks or more that it has not seen.
    """
    mean = float(np.mean(calibration.measured_ms))
    slope, intercept = np.polyfit(np.asarray(calibration.macs, dtype=float), calibration.measured_ms, 1)
    linear = [float(slope * macs + intercept) for macs in held_out.macs]
    relative = np.asarray(held_out.predicted_ms) / np.asarray(held_out.measured_ms) - 1
    return Validation(
        networks=len(held_out.measured_ms),
        table=errors_of(held_out.predicted_ms, held_out.measured_ms),
        plain_sum=errors_of(held_out.sums_ms, held_out.measured_ms),
        constant=errors_of([mean] * len(held_out.measured_ms), held_out.measured_ms),
        macs_linear=errors_of(linear, held_out.measured_ms),
        relative_sd=float(np.sqrt(np.mean(relative**2))),
        fitted=len(calibration.measured_ms),
        covered=_covered(held_out) if held_out.intervals_ms else None,
        relative_width=_relative_width(held_out) if held_out.intervals_ms else None,
    )


def _covered(networks: MeasuredNetworks) -> float:
    pairs = zip(networks.intervals_ms, networks.measured_ms, strict=True)
    return float(np.mean([low <= ms <= high for (low, high), ms in pairs]))


def _relative_width(networks: MeasuredNetworks) -> float:
    pairs = zip(networks.intervals_ms, networks.predicted_ms, strict=True)
    return float(np.mean([(high - low) / ms for (low, high), ms in pairs]))
