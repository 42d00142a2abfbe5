"""A saved torch program (``.pt2``) as a description, read from the graph in the archive: no code of it is run."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.models.description import ModelDescription, TensorSpec
from devices.models.file_bytes import not_a_model, read_model_file
from devices.models.pt2_macs import node_macs
from devices.models.shapes import InputSizes, Shapes, fit_shapes, symbol_sizes

_MAX_GRAPH_BYTES = 2**27
_GRAPH_FILES = re.compile(r"(^|/)(models/[^/]+\.json|serialized_exported_program\.json)$")
_SYMBOL = re.compile(r"Symbol\('(\w+)'|(\w+)$")
_BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
_BROKEN = (*_BROKEN_ARCHIVE, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
# torch/_export/serde/schema.py, class ScalarType.
_DTYPES = {
    **{1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64"},
    **{10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 35: "uint64"},
}


def describe_pt2(path: Path, shapes: Shapes | None = None) -> ModelDescription:
    """Describe a saved torch program.

    Args:
        path: The file.
        shapes: Sizes for open dimensions. Without (``None``) they stay open, and what depends on them is not counted.

    Raises:
        ModelError: ``MOD02``: the file cannot be read. ``MOD03``: it is no saved program. ``MOD06``, ``MOD07``: shapes
            that do not fit, or are wanting.
    """
    data = read_model_file(path)
    try:
        program = _Program(_graph_json(data))
    except (*_BROKEN, RecursionError) as error:
        raise not_a_model(path, "pt2", f"{error or type(error).__name__}") from error
    sizes = fit_shapes(program.inputs, shapes, path.name) if shapes is not None else {}
    try:
        return program.describe(sizes)
    except (*_BROKEN, RecursionError) as error:
        raise not_a_model(path, "pt2", f"{error or type(error).__name__}") from error


def _graph_json(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = [one for one in archive.infolist() if _GRAPH_FILES.search(one.filename)]
        if not found:
            raise ValueError("the archive holds no torch program")
        if found[0].file_size > _MAX_GRAPH_BYTES:
            raise ValueError("its graph is too large")
        value = json.loads(archive.read(found[0]))
    if not isinstance(value, dict):
        raise ValueError("its graph is no graph")
    return value


class _Program:
    """The graph of a program."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        module = document["graph_module"]
        graph = module["graph"]
        self._nodes: list[dict[str, Any]] = list(graph["nodes"])
        self._values: dict[str, Any] = dict(graph["tensor_values"])
        signature = module["signature"]
        self._outputs = _tensor_names(signature["output_specs"], "user_output")
        self._stored = [
            str(spec[kind]["arg"]["name"])
            for spec in signature["input_specs"]
            for kind in ("parameter", "buffer", "tensor_constant")
            if spec.get(kind)
        ]
        self.inputs = [
            InputSizes(name, self._dtype(name), tuple(_size(one) for one in self._values[name]["sizes"]))
            for name in _tensor_names(signature["input_specs"], "user_input")
        ]

    def describe(self, sizes: Shapes) -> ModelDescription:
        """Describe it with sizes for every input, or with none."""
        known = symbol_sizes(self.inputs, sizes) if sizes else {}
        shapes = {name: tuple(_resolved(_size(one), known) for one in v["sizes"]) for name, v in self._values.items()}
        operators = Counter(_operator(node) for node in self._nodes)
        counts = [
            node_macs(
                _operator(node),
                {arg["name"]: shapes.get(name) for arg in node["inputs"] for name in _tensors(arg["arg"])[:1]},
                [shapes.get(name) for output in node["outputs"] for name in _tensors(output)],
                [shapes[name] for arg in node["inputs"] for name in _tensors(arg["arg"]) if name in self._stored],
            )
            for node in self._nodes
        ]
        return ModelDescription(
            inputs=tuple(TensorSpec(one.name, one.dtype, shapes[one.name]) for one in self.inputs),
            outputs=tuple(TensorSpec(name, self._dtype(name), shapes[name]) for name in self._outputs),
            operators=dict(sorted(operators.items())),
            macs=None if None in counts else sum(one for one in counts if one is not None),
            params=sum(math.prod(one or 0 for one in shapes[name]) for name in self._stored if self._is_weight(name)),
        )

    def _dtype(self, name: str) -> str:
        number = self._values[name]["dtype"]
        return _DTYPES.get(number, f"type{number}")

    def _is_weight(self, name: str) -> bool:
        is_whole = self._dtype(name) in ("int64", "int32", "bool")
        return name in self._values and bool(self._values[name]["sizes"]) and not is_whole


def _tensor_names(specs: list[dict[str, Any]], kind: str) -> list[str]:
    return [str(name) for spec in specs if spec.get(kind) for name in _tensors(spec[kind]["arg"])]


def _tensors(argument: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors of an argument: one, a list, or none."""
    if argument.get("as_tensor"):
        return [str(argument["as_tensor"]["name"])]
    return [str(one["name"]) for one in argument.get("as_tensors") or ()]


def _operator(node: Mapping[str, Any]) -> str:
    """Return ``aten.conv2d`` for ``torch.ops.aten.conv2d.default``."""
    name = str(node["target"]).removeprefix("torch.ops.")
    return ".".join(name.split(".")[:2])


def _size(value: Mapping[str, Any]) -> int | str:
    if "as_int" in value:
        return int(value["as_int"])
    match = _SYMBOL.match(str(value["as_expr"]["expr_str"]))
    return (match.group(1) or match.group(2)) if match else ""


def _resolved(size: int | str, known: Mapping[str, int]) -> int | None:
    return size if isinstance(size, int) else known.get(size)
