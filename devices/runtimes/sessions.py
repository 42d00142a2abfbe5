"""One module per runtime; here is which is which."""

from __future__ import annotations

from importlib import import_module

from devices.runtimes.loaded import Open

_OPENERS = {
    "ort": "devices.runtimes.ort:onnxruntime_opener",
    "litert": "devices.runtimes.litert:litert_opener",
    "torch": "devices.runtimes.pytorch:torch_opener",
}
RUNTIMES = tuple(_OPENERS)
FORMATS = {"ort": "onnx", "litert": "tflite", "torch": "pt2"}
"""Runtime -> format of the models that it reads."""

DEFAULT_DELEGATES = {"ort": "cpu", "litert": "xnnpack", "torch": "cpu"}


def opener(runtime: str, threads: int, delegate: str) -> tuple[Open, str]:
    """Return the opener of a runtime and the runtime's version; this imports the runtime.

    Args:
        runtime: One of `RUNTIMES`.
        threads: Of the runtime.
        delegate: One that the runtime has; "" for its default.

    Raises:
        UnknownDelegateError: The runtime does not have the delegate.
    """
    module, _, function = _OPENERS[runtime].partition(":")
    made: tuple[Open, str] = getattr(import_module(module), function)(threads, delegate or DEFAULT_DELEGATES[runtime])
    return made
