"""A latency model that needs whole networks alone: every operator costs what its features say.

Since it is a sum over operators, it also tells the latency of a part of a network, and of networks outside any space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.estimator import LatencyEstimate
from latency.nonnegative import fit_ridge
from latency.operator_features import FEATURE_NAMES, IS_SECONDARY, feature_matrix, features_of
from latency.operators import Network, Operator, operators_in
from mnas.errors import LutError

SCHEMA = "mnas.operator_model/1"
FEWEST_NETWORKS = 2
_UNKNOWN_RELATIVE_SD = 0.10
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How an operator model is fitted; each is for `latency.tuning` to choose where there are networks enough.

    Attributes:
        ridge: Pull of each cost towards 0, or towards the prior's, relative to the squared relative error of a network.
        secondary: How many times harder secondary features are pulled.
        huber: Relative error beyond which a network counts linearly.
        others: Weight of networks that are unlike those to be predicted.
    """

    ridge: float = 1e-3
    secondary: float = 100.0
    huber: float = 0.05
    others: float = 0.3

    def ridges(self) -> FloatArray:
        """Return the ridge of each feature, shape (features,)."""
        return self.ridge * np.where(IS_SECONDARY, self.secondary, 1.0)


@dataclass(frozen=True, slots=True)
class OperatorModel:
    """Milliseconds that one unit of each feature costs on one device.

    Attributes:
        device_key: The device that it speaks of.
        costs: In the order of `FEATURE_NAMES`; none is negative.
        relative_sd: SD of a prediction's relative error, as cross-validation saw it; a tenth where none was made.
        networks: How many it was fitted on.
    """

    device_key: str
    costs: tuple[float, ...]
    relative_sd: float = _UNKNOWN_RELATIVE_SD
    networks: int = 0

    @classmethod
    def fit(
        cls,
        networks: Sequence[Sequence[Operator]],
        measured_ms: Sequence[float],
        *,
        device_key: str,
        settings: FitSettings | None = None,
        weights: Sequence[float] | None = None,
        prior: OperatorModel | None = None,
    ) -> OperatorModel:
        """Fit the costs on whole networks, or on any other sums of operators.

        Args:
            networks: The operators of each.
            measured_ms: Latencies.
            device_key: The device that they were measured on.
            settings: How; the defaults without.
            weights: Of the networks; 1 without.
            prior: Costs of another device. They are scaled to these measurements (by the median) and pulled towards.

        Raises:
            LutError: ``LUT41``: fewer than 2 networks, lengths that differ, or a latency that is none.
        """
        weighed = np.ones(len(networks)) if weights is None else np.asarray(weights, dtype=float)
        measured = require_latencies(measured_ms, len(networks), len(weighed))
        parts = feature_matrix(networks)
        settings = settings or FitSettings()
        costs = fit_costs(parts, measured, weighed, settings, None if prior is None else np.array(prior.costs))
        return cls(device_key, tuple(costs.tolist()), networks=len(networks))

    def predict(self, operators: Sequence[Operator]) -> float:
        """Return the milliseconds that operators take together: a network's, or those of a part of one."""
        return float(features_of(operators) @ np.array(self.costs))

    def estimate(self, networks: Sequence[Network]) -> list[LatencyEstimate]:
        """Return one estimate for each network, in order, with its 95 % interval.

        Raises:
            LutError: ``LUT08``: a prediction that is no latency.
        """
        return [self._estimate(operators_in(network)) for network in networks]

    def _estimate(self, operators: Sequence[Operator]) -> LatencyEstimate:
        ms = self.predict(operators)
        require_predicted(ms)
        return LatencyEstimate(ms, self.relative_sd * ms, "predicted")

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON; costs by feature."""
        return {"schema": SCHEMA} | asdict(self) | {"costs": dict(zip(FEATURE_NAMES, self.costs, strict=True))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> OperatorModel:
        """Read what `to_json` wrote.

        Raises:
            LutError: ``LUT42``: another schema, features that differ from those of this version, or no numbers.
        """
        require_schema(value, SCHEMA, ("device_key", "costs", "relative_sd", "networks"))
        costs = require_by_feature(value["costs"])
        spread, networks = require_numbers([value["relative_sd"], value["networks"]]).tolist()
        return cls(value["device_key"], tuple(costs.tolist()), spread, int(networks))


def fit_costs(
    parts: FloatArray, measured: FloatArray, weights: FloatArray, settings: FitSettings, prior: FloatArray | None
) -> FloatArray:
    """Return costs, shape (features,), for features of shape (networks, features); see `OperatorModel.fit`."""
    centre = np.zeros(parts.shape[1])
    if prior is not None:
        said = parts @ prior
        centre = prior * float(np.median((measured / said)[said > 0])) if np.any(said > 0) else centre
    return fit_ridge(parts, measured, weights, settings.ridges(), settings.huber, centre)


def require_latencies(measured_ms: Sequence[float], *lengths: int) -> FloatArray:
    """Return measured latencies as an array.

    Raises:
        LutError: ``LUT41``: fewer than 2, a number that differs from one of the lengths, or a latency that is none.
    """
    measured = np.asarray(measured_ms, dtype=float)
    if set(lengths) != {len(measured)} or len(measured) < FEWEST_NETWORKS:
        raise LutError(
            "LUT41",
            "not networks to fit a latency model on",
            value=f"{len(measured)} latencies, lengths beside them {lengths}",
            why=f"at least {FEWEST_NETWORKS} networks are needed, each with its latency",
            fix="measure more networks",
        )
    if not (np.all(np.isfinite(measured)) and np.all(measured > 0)):
        raise LutError("LUT41", "a latency that is none", value=list(measured_ms), fix="leave that network out")
    return measured


def require_predicted(ms: float) -> None:
    """Check that a prediction is a latency.

    Raises:
        LutError: ``LUT08``: it is not positive, or not finite.
    """
    if not 0 < ms < math.inf:
        raise LutError(
            "LUT08",
            "a prediction that is no latency",
            value=ms,
            why="the network holds no operator that the model knows a cost of",
            fix="fit the model on networks that hold such operators",
        )


def require_schema(value: Mapping[str, Any], schema: str, names: Sequence[str]) -> None:
    """Check a file's schema and that it has all its keys.

    Raises:
        LutError: ``LUT42``: another schema, keys that are missing, or a ``device_key`` that is no text.
    """
    if not isinstance(value, Mapping) or value.get("schema") != schema:
        raise refuse_file(value.get("schema") if isinstance(value, Mapping) else value, f"its schema must be {schema}")
    missing = [name for name in names if name not in value]
    if missing:
        raise refuse_file(sorted(value), f"{', '.join(missing)} are missing")
    if not isinstance(value.get("device_key", ""), str):
        raise refuse_file(value["device_key"], "its device_key must be a text")


def require_numbers(values: Any, *, least: float = 0.0) -> FloatArray:
    """Return a list of numbers as an array.

    Raises:
        LutError: ``LUT42``: no list, or one of it is not a number, not finite, or below the least allowed.
    """
    are_numbers = isinstance(values, list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values
    )
    found = np.array(values if are_numbers else [np.nan], dtype=float)
    if not (np.all(np.isfinite(found)) and np.all(found >= least)):
        raise refuse_file(values, f"each must be a finite number, at least {least:g}")
    return found


def require_by_feature(values: Any, *, least: float = 0.0) -> FloatArray:
    """Return numbers by feature as an array, in the order of `FEATURE_NAMES`.

    Raises:
        LutError: ``LUT42``: other features than those of this version, or numbers as for `require_numbers`.
    """
    if not isinstance(values, Mapping) or set(values) != set(FEATURE_NAMES):
        raise refuse_file(values, f"its features must be {', '.join(FEATURE_NAMES)}")
    return require_numbers([values[name] for name in FEATURE_NAMES], least=least)


def refuse_file(value: object, why: str) -> LutError:
    """Return the error for a file that is no latency model of this version."""
    return LutError("LUT42", "not a latency model of this version", value=value, why=why, fix="fit the model anew")
