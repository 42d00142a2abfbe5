"""Latencies of a new device, told from what another device takes for the parts of the same networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.estimator import LatencyEstimate
from latency.operator_features import FEATURE_NAMES, feature_matrix
from latency.operators import Network, operators_in
from latency.parts import OperatorParts, Parts, TableParts
from latency.posterior import Posterior
from latency.predictor import (
    OperatorModel,
    refuse_file,
    require_by_feature,
    require_numbers,
    require_predicted,
    require_schema,
)
from latency.table import LatencyTable

SCHEMA = "mnas.transferred_model/1"
FloatArray = npt.NDArray[np.float64]


def sizes_of(parts: Parts, networks: Sequence[Network]) -> FloatArray:
    """Return the root mean square, over networks, of each feature per millisecond of the other device; 0 if absent."""
    features = feature_matrix([operators_in(network) for network in networks])
    return np.asarray(np.sqrt(np.mean((features / _sums(parts, networks)[:, None]) ** 2, axis=0)))


def _sums(parts: Parts, networks: Sequence[Network]) -> FloatArray:
    sums = parts.split(networks).sum(axis=1)
    for one in sums:
        require_predicted(float(one))
    return np.asarray(sums)


def rows_of(parts: Parts, sizes: FloatArray, networks: Sequence[Network]) -> FloatArray:
    """Return parts in milliseconds, then features by their sizes, shape (networks, 2 * features)."""
    features = feature_matrix([operators_in(network) for network in networks])
    extras = np.divide(features, sizes, out=np.zeros_like(features), where=sizes > 0)
    return np.hstack([parts.split(networks), extras])


class TransferredModel:
    """A latency estimator of the new device.

    Args:
        device_key: The new device.
        parts: Of the other device.
        sizes: As `sizes_of` says of the networks that were to be chosen from, shape (features,).
        posterior: Of factors and extras.
    """

    def __init__(self, device_key: str, parts: Parts, sizes: FloatArray, posterior: Posterior) -> None:
        self.device_key = device_key
        self.parts = parts
        self.sizes = sizes
        self.posterior = posterior

    @property
    def factors(self) -> dict[str, float]:
        """How many times longer the new device takes, by feature; those of parts that no network has say nothing."""
        return dict(zip(FEATURE_NAMES, self.posterior.mean[: len(FEATURE_NAMES)].tolist(), strict=True))

    def estimate(self, networks: Sequence[Network]) -> list[LatencyEstimate]:
        """Return one estimate for each network, in order, with its 95 % interval.

        Raises:
            LutError: ``LUT02``: the other device's table lacks entries. ``LUT08``: a prediction that is no latency.
        """
        rows = rows_of(self.parts, self.sizes, networks)
        estimates = []
        for ms, spread in zip(self.posterior.predict(rows).tolist(), self.posterior.relative_sd(rows), strict=True):
            require_predicted(ms)
            estimates.append(LatencyEstimate(ms, float(spread * ms), "predicted"))
        return estimates

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON; a table is named by its id."""
        return {
            "schema": SCHEMA,
            "device_key": self.device_key,
            "parts": self.parts.to_json(),
            "sizes": dict(zip(FEATURE_NAMES, self.sizes.tolist(), strict=True)),
            "mean": self.posterior.mean.tolist(),
            "covariance": self.posterior.covariance.tolist(),
            "noise": self.posterior.noise,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], table: LatencyTable | None = None) -> TransferredModel:
        """Read what `to_json` wrote.

        Args:
            value: The JSON.
            table: The other device's, where the parts are of a table.

        Raises:
            LutError: ``LUT42``: another schema, other features, no numbers, or not that table.
        """
        require_schema(value, SCHEMA, ("device_key", "parts", "sizes", "mean", "covariance", "noise"))
        sizes, mean = require_by_feature(value["sizes"]), require_numbers(value["mean"])
        columns, rows = 2 * len(FEATURE_NAMES), value["covariance"]
        if len(mean) != columns or not isinstance(rows, list) or len(rows) != columns:
            raise refuse_file(len(mean), f"its mean and covariance must be of {columns}")
        covariance = [require_numbers(row, least=-np.inf) for row in rows]
        if any(len(row) != columns for row in covariance):
            raise refuse_file([len(row) for row in covariance], "its covariance must be square")
        posterior = Posterior(mean, np.array(covariance), float(require_numbers([value["noise"]])[0]))
        return cls(value["device_key"], _parts_from_json(value["parts"], table), sizes, posterior)


def _parts_from_json(value: Any, table: LatencyTable | None) -> Parts:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    needed = {"operators": ["model"], "table": ["model", "lut_id"]}.get(str(kind), ["no such kind"])
    if any(name not in (value or {}) for name in needed):
        raise refuse_file(value, "its parts must be of operators or of a table")
    model = OperatorModel.from_json(value["model"])
    if kind == "operators":
        return OperatorParts(model)
    if table is None or table.lut_id != value["lut_id"]:
        raise refuse_file(value["lut_id"], f"it needs that table, not {table.lut_id if table else 'none'}")
    return TableParts(table, model)
