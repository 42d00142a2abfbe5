"""What of an operator its cost is taken to grow with: one function, for fitting and for predicting.

Everything is additive over operators, so that a part of a network has a latency too. The features are those that
carried the prediction of real networks on two phones (TFLite) in the exploration that chose them, all data in view.
Mean error over five core sets, whole groups of families held out, 3 % with all; without depthwise kernels over 3
apart from 3 it is 12 %, with no number of operators 7 %, with no input of the gates' averages 7 %, output of 1 x 1 7 %,
weights of 1 x 1 6 %, weights of k x k 5 %, padded input of depthwise 5 %, im2col patches 4 %. The average before the
classifier must be apart from those of gates (3 %, else 4 %).

Secondary features cost accuracy there when they were as free as the others, but other runtimes need them, so a stronger
ridge holds them back: LiteRT on x86 has a cliff at depthwise kernels of 7, higher for a stride of 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latency.operators import OPERATOR_KINDS, Operator

FloatArray = npt.NDArray[np.float64]
_ELEMENTWISE = ("add", "scale", "rearrange", "activation")
_COUNTED = tuple(kind for kind in OPERATOR_KINDS if kind not in _ELEMENTWISE)
"""Traces of networks often leave the element-wise operators out, and their overhead is little."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One quantity that a cost is charged for.

    Attributes:
        name: In files.
        kinds: Operators that have it.
        size: Of an operator of these kinds.
        unit: How many make one in the matrix: a cost is milliseconds for so many.
        is_secondary: Held back by a stronger ridge.
    """

    name: str
    kinds: tuple[str, ...]
    size: Callable[[Operator], int]
    unit: float = 1e6
    is_secondary: bool = False


def _one(operator: Operator) -> int:
    return 1


def _input(operator: Operator) -> int:
    return operator.in_pixels * operator.in_channels


def _output(operator: Operator) -> int:
    return operator.out_pixels * operator.out_channels


def _window(operator: Operator) -> int:
    return _output(operator) * operator.kernel_size**2


def _patches(operator: Operator) -> int:
    return operator.out_pixels * operator.kernel_size**2 * operator.in_channels


def _weights(operator: Operator) -> int:
    return operator.weights


def _macs(operator: Operator) -> int:
    return operator.macs


def _on_image(size: Callable[[Operator], int]) -> Callable[[Operator], int]:
    return lambda operator: size(operator) if operator.out_pixels > 1 else 0


def _on_vector(size: Callable[[Operator], int]) -> Callable[[Operator], int]:
    return lambda operator: size(operator) if operator.out_pixels == 1 else 0


def _kernel_over(kernel_size: int, size: Callable[[Operator], int]) -> Callable[[Operator], int]:
    return lambda operator: size(operator) if operator.kernel_size > kernel_size else 0


FEATURES: tuple[Feature, ...] = (
    Feature("operators", _COUNTED, _one, unit=1.0),
    Feature("depthwise_in", ("depthwise",), _input),
    Feature("depthwise_over3_macs", ("depthwise",), _kernel_over(3, _macs)),
    Feature("pointwise_macs", ("pointwise",), _macs),
    Feature("pointwise_weights", ("pointwise",), _on_image(_weights)),
    Feature("pointwise_out", ("pointwise",), _on_image(_output)),
    Feature("conv_macs", ("conv",), _macs),
    Feature("conv_weights", ("conv",), _weights),
    Feature("conv_patches", ("conv",), _patches),
    Feature("grouped_macs", ("grouped",), _macs),
    Feature("grouped_patches", ("grouped",), _patches),
    Feature("linear_weights", ("linear",), _weights),
    Feature("global_pool_in", ("global_pool",), _input),
    Feature("squeeze_in", ("squeeze",), _input),
    Feature("average_pool_window", ("average_pool",), _window),
    Feature("max_pool_window", ("max_pool",), _window),
    Feature("concat_out", ("concat",), _output),
    Feature("add_out", ("add",), _output),
    Feature("scale_out", ("scale",), _output),
    Feature("rearrange_out", ("rearrange",), _output),
    Feature("activation_out", ("activation",), _output),
    Feature("depthwise_out", ("depthwise",), _output, is_secondary=True),
    Feature("depthwise_over5_macs", ("depthwise",), _kernel_over(5, _macs), is_secondary=True),
    Feature("depthwise_over5_in", ("depthwise",), _kernel_over(5, _input), is_secondary=True),
    Feature("conv_out", ("conv",), _output, is_secondary=True),
    Feature("pointwise_vector_weights", ("pointwise",), _on_vector(_weights), is_secondary=True),
)
FEATURE_NAMES = tuple(feature.name for feature in FEATURES)
IS_SECONDARY = np.array([feature.is_secondary for feature in FEATURES])
_BY_KIND = {
    kind: [(number, one.size, one.unit) for number, one in enumerate(FEATURES) if kind in one.kinds]
    for kind in OPERATOR_KINDS
}


def features_of(operators: Sequence[Operator]) -> FloatArray:
    """Return the summed features of operators, shape (features,), each in its unit; zeros for no operator."""
    found = [0.0] * len(FEATURES)
    for operator in operators:
        for number, size, unit in _BY_KIND[operator.kind]:
            found[number] += size(operator) / unit
    return np.array(found)


def feature_matrix(networks: Sequence[Sequence[Operator]]) -> FloatArray:
    """Return the features of networks, shape (networks, features)."""
    return np.array([features_of(operators) for operators in networks], dtype=float).reshape(-1, len(FEATURES))
