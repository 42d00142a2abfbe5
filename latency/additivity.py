"""Whether sums of parts tell the latency of whole networks on a device; if not, what to use instead.

They do on CPUs, mostly. On GPUs and NPUs a runtime fuses across blocks, and a sum can be off by half.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from latency.operators import operators_in
from latency.predictor import require_latencies
from latency.saving import MeasuredNetwork
from latency.table import LatencyTable
from latency.tuning import fit_cross_validated
from latency.validation import errors_of
from mnas.space import SearchSpace

FEWEST_NETWORKS = 6
_FOLDS = 6
LIMIT = 0.05
"""Root mean square of the relative error up to which a sum is good enough to search by."""
_OF_CONSTANT = 0.5
"""What is used must at least halve the error of saying the same of every network."""
_CLEARLY_BETTER = 0.8
Verdict = Literal["additive", "not additive", "unknown"]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Additivity:
    """A verdict and the figures behind it; errors are root mean squares of relative errors, cross-validated.

    Attributes:
        verdict: ``additive``, ``not additive``, or ``unknown`` with fewer than 6 networks.
        use: ``latency table``, the name of the best alternative, or ``measured networks``.
        networks: How many whole networks it rests on.
        sum_error: Of the calibrated sum.
        constant_error: Of saying the same of every network.
        sum_share: Median of sum over measured; far from 1 where the parts alone take other paths than the whole.
        kendall_tau: Rank correlation of sums and measurements.
        alternatives: Error of each alternative on the same networks.
    """

    verdict: Verdict
    use: str
    networks: int
    sum_error: float
    constant_error: float
    sum_share: float
    kendall_tau: float
    alternatives: dict[str, float]

    def sentence(self) -> str:
        """Return the verdict for people."""
        figures = (
            f"cross-validated on {self.networks} networks the calibrated sum is off by {self.sum_error:.1%}, "
            f"a constant by {self.constant_error:.1%}; Kendall tau {self.kendall_tau:.2f}; "
            f"sum / whole {self.sum_share:.2f}"
        )
        figures += "".join(f"; {name} {error:.1%}" for name, error in self.alternatives.items())
        if self.verdict == "unknown":
            return f"not known whether additive here, measure {FEWEST_NETWORKS} networks or more ({figures})"
        if self.verdict == "additive" and self.use == "latency table":
            return f"additive here ({figures})"
        return f"{self.verdict} here, use {self.use} ({figures})"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def judge_additivity(
    sums_ms: Sequence[float],
    measured_ms: Sequence[float],
    *,
    sum_error: float | None = None,
    alternatives: Mapping[str, float] | None = None,
) -> Additivity:
    """Judge whether sums of parts tell the latency of whole networks.

    Args:
        sums_ms: Plain sums, e.g. of a table's entries.
        measured_ms: Latencies of the same networks.
        sum_error: Cross-validated error of the calibrated sum, e.g. ``Calibration.cv_error``; that of a scale without.
        alternatives: Cross-validated error, on the same networks, of what could be used instead.

    Raises:
        LutError: ``LUT41``: fewer than 2 networks, lengths that differ, or a latency that is none.
    """
    measured = require_latencies(measured_ms, len(sums_ms))
    sums = np.asarray(sums_ms, dtype=float)
    others = dict(alternatives or {})
    own = _scale_error(sums, measured) if sum_error is None else sum_error
    constant = _scale_error(np.ones_like(measured), measured)
    verdict: Verdict = "additive" if own <= min(LIMIT, _OF_CONSTANT * constant) else "not additive"
    if len(measured) < FEWEST_NETWORKS:
        verdict = "unknown"
    return Additivity(
        verdict=verdict,
        use=_best(verdict, own, constant, others),
        networks=len(measured),
        sum_error=own,
        constant_error=constant,
        sum_share=float(np.median(sums / measured)),
        kendall_tau=errors_of(sums.tolist(), measured.tolist()).kendall_tau,
        alternatives=others,
    )


def additivity_of(
    table: LatencyTable, networks: Sequence[MeasuredNetwork], space: SearchSpace | None
) -> Additivity | None:
    """Judge a table's device by the whole networks that were measured with it.

    Only where sums do not hold is something else tried: an operator model, cross-validated on the same networks.

    Args:
        table: The table.
        networks: Of it, as `latency.saving.networks_of` gives them.
        space: That the networks are of; without it nothing else can be tried.

    Returns:
        ``None`` for fewer than 2 networks.
    """
    if len(networks) < 2:
        return None
    sums, measured = [one.sum_ms for one in networks], [one.measured_ms for one in networks]
    found = judge_additivity(sums, measured, sum_error=table.calibration.cv_error or None)
    if found.verdict != "not additive" or space is None:
        return found
    operators = [operators_in(space.decode(tuple(json.loads(one.genome_json)))) for one in networks]
    groups = [place % _FOLDS for place in range(len(networks))]
    model = fit_cross_validated(operators, measured, groups, device_key=table.device_key)
    others = {"operator model": model.relative_sd}
    return judge_additivity(sums, measured, sum_error=table.calibration.cv_error or None, alternatives=others)


def _best(verdict: Verdict, own: float, constant: float, others: Mapping[str, float]) -> str:
    """Return what to use: an alternative where it is clearly better than the sum and tells networks apart."""
    name = min(others, key=lambda one: others[one], default="")
    if name and others[name] <= min(_CLEARLY_BETTER * own, _OF_CONSTANT * constant):
        return name
    return "measured networks" if verdict == "not additive" else "latency table"


def _scale_error(sums: FloatArray, measured: FloatArray) -> float:
    """Return the root mean square of the relative error of a scaled sum, each network left out in turn."""
    ratios = sums / measured
    above, below = ratios.sum() - ratios, (ratios**2).sum() - ratios**2
    return float(np.sqrt(np.mean((ratios * above / below - 1) ** 2)))
