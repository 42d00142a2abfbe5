"""What one device says of a network, in parts that another device may do faster or slower, each by a factor of its own.

A part is all that one feature of the operators costs. From an operator model it is the cost itself. From a latency
table it is a share of each entry, in the proportions of an operator model that was fitted on the entries: so the sum
of the parts is the table's own sum, cliffs and all, and yet each kind of operator can get its own factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from latency.operator_features import FEATURE_NAMES, feature_matrix, features_of
from latency.operators import Network, Operator, operators_in, operators_of
from latency.predictor import OperatorModel
from latency.table import LatencyTable
from mnas.architecture import Architecture
from mnas.errors import LutError
from mnas.layers import layers_of_blocks
from mnas.segments import Segment, segments_of

FloatArray = npt.NDArray[np.float64]


class Parts(Protocol):
    """Splits what a device takes for a network into parts, one a feature."""

    @property
    def device_key(self) -> str:
        """The device that the parts are of."""

    def split(self, networks: Sequence[Network]) -> FloatArray:
        """Return the parts in milliseconds, shape (networks, features); a row adds up to the network's latency."""

    def to_json(self) -> dict[str, Any]:
        """Return where the parts come from, as JSON."""


class OperatorParts:
    """Parts by an operator model.

    Args:
        model: Of the other device.
    """

    def __init__(self, model: OperatorModel) -> None:
        self._model = model

    @property
    def device_key(self) -> str:
        """The device that the parts are of."""
        return self._model.device_key

    def split(self, networks: Sequence[Network]) -> FloatArray:
        """Return the parts in milliseconds, shape (networks, features)."""
        features = feature_matrix([operators_in(network) for network in networks])
        return np.asarray(features * np.array(self._model.costs))

    def to_json(self) -> dict[str, Any]:
        """Return the model as JSON."""
        return {"kind": "operators", "model": self._model.to_json()}


class TableParts:
    """Parts by a latency table.

    Args:
        table: Of the other device, e.g. of the same machine with another runtime.
        model: Tells the proportions of the parts within an entry; fitted on the table's entries without.
    """

    def __init__(self, table: LatencyTable, model: OperatorModel | None = None) -> None:
        self._table = table
        self._model = model or model_of_table(table)
        self._known: dict[Segment, FloatArray] = {}

    @property
    def device_key(self) -> str:
        """The device that the parts are of."""
        return self._table.device_key

    def split(self, networks: Sequence[Network]) -> FloatArray:
        """Return the parts in milliseconds, shape (networks, features).

        Raises:
            LutError: ``LUT02``: entries are missing. ``LUT40``: a network without segments.
        """
        return np.array([self._split(network) for network in networks]).reshape(-1, len(FEATURE_NAMES))

    def _split(self, network: Network) -> FloatArray:
        if not isinstance(network, Architecture):
            raise LutError(
                "LUT40",
                "a latency table knows architectures alone",
                value=type(network).__name__,
                why="its entries are segments of one",
                fix="give the operator model of a device instead",
            )
        self._table.parts(network)  # names the entries that are missing
        return np.asarray(np.sum([self._entry(segment) for segment in segments_of(network)], axis=0))

    def _entry(self, segment: Segment) -> FloatArray:
        if segment not in self._known:
            costs = features_of(_operators(segment)) * np.array(self._model.costs)
            if not costs.sum() > 0:
                costs = np.array([float(name == "operators") for name in FEATURE_NAMES])
            self._known[segment] = self._table.entries[segment].latency_ms * costs / costs.sum()
        return self._known[segment]

    def to_json(self) -> dict[str, Any]:
        """Return the table's id, and the model as JSON."""
        return {"kind": "table", "lut_id": self._table.lut_id, "model": self._model.to_json()}


def parts_of(prior: OperatorModel | LatencyTable | Parts) -> Parts:
    """Return the parts of whatever is known of another device."""
    if isinstance(prior, OperatorModel):
        return OperatorParts(prior)
    return TableParts(prior) if isinstance(prior, LatencyTable) else prior


def model_of_table(table: LatencyTable) -> OperatorModel:
    """Return an operator model that was fitted on a table's entries, each weighed by what it takes.

    Raises:
        LutError: ``LUT41``: fewer than 2 entries take more than no time.
    """
    pairs = [(segment, entry.latency_ms) for segment, entry in table.entries.items() if entry.latency_ms > 0]
    times = [ms for _, ms in pairs]
    return OperatorModel.fit(
        [_operators(segment) for segment, _ in pairs], times, device_key=table.device_key, weights=times
    )


def _operators(segment: Segment) -> tuple[Operator, ...]:
    return operators_of(layers_of_blocks(segment.blocks, segment.in_shape_chw))
