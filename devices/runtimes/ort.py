"""ONNX files in onnxruntime, on the CPU or on an execution provider that this installation has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from devices.runtimes.inputs import Feed
from devices.runtimes.loaded import NamedOutputs, Open, Run, UnknownDelegateError

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
}
_CPU = "CPUExecutionProvider"
_PRIMER = (
    b'\x08\x07:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""A model of one ``Relu`` of one number: the first session of a process costs 9 MB and 7 ms that are no model's."""

_NOT_LOCAL = ("AzureExecutionProvider",)
"""Sends models to a service and runs nothing itself."""


def provider_names(available: Iterable[str]) -> dict[str, str]:
    """Return short lower-case name -> provider, e.g. ``cuda`` -> ``CUDAExecutionProvider``, with ``cpu`` first."""
    local = sorted((one for one in available if one not in _NOT_LOCAL), key=lambda one: (one != _CPU, one))
    return {one.removesuffix("ExecutionProvider").lower(): one for one in local}


def fallback_note(provider: str, assigned: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Say which operators run elsewhere than on the provider asked for, or "".

    Args:
        provider: Asked for.
        assigned: Provider and operators of each part of the graph.
    """
    inside, outside = 0, Counter[str]()
    for name, operators in assigned:
        if name == provider:
            inside += len(operators)
        else:
            outside.update(operators)
    if not outside:
        return ""
    most = ", ".join(f"{operator} ({count})" for operator, count in outside.most_common(5))
    total = inside + outside.total()
    return f"{outside.total()} of {total} nodes fell back from {provider} to the CPU: {most}"


class OrtModel:
    """One session whose inputs are bound and filled."""

    def __init__(self, session: Any, feed: Feed, notes: tuple[str, ...]) -> None:
        import onnxruntime as ort

        self.notes = notes
        self._session = session
        self._binding = session.io_binding()
        self.run: Run = partial(session.run_with_iobinding, self._binding)
        nodes = session.get_inputs()
        feed.check_names(node.name for node in nodes)
        for node in nodes:
            if node.type not in _DTYPES:
                raise ValueError(f"input {node.name} has type {node.type}, which cannot be filled")
            value = feed.value(node.name, feed.sizes(node.name, node.shape), _DTYPES[node.type])
            self._binding.bind_ortvalue_input(node.name, ort.OrtValue.ortvalue_from_numpy(value))
        self._allocate(node.name for node in session.get_outputs())

    def first_run(self) -> None:
        """Run once."""
        self.run()

    def settle(self) -> None:
        """Make the outputs of the first run the buffers of all later ones, so that no run pays for an allocation.

        An output whose size is not fixed by the file is compared with a second run: one that changes cannot have a
        buffer of its own, nor can one that is no tensor.
        """
        nodes, first = self._session.get_outputs(), self._binding.get_outputs()
        may_change = [not _is_fixed(node.shape) for node in nodes]
        if any(may_change):
            # Bound anew, since onnxruntime takes the values of one run for buffers of the next.
            self._allocate(node.name for node in nodes)
            self.run()
        second, free = self._binding.get_outputs(), []
        self._binding.clear_binding_outputs()
        for node, can_differ, one, two in zip(nodes, may_change, first, second, strict=True):
            if two.is_tensor() and (not can_differ or one.shape() == two.shape()):
                self._binding.bind_ortvalue_output(node.name, two)
            else:
                # In its turn: the binding gives outputs back in the order in which they were first bound.
                self._allocate([node.name])
                free.append(node.name)
        if any(may_change):
            self.run = partial(self._run_open, free)
        if free:
            self.notes += (f"allocated anew in each run, since its size depends on the data: {', '.join(free)}",)

    def _allocate(self, names: Iterable[str]) -> None:
        for name in names:
            self._binding.bind_output(name, "cpu")

    def _run_open(self, free: list[str]) -> None:
        """Run a model of which outputs may change their size although two runs did not show it.

        Args:
            free: Outputs that are allocated in each run; becomes all of them after the first surprise.
        """
        self._allocate(free)
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime has types of its own for this
            names = [node.name for node in self._session.get_outputs()]
            if "pre-allocated output" not in str(error) or free == names:
                raise
            free[:] = names
            self._binding.clear_binding_outputs()
            self._allocate(free)
            self._session.run_with_iobinding(self._binding)

    def outputs(self) -> NamedOutputs:
        """Return the tensors of the last run; texts, sequences and maps are left out."""
        values = zip(self._session.get_outputs(), self._binding.get_outputs(), strict=True)
        return [(node.name, one.numpy()) for node, one in values if node.type in _DTYPES and one.is_tensor()]


def _is_fixed(shape: object) -> bool:
    return isinstance(shape, list) and all(isinstance(size, int) and size > 0 for size in shape)


def onnxruntime_opener(threads: int, delegate: str = "cpu") -> tuple[Open, str]:
    """Return a function that opens ONNX files, and the version of onnxruntime.

    Args:
        threads: Threads inside an operator.
        delegate: ``cpu``, or the short name of an execution provider.

    Raises:
        UnknownDelegateError: This installation does not have the provider.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    names = provider_names(ort.get_available_providers())
    if delegate not in names:
        raise UnknownDelegateError(delegate, tuple(names))
    provider = names[delegate]
    ort.InferenceSession(_PRIMER, providers=[_CPU]).run(None, {"x": np.zeros(1, np.float32)})

    def open_model(path: str, feed: Feed) -> OrtModel:
        session = ort.InferenceSession(
            path, _options(threads, provider), providers=list(dict.fromkeys([provider, _CPU]))
        )
        if provider not in session.get_providers():
            raise RuntimeError(f"onnxruntime has {provider} and did not take it for this model")
        note = "" if provider == _CPU else _where_it_runs(session, provider)
        return OrtModel(session, feed, (note,) if note else ())

    return open_model, str(ort.__version__)


def _options(threads: int, provider: str) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Threads that spin between runs would take the CPU from the next model.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if provider != _CPU:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _where_it_runs(session: Any, provider: str) -> str:
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return "this version of onnxruntime does not say which nodes fell back to the CPU"
    return fallback_note(provider, graph_assignment(ask()))


def graph_assignment(parts: Iterable[Any]) -> list[tuple[str, list[str]]]:
    """Return provider and operators of each part of a graph, as onnxruntime 1.24 and later tell them."""
    return [(str(part.ep_name), [str(node.op_type) for node in part.get_nodes()]) for part in parts]
