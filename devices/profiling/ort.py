"""onnxruntime's profile: the JSON that a session with ``enable_profiling`` writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from devices.profiling.raw import RawEvent, RawProfile, RawRun, order_events
from devices.profiling.request import ProfileRequest, Runner, slowdown_note
from devices.runtimes.ort import OrtModel, provider_names

_KERNEL = "_kernel_time"
VIEW = "onnxruntime's nodes after its graph optimisation"
NOTES = (
    "onnxruntime fuses and renames nodes and adds some (ReorderInput, ReorderOutput): they are not those of the file",
    "its profiler counts whole microseconds",
)


def profile_ort(request: ProfileRequest, runner: Runner) -> RawProfile:
    """Profile an ONNX file.

    Raises:
        Exception: Whatever onnxruntime raises for a model that it cannot load or run.
    """
    import onnxruntime as ort

    from devices.runtimes.loaded import UnknownDelegateError

    ort.set_default_logger_severity(3)
    names = provider_names(ort.get_available_providers())
    delegate = request.delegate or "cpu"
    if delegate not in names:
        raise UnknownDelegateError(delegate, tuple(names))
    runner.settle()
    plain, _ = _open(ort, request, names[delegate], "")
    plain_ms = runner.fastest_plain_ms(plain.run, request.warmup)
    del plain
    with tempfile.TemporaryDirectory(prefix="mnas-profile-") as folder:
        model, session = _open(ort, request, names[delegate], str(Path(folder) / "ort"))
        times = runner.repeat(request.warmup + request.runs, model.run)[request.warmup :]
        text = Path(session.end_profiling()).read_text(encoding="utf-8")
    runs = tuple(read_ort_profile(json.loads(text))[-request.runs :])
    if len(runs) < request.runs:
        raise ValueError(f"onnxruntime's profile holds {len(runs)} of {request.runs} inferences")
    notes = (*NOTES, *model.notes, slowdown_note(plain_ms, min(times)))
    return RawProfile("onnxruntime", str(ort.__version__), VIEW, runs, notes)


def _open(ort: Any, request: ProfileRequest, provider: str, profile_prefix: str) -> tuple[OrtModel, Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    providers = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
    session = ort.InferenceSession(request.path, options, providers=providers)
    model = OrtModel(session, request.feed, ())
    model.first_run()
    model.settle()
    return model, session


def read_ort_profile(events: Iterable[Mapping[str, Any]]) -> list[RawRun]:
    """Read onnxruntime's profile.

    Only kernels count: what it notes as fences, and the executor's own events, are left out.

    Args:
        events: The parsed JSON.

    Returns:
        Every inference, in order of time.
    """
    listed = [event for event in events if event.get("ph") == "X"]
    wholes = sorted((float(event["ts"]), float(event["dur"])) for event in listed if event["name"] == "model_run")
    kernels = order_events([_read_kernel(event) for event in listed if _is_kernel(event)])
    runs, place = [], 0
    for start, duration in wholes:
        while place < len(kernels) and kernels[place].start_us < start:
            place += 1
        first = place
        while place < len(kernels) and kernels[place].start_us <= start + duration:
            place += 1
        runs.append(RawRun(start, duration, tuple(kernels[first:place])))
    return runs


def _is_kernel(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and str(event.get("name", "")).endswith(_KERNEL)


def _read_kernel(event: Mapping[str, Any]) -> RawEvent:
    arguments = event.get("args", {})
    outputs = [sizes for typed in arguments.get("output_type_shape", ()) for sizes in typed.values()]
    detail = {"provider": arguments.get("provider", ""), "output_shapes": outputs}
    name = str(event["name"]).removesuffix(_KERNEL)
    return RawEvent(name, str(arguments.get("op_name", "")), float(event["ts"]), float(event["dur"]), detail)
