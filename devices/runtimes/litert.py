"""TFLite files in LiteRT's interpreter, with XNNPACK or with its own kernels."""

from __future__ import annotations

import sys
from typing import Any

from devices.runtimes.inputs import Feed
from devices.runtimes.loaded import NamedOutputs, Open, Run, UnknownDelegateError

DELEGATES = ("xnnpack", "none")
_DELEGATE_NODE = "DELEGATE"


class LiteRTModel:
    """One interpreter whose inputs are filled."""

    def __init__(self, interpreter: Any, feed: Feed, delegate: str) -> None:
        self._interpreter = interpreter
        self.run: Run = interpreter.invoke
        details = interpreter.get_input_details()
        feed.check_names(detail["name"] for detail in details)
        for detail in details:
            free = [int(size) for size in detail.get("shape_signature", detail["shape"])]
            sizes = feed.sizes(detail["name"], free, may_resize=True)
            if list(sizes) != [int(size) for size in detail["shape"]]:
                interpreter.resize_tensor_input(detail["index"], sizes)
        _allocate(interpreter)
        for detail in interpreter.get_input_details():
            value = feed.value(detail["name"], detail["shape"], detail["dtype"])
            interpreter.set_tensor(detail["index"], value)
        self.notes: tuple[str, ...] = ()
        if delegate == "xnnpack" and count_delegate_nodes(interpreter) == 0:
            self.notes = ("XNNPACK took no operator of this model: all run in LiteRT's own kernels",)

    def first_run(self) -> None:
        """Run once."""
        self.run()

    def settle(self) -> None:
        """Do nothing: the interpreter owns its buffers."""

    def outputs(self) -> NamedOutputs:
        """Return the outputs of the last run."""
        details = self._interpreter.get_output_details()
        values = [(detail["name"], self._interpreter.get_tensor(detail["index"])) for detail in details]
        return [(name, value) for name, value in values if value.dtype.kind in "fiub"]


def _allocate(interpreter: Any) -> None:
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        text = str(error).strip()
        # LiteRT names every reason but this one: when it cannot have the memory for its tensors it says nothing.
        if not text:
            raise MemoryError("LiteRT could not allocate its tensors") from error
        if "failed to reshape runtime" in text:
            raise RuntimeError(f"{text} (sizes that do not fit together, or more memory than there is)") from error
        raise


def count_delegate_nodes(interpreter: Any) -> int | None:
    """Return how many nodes of an interpreter stand for parts that a delegate took; ``None`` where it does not tell."""
    ask = getattr(interpreter, "_get_ops_details", None)
    return None if ask is None else sum(node["op_name"] == _DELEGATE_NODE for node in ask())


def litert_opener(threads: int, delegate: str = "xnnpack") -> tuple[Open, str]:
    """Return a function that opens TFLite files, and the version of the package that provides the interpreter.

    Args:
        threads: Threads of the interpreter.
        delegate: ``xnnpack`` (what the interpreter takes by itself) or ``none`` (its own kernels).

    Raises:
        UnknownDelegateError: Another delegate.
    """
    from mnas.export.litert import load_interpreter_class

    if delegate not in DELEGATES:
        raise UnknownDelegateError(delegate, DELEGATES)
    interpreter_class, _package, version = load_interpreter_class()
    resolvers = sys.modules[interpreter_class.__module__].OpResolverType
    resolver = resolvers.AUTO if delegate == "xnnpack" else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    def open_model(path: str, feed: Feed) -> LiteRTModel:
        interpreter = interpreter_class(model_path=path, num_threads=threads, experimental_op_resolver_type=resolver)
        return LiteRTModel(interpreter, feed, delegate)

    return open_model, version
