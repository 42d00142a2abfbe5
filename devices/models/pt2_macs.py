"""Multiply-accumulates of the operators of a torch program. Source: torch's native_functions.yaml for the arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from devices.models.onnx_macs import Dims, product, size_at, times

_Counter = Callable[[Mapping[str, Dims], Sequence[Dims], Sequence[Dims]], "int | None"]


def _first(outputs: Sequence[Dims]) -> int | None:
    return product(outputs[0]) if outputs else None


def _conv(inputs: Mapping[str, Dims], outputs: Sequence[Dims], _stored: Sequence[Dims]) -> int | None:
    weight = inputs.get("weight")
    return times(_first(outputs), product(weight[1:] if weight else None))


def _conv_transpose(inputs: Mapping[str, Dims], _outputs: Sequence[Dims], _stored: Sequence[Dims]) -> int | None:
    weight = inputs.get("weight")
    return times(product(inputs.get("input")), product(weight[1:] if weight else None))


def _linear(inputs: Mapping[str, Dims], outputs: Sequence[Dims], _stored: Sequence[Dims]) -> int | None:
    return times(_first(outputs), size_at(inputs.get("weight"), -1))


def _product_of(left: str) -> _Counter:
    def count(inputs: Mapping[str, Dims], outputs: Sequence[Dims], _stored: Sequence[Dims]) -> int | None:
        return times(_first(outputs), size_at(inputs.get(left), -1))

    return count


def _attention(inputs: Mapping[str, Dims], outputs: Sequence[Dims], _stored: Sequence[Dims]) -> int | None:
    query, key = inputs.get("query"), inputs.get("key")
    keys = size_at(key, -2)
    scores = times(product(query), keys)
    values = times(_first(outputs), keys)
    return None if scores is None or values is None else scores + values


def _recurrent(inputs: Mapping[str, Dims], _outputs: Sequence[Dims], stored: Sequence[Dims]) -> int | None:
    steps = inputs.get("input")
    if steps is None or len(steps) != 3:
        return None
    weights = [product(one) for one in stored if one is not None and len(one) == 2]
    known = [one for one in weights if one is not None]
    return times(steps[0], steps[1], sum(known)) if known and len(known) == len(weights) else None


_COUNTERS: dict[str, _Counter] = {
    **dict.fromkeys(("aten.conv1d", "aten.conv2d", "aten.conv3d"), _conv),
    **dict.fromkeys(("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d"), _conv_transpose),
    "aten.linear": _linear,
    **dict.fromkeys(("aten.mm", "aten.bmm", "aten.matmul", "aten.mv", "aten.dot"), _product_of("self")),
    "aten.addmm": _product_of("mat1"),
    "aten.baddbmm": _product_of("batch1"),
    "aten.scaled_dot_product_attention": _attention,
    **dict.fromkeys(("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu"), _recurrent),
}
_UNCOUNTED = frozenset(
    {
        *("aten.convolution", "aten.einsum", "aten.bilinear", "aten.tensordot", "aten._native_multi_head_attention"),
        *("aten.conv_tbc", "aten.chain_matmul", "aten.linalg_multi_dot", "aten.addbmm", "aten.lstm_cell"),
        *("aten.gru_cell", "aten.rnn_tanh_cell", "aten.rnn_relu_cell", "aten._trilinear", "aten.addmv", "aten.addr"),
    }
)
_KNOWN = ("aten.", "_operator.", "operator.", "math.", "builtins.")


def node_macs(operator: str, inputs: Mapping[str, Dims], outputs: Sequence[Dims], stored: Sequence[Dims]) -> int | None:
    """Return the multiply-accumulates of one operator.

    Args:
        operator: As in ``aten.conv2d``.
        inputs: Argument -> shape, for arguments that are tensors (of a list, the first).
        outputs: Shape of each output.
        stored: Shapes of those inputs that are weights.

    Returns:
        A count, 0 for operators that do not multiply matrices, or ``None`` where the operator or its shapes are not
        known.
    """
    counter = _COUNTERS.get(operator)
    if counter is not None:
        return counter(inputs, outputs, stored)
    return 0 if operator.startswith(_KNOWN) and operator not in _UNCOUNTED else None
