"""LiteRT's C interface, as far as a profile needs it: the Python package has no profiler of its own.

The wheel of ``ai-edge-litert`` holds ``libLiteRt.so``, whose C functions carry a version (``VERS_1.0``). Only the
measuring child loads it, so a library of another layout costs one profile and no more.

Source: the headers ``litert/c/litert_*.h`` of LiteRT.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

OPERATOR, DELEGATE_OPERATOR, DELEGATE_PROFILED_OPERATOR = 1 << 1, 1 << 2, 1 << 3
_CPU = 1
_WRITE = 1
_MAX_RANK = 8
_STATUS = {
    1: "a wrong argument",
    2: "no memory",
    3: "a failure of the runtime",
    5: "unsupported",
    6: "not found",
    500: "the file cannot be read",
    501: "the file is no TFLite model",
    504: "the model cannot be compiled",
}
_DTYPES = {
    1: "float32", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float16", 11: "float64",
    13: "uint64", 16: "uint32", 17: "uint16",
}  # fmt: skip


Fill = Callable[[str, str, tuple[int, ...]], "np.ndarray[Any, Any]"]


class _Layout(ctypes.Structure):
    _fields_ = (("rank_bits", ctypes.c_uint32), ("sizes", ctypes.c_int32 * _MAX_RANK), ("strides", c_int * _MAX_RANK))


class _TensorType(ctypes.Structure):
    _fields_ = (("element_type", c_int), ("layout", _Layout))


class _Memory(ctypes.Structure):
    _fields_ = (("total", c_size_t), ("in_use", c_size_t), ("footprint", c_size_t))


class Event(ctypes.Structure):
    """One event of the profiler: ``tag``, ``kind``, ``start_us``, ``elapsed_us``, ``node`` (index of the operator)."""

    _fields_ = (
        ("tag", c_char_p),
        ("kind", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory_before", _Memory),
        ("memory_after", _Memory),
        ("node", c_uint64),
        ("extra", c_uint64),
        ("source", c_int),
    )


def load_library() -> ctypes.CDLL:
    """Load LiteRT's library out of the installed package.

    Raises:
        RuntimeError: The package is not there, or its library has no profiler.
    """
    found = importlib.util.find_spec("ai_edge_litert")
    folders = list(found.submodule_search_locations or ()) if found else []
    name = {"darwin": "libLiteRt.dylib", "win32": "libLiteRt.dll"}.get(sys.platform, "libLiteRt.so")
    for folder in folders:
        if (Path(folder) / name).is_file():
            library = ctypes.CDLL(str(Path(folder) / name))
            if not hasattr(library, "LiteRtCompiledModelGetProfiler"):
                break
            return library
    raise RuntimeError(f"no LiteRT library with a profiler: {name} of the package ai-edge-litert 2.3 or newer has one")


class CompiledModel:
    """A TFLite file that LiteRT has made ready, with its profiler and filled inputs.

    Args:
        path: The file.
        threads: Threads of the kernels.
        builtin: Use LiteRT's own kernels in place of XNNPACK.
        fill: Called with name, dtype and shape of each input; gives the array to put there.

    Raises:
        RuntimeError: A call failed; the text names it and LiteRT's status.
    """

    def __init__(self, path: str, threads: int, builtin: bool, fill: Fill) -> None:
        self._library = load_library()
        self._kept: list[object] = []
        self._environment = self._make("LiteRtCreateEnvironment", c_int(0), None)
        self._model = self._make("LiteRtCreateModelFromFile", self._environment, path.encode())
        options = self._options(threads, builtin)
        self._compiled = self._make("LiteRtCreateCompiledModel", self._environment, self._model, options)
        self._profiler = self._make("LiteRtCompiledModelGetProfiler", self._compiled)
        self._signature = self._make("LiteRtGetModelSignature", self._model, c_size_t(0))
        self._subgraph = self._make("LiteRtGetSignatureSubgraph", self._signature)
        self._inputs = self._fill_inputs(fill)
        self._outputs = self._make_outputs()

    def invoke(self) -> None:
        """Run one inference."""
        inputs, outputs = self._inputs, self._outputs
        ends = (c_size_t(len(inputs)), inputs, c_size_t(len(outputs)), outputs)
        self._call("LiteRtRunCompiledModel", self._compiled, c_size_t(0), *ends)

    def start(self) -> None:
        """Forget all events and begin to note new ones."""
        self._call("LiteRtStartProfiler", self._profiler)

    def stop(self) -> list[Event]:
        """Stop noting and return the events; their tags live as long as this object."""
        self._call("LiteRtStopProfiler", self._profiler)
        count = c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, byref(count))
        events = (Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return list(events)

    def operator_outputs(self) -> list[tuple[str, list[tuple[int, ...]]]]:
        """Return for each operator of the file the name of its first output, and the shapes of all."""
        found = []
        for place in range(self._count("LiteRtGetNumSubgraphOps", self._subgraph)):
            operator = self._make("LiteRtGetSubgraphOp", self._subgraph, c_size_t(place))
            tensors = [
                self._make("LiteRtGetOpOutput", operator, c_size_t(output))
                for output in range(self._count("LiteRtGetNumOpOutputs", operator))
            ]
            shapes = [_sizes(self._type(tensor).layout) for tensor in tensors]
            found.append((self._name(tensors[0]) if tensors else "", shapes))
        return found

    def _options(self, threads: int, builtin: bool) -> c_void_p:
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, c_int(_CPU))
        mode = "builtin" if builtin else "delegate"
        texts = {
            b"runtime_options_string": "enable_profiling = true\n",
            b"xnnpack": f'kernel_mode = "{mode}"\nnum_threads = {threads}\n',
        }
        for identifier, text in texts.items():
            payload = ctypes.create_string_buffer(text.encode())
            release = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)
            self._kept += [payload, release]
            opaque = self._make("LiteRtCreateOpaqueOptions", identifier, payload, release)
            self._call("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _fill_inputs(self, fill: Fill) -> Any:
        count = self._count("LiteRtGetNumSignatureInputs", self._signature)
        values = []
        for place in range(count):
            tensor = self._make("LiteRtGetSignatureInputTensorByIndex", self._signature, c_size_t(place))
            kind = self._type(tensor)
            shape = _sizes(kind.layout)
            value = np.ascontiguousarray(fill(self._name(tensor), _dtype(kind.element_type), shape))
            if value.shape != shape:
                sizes = (c_int * value.ndim)(*value.shape)
                where = (self._compiled, c_size_t(0), c_size_t(place))
                self._call("LiteRtCompiledModelResizeInputTensor", *where, sizes, c_size_t(value.ndim))
            values.append((kind, value))
        handles = []
        for place, (kind, value) in enumerate(values):
            where = (self._compiled, c_size_t(0), c_size_t(place))
            self._call("LiteRtGetCompiledModelInputTensorLayout", *where, byref(kind.layout))
            handle = self._buffer("Input", place, kind)
            address = self._make("LiteRtLockTensorBuffer", handle, last=c_int(_WRITE))
            ctypes.memmove(address, value.ctypes.data, value.nbytes)
            self._call("LiteRtUnlockTensorBuffer", handle)
            handles.append(handle)
        return (c_void_p * count)(*handles)

    def _make_outputs(self) -> Any:
        count = self._count("LiteRtGetNumSignatureOutputs", self._signature)
        layouts = (_Layout * count)()
        where = (self._compiled, c_size_t(0), c_size_t(count))
        self._call("LiteRtGetCompiledModelOutputTensorLayouts", *where, layouts, ctypes.c_bool(True))
        handles = []
        for place in range(count):
            tensor = self._make("LiteRtGetSignatureOutputTensorByIndex", self._signature, c_size_t(place))
            kind = self._type(tensor)
            kind.layout = layouts[place]
            handles.append(self._buffer("Output", place, kind))
        return (c_void_p * count)(*handles)

    def _buffer(self, side: str, place: int, kind: _TensorType) -> c_void_p:
        where = (self._compiled, c_size_t(0), c_size_t(place))
        needs = self._make(f"LiteRtGetCompiledModel{side}BufferRequirements", *where)
        return self._make("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, byref(kind), needs)

    def _type(self, tensor: c_void_p) -> _TensorType:
        kind = _TensorType()
        self._call("LiteRtGetRankedTensorType", tensor, byref(kind))
        return kind

    def _name(self, tensor: c_void_p) -> str:
        name = c_char_p()
        self._call("LiteRtGetTensorName", tensor, byref(name))
        return (name.value or b"").decode("utf-8", "replace")

    def _count(self, function: str, owner: c_void_p) -> int:
        count = c_size_t()
        self._call(function, owner, byref(count))
        return count.value

    def _make(self, function: str, *arguments: Any, last: Any = None) -> c_void_p:
        """Call a function that puts a handle where its last (or last but one) argument points."""
        made = c_void_p()
        self._call(function, *arguments, byref(made), *([] if last is None else [last]))
        return made

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != 0:
            known = f", {_STATUS[status]}" if status in _STATUS else ""
            raise RuntimeError(f"{function} failed with LiteRT's status {status}{known}")


def _sizes(layout: _Layout) -> tuple[int, ...]:
    return tuple(layout.sizes[: layout.rank_bits & 0x7F])


def _dtype(element_type: int) -> str:
    if element_type not in _DTYPES:
        raise RuntimeError(f"an input has LiteRT's element type {element_type}, which cannot be filled")
    return _DTYPES[element_type]
