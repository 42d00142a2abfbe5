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

from latency.coverage import covered_space
from latency.operators import operators_in
from latency.predictor import require_latencies
from latency.saving import MeasuredNetwork, networks_of
from latency.table import LatencyTable
from latency.tuning import fit_cross_validated
from mnas.space import SearchSpace
from mnas.store import Store

FEWEST_NETWORKS = 6
_FOLDS = 6
LIMIT = 0.05
"""Root mean square of the relative error up to which a sum is good enough to search by."""
_OF_CONSTANT = 0.5
"""What is used must at least halve the error of saying the same of every network."""
_CLEARLY_BETTER = 0.8
_Z95 = 1.96
Verdict = Literal["additive", "not additive", "unknown"]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Additivity:
    """A verdict and the figures behind it; errors are root mean squares of relative errors, cross-validated.

    Attributes:
        verdict: ``additive``, ``not additive``, or ``unknown`` with fewer than 6 networks, or where the networks' own
            noise may be why the sum errs.
        use: ``latency table``, the name of the best alternative, or ``measured networks``.
        networks: How many whole networks it rests on.
        sum_error: Of the calibrated sum.
        constant_error: Of saying the same of every network.
        sum_share: Median of sum over measured; far from 1 where the parts alone take other paths than the whole.
        kendall_tau: Rank correlation of sums and measurements.
        alternatives: Error of each alternative on the same networks.
        noise: Of the networks' measurements; not a part of what sums err by.
    """

    verdict: Verdict
    use: str
    networks: int
    sum_error: float
    constant_error: float
    sum_share: float
    kendall_tau: float
    alternatives: dict[str, float]
    noise: float = 0.0

    def sentence(self) -> str:
        """Return the verdict for people, with what can be done where sums do not hold."""
        figures = (
            f"cross-validated on {self.networks} networks the calibrated sum is off by {self.sum_error:.1%}, "
            f"a constant by {self.constant_error:.1%}; Kendall tau {self.kendall_tau:.2f}; "
            f"sum / whole {self.sum_share:.2f}"
        )
        figures += "".join(f"; {name} {error:.1%}" for name, error in self.alternatives.items())
        if self.verdict == "unknown" and self.networks < FEWEST_NETWORKS:
            return f"not known whether additive here, measure {FEWEST_NETWORKS} networks or more ({figures})"
        if self.verdict == "unknown":
            why = f"the networks' own noise of {self.noise:.1%} may be all of it, build anew on a quieter device"
            return f"not known whether additive here: {why} ({figures})"
        if self.verdict == "additive" and self.use == "latency table":
            return f"additive here ({figures})"
        return f"{self.verdict} here, use {self.use} ({figures}): {self.advice()}"

    def advice(self) -> str:
        """Return how what is to be used is used."""
        measured = "mnas search --objectives error,latency=measured searches by measured latencies"
        model = "from a program latency.predictor.OperatorModel.fit learns from measured networks (docs/tables.md)"
        if self.use == "operator model":
            return f"{model}, no command takes one; {measured}"
        return measured if self.alternatives else f"{measured}; {model}, which may err less"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def judge_additivity(
    sums_ms: Sequence[float],
    measured_ms: Sequence[float],
    *,
    sum_error: float | None = None,
    alternatives: Mapping[str, float] | None = None,
    noise: float = 0.0,
) -> Additivity:
    """Judge whether sums of parts tell the latency of whole networks.

    Args:
        sums_ms: Plain sums, e.g. of a table's entries.
        measured_ms: Latencies of the same networks.
        sum_error: Cross-validated error of the calibrated sum, e.g. ``Calibration.cv_error``; that of a scale without.
        alternatives: Cross-validated error, on the same networks, of what could be used instead.
        noise: Relative standard deviation of the measurements.

    Raises:
        LutError: ``LUT41``: fewer than 2 networks, lengths that differ, or a latency that is none.
    """
    measured = require_latencies(measured_ms, len(sums_ms))
    sums = np.asarray(sums_ms, dtype=float)
    others = dict(alternatives or {})
    own = _scale_error(sums, measured) if sum_error is None else sum_error
    constant = _scale_error(np.ones_like(measured), measured)
    allowed = min(LIMIT, _OF_CONSTANT * constant)
    verdict: Verdict = "additive" if own <= allowed else "not additive"
    if len(measured) < FEWEST_NETWORKS or own > allowed >= np.sqrt(max(0.0, own**2 - noise**2)):
        verdict = "unknown"
    return Additivity(
        verdict=verdict,
        use=_best(verdict, own, constant, others),
        networks=len(measured),
        sum_error=own,
        constant_error=constant,
        sum_share=float(np.median(sums / measured)),
        kendall_tau=_kendall_tau(sums, measured),
        alternatives=others,
        noise=noise,
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
    halves = [(one.high_ms - one.low_ms) / (2 * _Z95 * one.measured_ms) for one in networks]
    noise, error = float(np.sqrt(np.mean(np.square(halves)))), table.calibration.cv_error or None
    found = judge_additivity(sums, measured, sum_error=error, noise=noise)
    if found.verdict != "not additive" or space is None:
        return found
    operators = [operators_in(space.decode(tuple(json.loads(one.genome_json)))) for one in networks]
    groups = [place % _FOLDS for place in range(len(networks))]
    model = fit_cross_validated(operators, measured, groups, device_key=table.device_key)
    others = {"operator model": model.relative_sd}
    return judge_additivity(sums, measured, sum_error=error, alternatives=others, noise=noise)


def stored_additivity(store: Store, table: LatencyTable, *, is_quick: bool = False) -> Additivity | None:
    """Judge a table of the store by the whole networks that are stored with it.

    Args:
        store: Open.
        table: Of it.
        is_quick: Try nothing else where sums do not hold; the verdict is the same.

    Returns:
        ``None`` for a table of fewer than 2 networks, e.g. an imported one.
    """
    return additivity_of(table, networks_of(store, table.lut_id), None if is_quick else covered_space(table))


def _best(verdict: Verdict, own: float, constant: float, others: Mapping[str, float]) -> str:
    """Return what to use: an alternative where it is clearly better than the sum and tells networks apart."""
    name = min(others, key=lambda one: others[one], default="")
    if name and others[name] <= min(_CLEARLY_BETTER * own, _OF_CONSTANT * constant):
        return name
    return "measured networks" if verdict == "not additive" else "latency table"


def _kendall_tau(sums: FloatArray, measured: FloatArray) -> float:
    """Return tau-b, 0 where all of one side are equal; here, since showing a table must not wait for scipy."""
    signs = [np.sign(np.subtract.outer(values, values)) for values in (sums, measured)]
    untied = np.sqrt(np.prod([np.sum(sign**2) for sign in signs]))
    return float(np.sum(signs[0] * signs[1]) / untied) if untied > 0 else 0.0


def _scale_error(sums: FloatArray, measured: FloatArray) -> float:
    """Return the root mean square of the relative error of a scaled sum, each network left out in turn."""
    ratios = sums / measured
    above, below = ratios.sum() - ratios, (ratios**2).sum() - ratios**2
    return float(np.sqrt(np.mean((ratios * above / below - 1) ** 2)))
