"""torch's profile: `torch.profiler` over a saved program."""

from __future__ import annotations

import warnings
from typing import Any

from devices.profiling.raw import WHOLE, RawEvent, RawProfile, RawRun, order_events
from devices.profiling.request import ProfileRequest, Runner, slowdown_note

VIEW = "torch's operators"
_NOTE = "outermost operators that the program calls, numbered in the order of their calls"


def profile_torch(request: ProfileRequest, runner: Runner) -> RawProfile:
    """Profile a ``.pt2`` file on the CPU.

    Raises:
        Exception: Whatever torch raises for a program that it cannot load or run.
    """
    from torch.profiler import ProfilerActivity, profile, record_function

    from devices.runtimes.pytorch import torch_opener

    open_model, version = torch_opener(request.threads, request.delegate or "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = open_model(request.path, request.feed)
    runner.settle()

    def marked() -> None:
        with record_function(WHOLE):
            model.run()

    plain_ms = runner.fastest_plain_ms(model.run, request.warmup)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True) as profiler:
        # One more, since the first under the profiler pays for its start.
        times = runner.repeat(1 + request.runs, marked)[1:]
    runs = tuple(read_torch_events(profiler.events())[1:])
    if len(runs) != request.runs:
        raise ValueError(f"torch's profile holds {len(runs)} of {request.runs} inferences")
    notes = (_NOTE, *model.notes, slowdown_note(plain_ms, min(times)))
    return RawProfile("torch", version, VIEW, runs, notes)


def read_torch_events(events: Any) -> list[RawRun]:
    """Read the events of `torch.profiler.profile`: one run for each marked inference."""
    children: dict[int, list[Any]] = {}
    wholes = []
    for event in events:
        if event.name == WHOLE and event.cpu_parent is None:
            wholes.append(event)
        elif event.cpu_parent is not None and event.cpu_parent.name == WHOLE:
            children.setdefault(event.cpu_parent.id, []).append(event)
    runs = []
    for whole in sorted(wholes, key=lambda event: float(event.time_range.start)):
        inner = sorted(children.get(whole.id, []), key=lambda event: float(event.time_range.start))
        read = [_read_event(event, place) for place, event in enumerate(inner)]
        span = whole.time_range
        runs.append(RawRun(float(span.start), float(span.end - span.start), tuple(order_events(read))))
    return runs


def _read_event(event: Any, place: int) -> RawEvent:
    kernel = max(_all_within(event), key=lambda one: float(one.self_cpu_time_total)).name
    shapes = [list(shape) for shape in event.input_shapes or () if shape]
    span = event.time_range
    detail = {"input_shapes": shapes, "kernel": kernel}
    return RawEvent(f"{event.name} {place}", event.name, float(span.start), float(span.end - span.start), detail)


def _all_within(event: Any) -> list[Any]:
    return [event, *(inner for child in event.cpu_children for inner in _all_within(child))]
