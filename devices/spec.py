"""The text that names a device: ``host:ort,threads=1`` or ``adb:SERIAL/litert,cpus=big``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec

from mnas.errors import ConfigError

ENTRY_POINT_GROUP = "mnas.devices"
HOST_RUNTIMES = ("ort", "litert", "torch")
RUNTIME_MODULES = {"ort": ("onnxruntime",), "litert": ("ai_edge_litert", "tflite_runtime"), "torch": ("torch",)}
"""Host runtime -> modules of which one must be there."""

PHONE_RUNNERS = ("tflite", "litert", "ortperf")
CPU_CLASSES = ("big", "middle", "little")
DELEGATES = ("xnnpack", "none", "gpu", "nnapi")
OPTION_KEYS = ("threads", "cpus", "delegate", "partial")
MAX_THREADS = 256
_GRAMMAR = "host:RUNTIME[,key=value...] or adb:SERIAL/RUNNER[,key=value...]"


def _refuse(what: str, value: object, why: str, fix: str) -> ConfigError:
    return ConfigError("CFG10", what, value=value, why=why, fix=fix)


def _refuse_runtime(runtime: str, known: tuple[str, ...], place: str) -> ConfigError:
    names = ", ".join(dict.fromkeys(known))
    return _refuse(f"no such runtime for {place}", runtime, f"known are {names}", "use one of them")


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device, the runtime on it and how it is to run.

    Attributes:
        kind: ``host`` or ``adb``.
        runtime: Host runtime (``ort``, ``litert``, ``torch`` or one of a plug-in) or phone runner.
        serial: Serial of the phone, which may hold colons; "" for the host.
        threads: Threads of the runtime, 1 .. 256.
        cpus: "" for the device's default, ``big``, ``middle``, ``little``, or a mask in lower-case hexadecimal
            without prefix or leading zeros.
        delegate: "" for the runtime's default. For phones ``xnnpack``, ``none``, ``gpu``, ``nnapi`` or
            ``external:PATH``. For the host any lower-case name such as ``cpu``, ``xnnpack`` or ``cuda``: which ones
            are there is known to the runtime alone.
        partial: ``allow``: on a phone, a model of which the delegate takes only parts is measured, too; else "".

    Raises:
        ConfigError: ``CFG10``: a field is not one of these.
    """

    kind: str
    runtime: str
    serial: str = ""
    threads: int = 1
    cpus: str = ""
    delegate: str = ""
    partial: str = ""

    def __post_init__(self) -> None:
        if self.kind == "host":
            if self.serial:
                raise _refuse("the host has no serial", self.serial, "only phones have one", "write host:RUNTIME")
            if self.runtime not in HOST_RUNTIMES and self.runtime not in plugin_runtimes():
                raise _refuse_runtime(self.runtime, openable_runtimes(), "this machine")
        elif self.kind == "adb":
            if not re.fullmatch(r"[^\s/,]+", self.serial):
                raise _refuse("a phone needs its serial", self.serial, _GRAMMAR, "take one from 'adb devices'")
            if self.runtime not in PHONE_RUNNERS:
                raise _refuse_runtime(self.runtime, PHONE_RUNNERS, "phones")
        else:
            raise _refuse("no such kind of device", self.kind, f"the form is {_GRAMMAR}", "write it so")
        _check_options(self.threads, self.cpus)
        _check_delegate(self.kind, self.delegate)
        if self.partial and (self.kind, self.partial) != ("adb", "allow"):
            raise _refuse(
                "partial is not allow", self.partial, "only on phones may a delegate take parts", "partial=allow"
            )

    @classmethod
    def parse(cls, text: str) -> DeviceSpec:
        """Read the text form; ``host`` alone means ``host:ort``.

        Raises:
            ConfigError: ``CFG10``: an unknown kind, runtime, key or value, or a key given twice.
        """
        place, *options = text.split(",")
        kind, _, rest = place.partition(":")
        fields = _read_options(text, options)
        if kind == "adb":
            serial, slash, tail = text.partition(":")[2].partition("/")
            if not slash:
                raise _refuse("the runner is missing", text, f"the form is {_GRAMMAR}", "add /litert for example")
            return cls(kind="adb", serial=serial, runtime=tail.split(",")[0], **fields)  # type: ignore[arg-type]
        runtime = "ort" if place == "host" else rest
        return cls(kind=kind, runtime=runtime, **fields)  # type: ignore[arg-type]

    def __str__(self) -> str:
        head = f"host:{self.runtime}" if self.kind == "host" else f"adb:{self.serial}/{self.runtime}"
        options = [f"threads={self.threads}"] if self.threads != 1 else []
        options += [f"cpus={self.cpus}"] if self.cpus else []
        options += [f"delegate={self.delegate}"] if self.delegate else []
        options += [f"partial={self.partial}"] if self.partial else []
        return ",".join([head, *options])


def plugin_runtimes() -> tuple[str, ...]:
    """Return the names that installed packages register in the entry-point group ``mnas.devices``."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)} - {"adb"}))


def openable_runtimes() -> tuple[str, ...]:
    """Return the host runtimes that can be opened: those whose package is there, and plug-ins; imports none."""
    built_in = [name for name in HOST_RUNTIMES if any(find_spec(module) for module in RUNTIME_MODULES[name])]
    return (*built_in, *(name for name in plugin_runtimes() if name not in HOST_RUNTIMES))


def _read_options(text: str, options: list[str]) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if key not in OPTION_KEYS or not equals:
            raise _refuse("unknown key in a device spec", option, f"keys are {', '.join(OPTION_KEYS)}", "use one")
        if key in fields:
            raise _refuse("a key is given twice", text, f"'{key}' can have one value", "leave one out")
        if not value:
            raise _refuse("a key has no value", option, "an empty value says nothing", f"write {key}=VALUE")
        if key == "threads":
            if not re.fullmatch(r"[0-9]{1,6}", value):
                raise _refuse("threads is not a number", value, "it counts threads", "write threads=1")
            fields[key] = int(value)
        elif key == "cpus" and value not in CPU_CLASSES:
            fields[key] = value.lower().removeprefix("0x").lstrip("0") or "0"
        else:
            fields[key] = value
    return fields


def _check_options(threads: int, cpus: str) -> None:
    if not 1 <= threads <= MAX_THREADS:
        raise _refuse("threads is out of range", threads, f"it must be 1 .. {MAX_THREADS}", "change it")
    if cpus and cpus not in CPU_CLASSES and not re.fullmatch(r"[1-9a-f][0-9a-f]{0,31}", cpus):
        raise _refuse("cpus is neither a class nor a mask", cpus, f"classes are {', '.join(CPU_CLASSES)}", "cpus=f0")


def _check_delegate(kind: str, delegate: str) -> None:
    if kind == "host" and re.fullmatch(r"[a-z][a-z0-9_]*", delegate):
        return
    external = delegate.startswith("external:") and re.fullmatch(r"external:[^\s,]+", delegate)
    if delegate and delegate not in DELEGATES and not external:
        known = ", ".join((*DELEGATES, "external:PATH"))
        raise _refuse("no such delegate", delegate, f"known are {known}", "use one of them")
