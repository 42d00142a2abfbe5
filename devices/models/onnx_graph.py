"""Shapes of all tensors of an ONNX graph, and the multiply-accumulates that follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.shape_inference import infer_shapes

from devices.models.onnx_fold import fold_constants
from devices.models.onnx_macs import Dims, node_macs
from devices.models.shapes import Shapes
from devices.runtimes.memory import bounded_growth

_MAX_NODES = 100_000
_MAX_FUNCTION_DEPTH = 50
_MAX_PASSES = 12
_MOST_BYTES = 512 * 2**20
_SMALL_BYTES = 4096
"""Stored values above this are no shapes or axes, and shape inference can do without them."""

_OWN_DOMAINS = ("", "ai.onnx")


def operator_name(node: NodeProto) -> str:
    """Return ``Conv``, or ``domain:Operator`` outside ONNX's own domain."""
    return str(node.op_type) if node.domain in _OWN_DOMAINS else f"{node.domain}:{node.op_type}"


def dims_of(value: ValueInfoProto) -> tuple[int | None, ...] | None:
    """Return a tensor's sizes; ``None`` inside for an open one, ``None`` alone when nothing is known."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in dims)


def with_shapes(model: ModelProto, sizes: Shapes, symbols: Mapping[str, int]) -> ModelProto | None:
    """Return the model without weights and with the shapes that follow from those of its inputs.

    Args:
        model: Changed: its large weights are dropped and its inputs get their sizes.
        sizes: Input -> full sizes; inputs that are not in it stay as they are.
        symbols: Named dimension -> its size.

    Returns:
        The model, or ``None`` where shapes cannot be inferred.
    """
    for tensor in stored_tensors(model):
        if tensor.ByteSize() > _SMALL_BYTES:
            _drop_values(tensor)
    for value in model.graph.input:
        if value.name in sizes and value.type.HasField("tensor_type"):
            del value.type.tensor_type.shape.dim[:]
            value.type.tensor_type.shape.SetInParent()
            for size in sizes[value.name]:
                value.type.tensor_type.shape.dim.add(dim_value=size)
    for graph in all_graphs(model.graph):
        _name_sizes([*graph.value_info, *graph.output], symbols)
    if _expanded_nodes(model) > _MAX_NODES:
        return None
    try:
        # A file of a few bytes may ask the inference to make constants of any size.
        with bounded_growth(_MOST_BYTES + 4 * model.ByteSize()):
            flat = onnx.inliner.inline_local_functions(model) if model.functions else model
            for _ in range(_MAX_PASSES):
                flat = infer_shapes(flat, check_type=False, strict_mode=False, data_prop=True)
                # A shape that became known may be what the next one is worked out from.
                if not fold_constants(flat.graph, dict(_shapes(flat.graph))):
                    break
            return flat
    except Exception:  # the inference is C++ and raises types of its own; without shapes there is just no count
        return None


def count_macs(graph: GraphProto, outer: Mapping[str, Dims] | None = None) -> int | None:
    """Return the multiply-accumulates of a graph whose shapes were inferred; ``None`` where one is not known.

    Of two branches, one runs: they count where both need the same, else the number is not known.
    """
    shapes = {**(outer or {}), **dict(_shapes(graph))}
    total = 0
    for node in graph.node:
        attributes = dict(_attributes(node))
        inputs = [shapes.get(name) for name in node.input]
        if operator_name(node) == "If":
            branches = {count_macs(one.g, shapes) for one in node.attribute if one.HasField("g")}
            macs = branches.pop() if len(branches) == 1 else None
        else:
            macs = node_macs(operator_name(node), inputs, [shapes.get(name) for name in node.output], attributes)
            if macs is None and not _multiplies(node):
                macs = 0
        if macs is None:
            return None
        total += macs
    return total


def _multiplies(node: NodeProto) -> bool:
    """Tell whether a node may hold products: one with bodies does not when no node in them has a counter."""
    bodies = [one.g for one in node.attribute if one.HasField("g")]
    if not bodies or operator_name(node) not in ("Loop", "Scan"):
        return True
    inner = [deep for body in bodies for graph in all_graphs(body) for deep in graph.node]
    return any(node_macs(operator_name(one), [], [], {}) != 0 and operator_name(one) != "Loop" for one in inner)


def _attributes(node: NodeProto) -> Iterator[tuple[str, Any]]:
    for one in node.attribute:
        if one.type == AttributeProto.INT:
            yield one.name, one.i
        elif one.type == AttributeProto.STRING:
            yield one.name, one.s.decode("utf-8", "replace")


def _shapes(graph: GraphProto) -> Iterator[tuple[str, Dims]]:
    for values in (graph.value_info, graph.output, graph.input):
        for value in values:
            yield value.name, dims_of(value)
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, tuple(sparse.dims)


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and every graph within it."""
    stack = [graph]
    while stack:
        current = stack.pop()
        yield current
        for node in current.node:
            for one in node.attribute:
                stack.extend([one.g] if one.HasField("g") else [])
                stack.extend(one.graphs)


def stored_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every stored tensor: initializers and constants, in subgraphs and functions too."""
    nodes = [node for function in model.functions for node in function.node]
    for graph in all_graphs(model.graph):
        yield from graph.initializer
        yield from (one.values for one in graph.sparse_initializer)
        nodes.extend(graph.node)
    for node in nodes:
        yield from (one.t for one in node.attribute if one.HasField("t"))


def _drop_values(tensor: TensorProto) -> None:
    for name in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"):
        tensor.ClearField(name)


def _name_sizes(values: Sequence[ValueInfoProto], symbols: Mapping[str, int]) -> None:
    for value in values:
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in symbols:
                    dim.dim_value = symbols[dim.dim_param]


def _expanded_nodes(model: ModelProto) -> int:
    """Return how many nodes there are once functions are written out; over the limit where they call themselves."""
    bodies = {(one.domain, one.name): one for one in model.functions}
    known: dict[tuple[str, str], int] = {}

    def nodes_in(nodes: Sequence[NodeProto], depth: int) -> int:
        if depth > _MAX_FUNCTION_DEPTH:
            return _MAX_NODES + 1
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in bodies and key not in known:
                known[key] = _MAX_NODES + 1  # until it is known: a function that calls itself never ends
                known[key] = nodes_in(bodies[key].node, depth + 1)
            total += known.get(key, 1)
            for one in node.attribute:
                for graph in ([one.g] if one.HasField("g") else []) + list(one.graphs):
                    total += nodes_in(graph.node, depth + 1)
        return min(total, _MAX_NODES + 1)

    return nodes_in(model.graph.node, 0)
