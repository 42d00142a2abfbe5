"""Programs that torch.export saved (``.pt2``), run by torch itself."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any

import numpy as np

from devices.runtimes.inputs import Feed
from devices.runtimes.loaded import NamedOutputs, Open, Run, UnknownDelegateError

DELEGATES = ("cpu",)
_WITHOUT_NUMPY = {"bfloat16": np.float32}
"""Element types that numpy lacks -> what they are drawn as."""

_IMPORTED_BY_LOADING = (
    "torch.export.pt2_archive._package",
    "torch._export.serde.serialize",
    "torch.export._unlift",
    "torch._export.passes.lift_constants_pass",
)
"""What torch imports when it loads its first program: more than a second, which is not the model's."""


class TorchModel:
    """One exported program with its arguments."""

    def __init__(self, program: Any, feed: Feed) -> None:
        import torch
        from torch.utils import _pytree as pytree

        self.notes: tuple[str, ...] = ()
        self._names = [name if isinstance(name, str) else "" for name in program.graph_signature.user_outputs]
        # An exported program is already in the mode it was exported in; its eval() raises.
        self._module = program.module()
        values = _arguments(program, feed)
        self._args, self._kwargs = pytree.tree_unflatten(values, program.call_spec.in_spec)
        self._result: Any = None
        self.run: Run = torch.inference_mode()(self._infer)

    def _infer(self) -> None:
        self._result = self._module(*self._args, **self._kwargs)

    def first_run(self) -> None:
        """Run once."""
        self.run()

    def settle(self) -> None:
        """Do nothing: torch keeps freed buffers by itself."""

    def outputs(self) -> NamedOutputs:
        """Return the outputs of the last run."""
        import torch
        from torch.utils import _pytree as pytree

        found: NamedOutputs = []
        for place, value in enumerate(pytree.tree_leaves(self._result)):
            if isinstance(value, torch.Tensor) and not value.dtype.is_complex:
                name = self._names[place] if place < len(self._names) else ""
                value = value.float() if str(value.dtype).removeprefix("torch.") in _WITHOUT_NUMPY else value
                found.append((name or f"output{place}", value.cpu().numpy()))
        return found


def _arguments(program: Any, feed: Feed) -> list[Any]:
    """Return the flat arguments of a program: tensors filled, constants as they were at the export."""
    from torch.export.graph_signature import ConstantArgument, InputKind, TensorArgument

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    arguments = [one.arg for one in program.graph_signature.input_specs if one.kind == InputKind.USER_INPUT]
    feed.check_names(one.name for one in arguments if isinstance(one, TensorArgument))
    values = []
    for one in arguments:
        if isinstance(one, ConstantArgument):
            values.append(one.value)
        elif isinstance(one, TensorArgument):
            values.append(_tensor(one.name, nodes[one.name].meta["val"], feed))
        else:
            raise ValueError(f"input {one.name} is no tensor and cannot be filled")
    return values


def _tensor(name: str, example: Any, feed: Feed) -> Any:
    import torch

    dtype = str(example.dtype).removeprefix("torch.")
    shape = [size if isinstance(size, int) else str(size) for size in example.shape]
    sizes = feed.sizes(name, shape)
    try:
        numeric = np.dtype(_WITHOUT_NUMPY.get(dtype, dtype))
    except TypeError:
        raise ValueError(f"input {name} has type {dtype}, which cannot be filled") from None
    return torch.from_numpy(feed.value(name, sizes, numeric)).to(example.dtype)


def torch_opener(threads: int, delegate: str = "cpu") -> tuple[Open, str]:
    """Return a function that opens exported programs, and the version of torch.

    Args:
        threads: Threads of torch.
        delegate: ``cpu``.

    Raises:
        UnknownDelegateError: Another delegate.
    """
    import torch
    import torch.export

    if delegate not in DELEGATES:
        raise UnknownDelegateError(delegate, DELEGATES)
    for name in _IMPORTED_BY_LOADING:
        with contextlib.suppress(ImportError):
            import_module(name)
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)

    def open_model(path: str, feed: Feed) -> TorchModel:
        return TorchModel(torch.export.load(path), feed)

    return open_model, str(torch.__version__)
