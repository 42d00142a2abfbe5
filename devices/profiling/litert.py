"""LiteRT's profile: the events of its own profiler, of XNNPACK's operators or of the built-in kernels."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from devices.profiling import litert_library as library
from devices.profiling.raw import RawEvent, RawProfile, RawRun
from devices.profiling.request import ProfileRequest, Runner, slowdown_note

XNNPACK_VIEW = "XNNPACK's operators"
BUILTIN_VIEW = "LiteRT's built-in kernels, without XNNPACK"
_INVOKE = b"Invoke"
_DEFAULT_EVENT = 1
XNNPACK, BUILT_IN = "XNNPACK", "built-in"
_END_OF_PART = 1 << 62
_CONTROL = frozenset({"WHILE", "IF", "CALL_ONCE", "STABLEHLO_COMPOSITE"})
_NOTE = (
    "made by LiteRT's compiled-model interface, the only one with a profiler; timing uses the interpreter of the same "
    "package"
)
_MICROSECONDS = "its profiler counts whole microseconds"


def profile_litert(request: ProfileRequest, runner: Runner) -> RawProfile:
    """Profile a TFLite file on the CPU, by XNNPACK or by LiteRT's built-in kernels.

    Raises:
        RuntimeError: LiteRT refuses the model, or has no profiler.
        ValueError: An input cannot be filled, or the profiler noted nothing.
    """

    def fill(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        return request.feed.value(name, request.feed.sizes(name, shape, may_resize=True), dtype)

    runner.settle()
    is_builtin = request.delegate == "none"
    model = library.CompiledModel(request.path, request.threads, is_builtin, fill)
    plain_ms = runner.fastest_plain_ms(model.invoke, request.warmup)
    outputs = model.operator_outputs()
    runs, times = [], []
    for _ in range(request.runs):
        model.start()
        times += runner.repeat(1, model.invoke)
        runs.append(read_litert_events(model.stop(), outputs))
    cost = slowdown_note(plain_ms, min(times))
    notes = (*_notes(runs, len(outputs), is_builtin), cost)
    view = BUILTIN_VIEW if is_builtin else XNNPACK_VIEW
    return RawProfile("litert", importlib.metadata.version("ai-edge-litert"), view, tuple(runs), notes)


def read_litert_events(events: Sequence[library.Event], outputs: Sequence[tuple[str, list[tuple[int, ...]]]]) -> RawRun:
    """Read the events of one inference.

    XNNPACK tells how long an operator took and not when it began: its operators are laid end to end.

    Args:
        events: As LiteRT noted them.
        outputs: Of each operator of the file: name of its first output, shapes of all.

    Raises:
        ValueError: There is no whole inference among them.
    """
    whole = [event for event in events if event.kind == _DEFAULT_EVENT and event.tag == _INVOKE]
    if not whole:
        raise ValueError("LiteRT's profiler noted no inference")
    start, duration = float(whole[0].start_us), float(whole[0].elapsed_us)
    found: list[RawEvent] = []
    now, part, previous = start, -1, _END_OF_PART
    for event in events:
        tag, took = (event.tag or b"").decode("utf-8", "replace"), float(event.elapsed_us)
        if event.kind == library.OPERATOR:
            begin, previous = float(event.start_us), _END_OF_PART
            found.append(_built_in(event, tag, outputs))
            # The body of a control operator follows it in the list and runs inside it.
            now = max(now, begin if tag in _CONTROL else begin + took)
        elif event.kind in (library.DELEGATE_OPERATOR, library.DELEGATE_PROFILED_OPERATOR):
            # XNNPACK numbers the operators of each part of the graph that it took from 0.
            part += event.node <= previous
            previous = event.node
            name = f"{tag} {part}.{event.node}" if part else f"{tag} {event.node}"
            found.append(RawEvent(name, tag, now, took, {"kernel": XNNPACK, "part": part}))
            now += took
    end = max([start + duration, *(event.start_us + event.duration_us for event in found)])
    return RawRun(start, end - start, tuple(found))


def _built_in(event: library.Event, tag: str, outputs: Sequence[tuple[str, list[tuple[int, ...]]]]) -> RawEvent:
    is_main = event.extra == 0
    name, shapes = outputs[event.node] if is_main and event.node < len(outputs) else ("", [])
    place = f"{event.node}" if is_main else f"{event.node} of subgraph {event.extra}"
    detail = {"output_shapes": [list(shape) for shape in shapes], "kernel": BUILT_IN}
    return RawEvent(name or f"{tag} {place}", tag, float(event.start_us), float(event.elapsed_us), detail)


def _notes(runs: Sequence[RawRun], operators: int, is_builtin: bool) -> list[str]:
    if is_builtin:
        return [_NOTE, _MICROSECONDS, "timing with delegate=xnnpack, the default, runs other kernels than these"]
    notes = [_NOTE, _MICROSECONDS]
    events = runs[-1].events
    left = Counter(event.op for event in events if event.detail["kernel"] == BUILT_IN)
    parts = {event.detail["part"] for event in events if event.detail["kernel"] == XNNPACK}
    if parts:
        count = len(events) - left.total()
        notes.append(
            f"XNNPACK ran {operators - left.total()} of the file's {operators} operators, parts: {len(parts)}, as "
            f"{count} of its own, fused and renamed, laid end to end in the trace; delegate=none shows the file's own "
            "operators, on other kernels"
        )
    if left:
        named = ", ".join(f"{op} x {count}" for op, count in left.most_common())
        notes.append(f"not taken by XNNPACK, run by built-in kernels: {named}")
    return notes
