"""One loaded model per runtime, reduced to a call without arguments that does one inference."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Run = Callable[[], object]
Open = Callable[[str, Sequence[int]], Run]
_INPUT_SEED = 20240229
_ORT_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def random_input(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an input from a fixed seed: standard normal, or integers 0 .. 99 for integer types.

    Random, because zeros make runtimes and CPUs faster than real images do.
    """
    rng = np.random.default_rng(_INPUT_SEED)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 100, size=tuple(shape)).astype(dtype)
    return rng.standard_normal(tuple(shape)).astype(dtype)


def fixed_shape(shape: Sequence[object], given: Sequence[int]) -> tuple[int, ...]:
    """Replace the free dimensions of a model's input by those of the artefact.

    Raises:
        ValueError: A dimension is free and the artefact does not say it.
    """
    sizes = []
    for place, size in enumerate(shape):
        if isinstance(size, int) and size > 0:
            sizes.append(size)
        elif len(given) == len(shape):
            sizes.append(int(given[place]))
        else:
            raise ValueError(f"input shape {list(shape)} has free dimensions and the artefact says {list(given)}")
    return tuple(sizes)


def onnxruntime_opener(threads: int) -> tuple[Open, str]:
    """Return a function that opens ONNX files on the CPU, and the version of onnxruntime."""
    import onnxruntime as ort

    ort.set_default_logger_severity(3)

    def open_model(path: str, shape: Sequence[int]) -> Run:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # Threads that spin between runs would take the CPU from the next model.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        for node in session.get_inputs():
            if node.type not in _ORT_DTYPES:
                raise ValueError(f"input {node.name} has type {node.type}, which cannot be filled")
            value = random_input(fixed_shape(node.shape, shape), _ORT_DTYPES[node.type])
            binding.bind_ortvalue_input(node.name, ort.OrtValue.ortvalue_from_numpy(value))
        for node in session.get_outputs():
            binding.bind_output(node.name, "cpu")
        session.run_with_iobinding(binding)
        # Outputs of the first run become the buffers of all later ones: no run pays for an allocation.
        outputs = binding.get_outputs()
        binding.clear_binding_outputs()
        for node, value in zip(session.get_outputs(), outputs, strict=True):
            binding.bind_ortvalue_output(node.name, value)
        return lambda: session.run_with_iobinding(binding)

    return open_model, str(ort.__version__)


def litert_opener(threads: int, delegate: str) -> tuple[Open, str]:
    """Return a function that opens TFLite files, and the version of the package that provides the interpreter.

    Args:
        threads: Threads of the interpreter.
        delegate: ``xnnpack`` (what the interpreter takes by itself) or ``none`` (its own kernels).
    """
    from mnas.export.litert import load_interpreter_class

    interpreter_class, _package, version = load_interpreter_class()
    resolvers = sys.modules[interpreter_class.__module__].OpResolverType
    resolver = resolvers.AUTO if delegate == "xnnpack" else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    def open_model(path: str, shape: Sequence[int]) -> Run:
        interpreter = interpreter_class(model_path=path, num_threads=threads, experimental_op_resolver_type=resolver)
        for detail in interpreter.get_input_details():
            free = [int(size) for size in detail.get("shape_signature", detail["shape"])]
            if min(free, default=1) < 1:
                interpreter.resize_tensor_input(detail["index"], fixed_shape(free, shape))
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], random_input(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        invoke: Run = interpreter.invoke
        return invoke

    return open_model, version


def opener(runtime: str, threads: int, delegate: str) -> tuple[Open, str]:
    """Return the opener of a runtime, ``ort`` or ``litert``, and the runtime's version."""
    if runtime == "ort":
        return onnxruntime_opener(threads)
    return litert_opener(threads, delegate)
