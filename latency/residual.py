"""What a latency table is off, told from the kinds of operators in a network, and used only where that pays.

``log(measured / predicted)`` is taken as a line in the shares that the features have in the predicted latency, with so
strong a ridge as leave-one-out cross-validation asks for. Networks of one space are alike, and a table is a good
prediction already: mostly there is nothing to be learned, and then the correction is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.operator_features import FEATURE_NAMES
from latency.predictor import require_by_feature, require_latencies, require_numbers, require_schema

SCHEMA = "mnas.residual_correction/1"
FEWEST_NETWORKS = 8
_MUST_WIN_BY = 0.9
_RIDGES = tuple(10.0**power for power in range(-5, 2))
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ResidualCorrection:
    """``latency = predicted * exp(weights @ (shares - means))``.

    Attributes:
        weights: Of each feature's share; all 0 where the correction does not pay.
        means: Shares of the mean network that it was fitted on.
        networks: How many it was fitted on.
        plain_cv_error: Root mean square of log(measured / predicted), without a correction.
        cv_error: The same with it, each network predicted without itself.
    """

    weights: tuple[float, ...] = (0.0,) * len(FEATURE_NAMES)
    means: tuple[float, ...] = (0.0,) * len(FEATURE_NAMES)
    networks: int = 0
    plain_cv_error: float = 0.0
    cv_error: float = 0.0

    @property
    def pays(self) -> bool:
        """Whether cross-validation says that it pays; if not, it changes nothing."""
        return any(self.weights)

    def apply(self, predicted_ms: Sequence[float], parts: FloatArray) -> FloatArray:
        """Return corrected milliseconds, shape (networks,).

        Args:
            predicted_ms: What the calibrated table says.
            parts: As `latency.parts.TableParts` splits the networks, shape (networks, features).
        """
        off = (_shares(parts) - np.array(self.means)) @ np.array(self.weights)
        return np.asarray(np.asarray(predicted_ms) * np.exp(off))

    def to_json(self) -> dict[str, Any]:
        """Return the correction as JSON; weights and means by feature."""
        by_name = {name: dict(zip(FEATURE_NAMES, getattr(self, name), strict=True)) for name in ("weights", "means")}
        return {"schema": SCHEMA} | asdict(self) | by_name

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ResidualCorrection:
        """Read what `to_json` wrote.

        Raises:
            LutError: ``LUT42``: another schema, other features, or no finite numbers.
        """
        names = ("weights", "means", "networks", "plain_cv_error", "cv_error")
        require_schema(value, SCHEMA, names)
        weights, means = (require_by_feature(value[name], least=-np.inf).tolist() for name in ("weights", "means"))
        networks, *errors = require_numbers([value["networks"], value["plain_cv_error"], value["cv_error"]]).tolist()
        return cls(tuple(weights), tuple(means), int(networks), *errors)


def fit_correction(
    predicted_ms: Sequence[float], measured_ms: Sequence[float], parts: FloatArray
) -> ResidualCorrection:
    """Fit a correction on whole networks that the table was not built from.

    It is none with fewer than 8 networks, or where it does not take a tenth off the error in cross-validation. The
    mean error is for the table's calibration to take off, and stays.

    Args:
        predicted_ms: What the calibrated table says.
        measured_ms: Latencies.
        parts: As `latency.parts.TableParts` splits the networks, shape (networks, features).

    Raises:
        LutError: ``LUT41``: fewer than 2 networks, lengths that differ, or a latency that is none.
    """
    measured = require_latencies(measured_ms, len(predicted_ms), len(parts))
    off = np.log(measured / np.asarray(predicted_ms, dtype=float))
    plain = float(np.sqrt(np.mean(off**2)))
    none = ResidualCorrection(networks=len(off), plain_cv_error=plain, cv_error=plain)
    if len(off) < FEWEST_NETWORKS:
        return none
    shares = _shares(parts)
    means = shares.mean(axis=0)
    centred = shares - means
    errors = [_leave_one_out(centred, off, ridge) for ridge in _RIDGES]
    best = int(np.argmin(errors))
    if errors[best] >= _MUST_WIN_BY * plain:
        return none
    weights = centred.T @ np.linalg.solve(_kernel(centred, _RIDGES[best]), off)
    return ResidualCorrection(tuple(weights.tolist()), tuple(means.tolist()), len(off), plain, errors[best])


def _shares(parts: FloatArray) -> FloatArray:
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


def _kernel(centred: FloatArray, ridge: float) -> FloatArray:
    return np.asarray(centred @ centred.T + ridge * np.eye(len(centred)))


def _leave_one_out(centred: FloatArray, off: FloatArray, ridge: float) -> float:
    """Return the root mean square error of ridge regression, each network left out in turn.

    The means stay those of all networks. Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical
    Learning", 2nd edition, equation 7.64.
    """
    inverse = np.linalg.inv(_kernel(centred, ridge))
    return float(np.sqrt(np.mean((inverse @ off / np.diag(inverse)) ** 2)))
