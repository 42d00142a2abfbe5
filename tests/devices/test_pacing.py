"""Rests, priorities, limits and capabilities, without waiting for any of them."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.measurement import Visit
from devices.runtimes import machine, memory
from devices.runtimes.capabilities import check_capabilities, describe_capability
from devices.runtimes.failures import explain, is_out_of_memory, missing_operator, one_line
from devices.runtimes.host import HostDevice
from devices.runtimes.inputs import Feed, random_input
from devices.runtimes.ort import fallback_note, graph_assignment, provider_names
from devices.runtimes.scheduling import Pacer, RealTimeLimit, parse_real_time_limit
from devices.runtimes.worker import timed_visit
from devices.spec import DeviceSpec
from mnas.export.artifact import ModelArtifact

MakeNet = Callable[[str, int], ModelArtifact]


@given(busy_s=st.floats(0.0005, 0.6), limit=st.sampled_from([RealTimeLimit(), RealTimeLimit(900_000, 1_000_000)]))
def test_every_window_of_a_period_holds_the_idle_time(busy_s: float, limit: RealTimeLimit) -> None:
    rest_s = limit.rest_s(busy_s)
    wanted_s = (limit.period_us - limit.runtime_us) / 1e6
    # The worst window begins right behind a rest.
    whole, left = divmod(limit.period_us / 1e6, busy_s + rest_s)
    idle_s = whole * rest_s + max(0.0, left - busy_s)
    assert idle_s >= wanted_s
    assert rest_s <= 3 * wanted_s


def test_a_limit_is_read_from_linux_texts() -> None:
    assert parse_real_time_limit("950000\n", "1000000\n") == RealTimeLimit()
    assert parse_real_time_limit("-1", "1000000") == RealTimeLimit(-1, 1_000_000)
    assert parse_real_time_limit("", "1000000") is None and parse_real_time_limit("1", "0") is None
    assert RealTimeLimit(-1).rest_s(0.1) == RealTimeLimit().rest_s(0.1)


class _World:
    """A clock that runs by what runs and rests take, and a log of what happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run_s: list[float]) -> None:
        self.now_s, self.log, self._run_s = 0.0, list[Any](), deque(run_s)
        self.pacer = Pacer(True, sleep=self.sleep, set_priority=self.set_priority)
        monkeypatch.setattr("devices.runtimes.worker.time.perf_counter_ns", lambda: int(self.now_s * 1e9))

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.log.append("rest")

    def set_priority(self, real_time: bool) -> bool:
        self.log.append("real-time" if real_time else "ordinary")
        return True

    def run(self) -> None:
        self.now_s += self._run_s.popleft()
        self.log.append("run")


def test_a_visit_rests_between_runs_and_never_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World(monkeypatch, [0.12] * 8)
    reply = timed_visit(world.run, 6, 2, world.pacer)
    first = ["ordinary", "run", "real-time"]  # of two discarded runs
    assert world.log == [
        *first,
        "run",
        "rest",
        "run",
        "rest",
        "run",
        "rest",
        "run",
        "rest",
        "run",
        "rest",
        "run",
        "rest",
        "run",
        "rest",
    ]
    assert reply["samples_ns"] == pytest.approx([0.12e9] * 6) and reply["priority"] == "real-time"
    assert world.pacer.used_s == 0
    world = _World(monkeypatch, [0.001] * 50)
    timed_visit(world.run, 48, 2, world.pacer)
    assert "rest" not in world.log


@given(
    visits=st.lists(
        st.tuples(st.floats(0.00002, 0.06), st.integers(1, 50), st.integers(0, 2)), min_size=1, max_size=60
    ),
    wait_s=st.floats(0, 0.001),
)
def test_real_time_work_keeps_to_its_limit_in_every_second(visits: list[tuple[float, int, int]], wait_s: float) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = _World(monkeypatch, [])
        spans: list[tuple[float, float]] = []
        for run_s, runs, warmup in visits:

            def run(run_s: float = run_s) -> None:
                if world.pacer.now_real_time:
                    spans.append((world.now_s, world.now_s + run_s))
                world.now_s += run_s

            timed_visit(run, runs, warmup, world.pacer)
            world.pacer.restore()
            world.pacer.rest()
            world.now_s += wait_s
            world.pacer.waited(wait_s)
    for start, _ in spans:
        used_s = sum(max(0.0, min(end, start + 1.0) - max(begin, start)) for begin, end in spans)
        assert used_s <= 0.955  # Linux counts in periods that follow one another, which is less strict than any second


def test_a_model_of_long_runs_goes_on_at_ordinary_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World(monkeypatch, [0.8] * 4)
    reply = timed_visit(world.run, 3, 1, world.pacer)
    assert world.log == ["run", "ordinary", "run", "run", "run"] and reply["priority"] == "ordinary"
    world.pacer.restore()
    assert world.log[-1] == "real-time" and world.pacer.now_real_time


def test_a_process_without_priority_is_not_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World(monkeypatch, [0.8] * 2)
    pacer = Pacer(False, sleep=world.sleep, set_priority=world.set_priority)
    assert timed_visit(world.run, 2, 0, pacer)["priority"] == "ordinary"
    pacer.rest()
    pacer.restore()
    assert world.log == ["run", "run"]


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="priorities of POSIX")
def test_a_worker_runs_at_real_time_priority_where_that_is_granted(make_net: MakeNet) -> None:
    with HostDevice(DeviceSpec("host", "ort")) as device:
        (event,) = device.run([Visit(make_net("onnx", 8), 1, 0)])
        granted = device.conditions()["capabilities"]["fifo"]
        policy = os.sched_getscheduler(device.worker_pid)
        assert not event.error
        assert policy == (os.SCHED_FIFO if granted else os.SCHED_OTHER)
        assert "ordinary_priority" not in device.conditions()


def test_memory_is_read_from_linux_texts() -> None:
    assert memory.parse_available_bytes("MemTotal: 9 kB\nMemAvailable:   2048 kB\n") == 2048 * 1024
    assert memory.parse_available_bytes("MemTotal: 9 kB\n") is None
    assert memory.parse_status_bytes("VmPeak:\t 9 kB\nVmHWM:\t  300 kB\n", "VmHWM") == 300 * 1024
    assert memory.parse_status_bytes("", "VmHWM") is None
    assert memory.parse_cgroup_bytes("1000\n", "400\n") == 600
    assert memory.parse_cgroup_bytes("max\n", "400\n") is None and memory.parse_cgroup_bytes("", "") is None


def test_conditions_are_read_from_linux_texts() -> None:
    assert machine.parse_governors(["performance\n", "powersave\n", "performance\n", "<unknown>"]) == [
        "performance",
        "powersave",
    ]
    assert machine.parse_counts(["3\n", "4\n", ""]) == 7 and machine.parse_counts([]) is None
    assert machine.parse_celsius("45500\n") == 45.5
    assert machine.parse_celsius("0\n") is None and machine.parse_celsius("x") is None
    assert machine.parse_turbo("0\n", "") is True and machine.parse_turbo("", "0") is False
    assert machine.parse_turbo("", "") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_this_machine_tells_its_memory() -> None:
    available = machine.conditions()["available_memory_bytes"]
    assert 0 < available < 2**50
    resident, peak = memory.resident_bytes(), memory.peak_bytes()
    assert resident and peak and resident <= peak * 1.01


def test_each_capability_has_its_texts_and_follows_what_was_got() -> None:
    found = {one.name: one for one in check_capabilities(pinned=True, fifo=False, memory_limit=None)}
    assert found["pinned"].is_there and not found["fifo"].is_there and not found["memory_limit"].is_there
    assert all(one.costs and one.remedy for one in found.values())
    again = {one.name: one for one in check_capabilities(pinned=False, fifo=True, memory_limit=5)}
    assert again["fifo"].is_there and again["memory_limit"].is_there and not again["pinned"].is_there
    assert describe_capability("fifo", False) == found["fifo"]
    assert describe_capability("of a plug-in", True).costs == ""


def test_doctor_has_a_row_for_each_capability(capsys: pytest.CaptureFixture[str]) -> None:
    from mnas.cli.doctor import _capabilities

    rows = _capabilities({"pinned": True, "fifo": False})
    assert [row[2] for row in rows] == ["ok", "absent"]
    assert "ulimit" in str(rows[1][1])


_ORT_HUGE = (
    "Fail: [ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running ConstantOfShape node. Name:''"
    " Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::"
    "AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size"
    " 200000000000\n"
)


@pytest.mark.parametrize(
    ("reply", "how", "text"),
    [
        ({}, "ok", ""),
        ({"error": _ORT_HUGE, "memory_limit": 4e9}, "out of memory", "200.0 GB; it may take 4.0 GB"),
        (
            {"error": "the worker was killed by SIGABRT", "stderr": "terminate: std::bad_alloc", "lost": True},
            "out of memory",
            "",
        ),
        ({"error": "the worker was killed by SIGSEGV", "stderr": "", "lost": True}, "crashed", "SIGSEGV"),
        ({"error": "no answer within 9 s", "lost": True, "hung": True}, "hung", "9 s"),
        (
            {"error": "RuntimeError: failed", "stderr": "ERROR: Encountered unresolved custom op: Foo.\nSee"},
            "refused",
            "operator Foo",
        ),
        ({"error": "Fail: acme:Foo(-1) is not a registered function/op"}, "refused", "operator acme:Foo"),
        (
            {"error": "NotImplemented: Could not find an implementation for ConvInteger(10) node"},
            "refused",
            "ConvInteger",
        ),
        ({"error": "RuntimeError: a\n  b\n\x1b[1;31mc\x1b[m"}, "refused", "a b c"),
    ],
)
def test_failures_become_one_line(reply: dict[str, Any], how: str, text: str) -> None:
    found, line = explain(reply)
    assert found == how and text in line and "\n" not in line


def test_lines_lose_signatures_and_keep_the_reason() -> None:
    line = one_line(_ORT_HUGE)
    assert line.endswith("Failed to allocate memory for requested buffer of size 200000000000")
    assert "bfc_arena" not in line and "ONNXRuntimeError" not in line
    assert len(one_line("x" * 5000)) == 300
    assert not is_out_of_memory("the model allocated 5 tensors") and missing_operator("all is well") == ""


def test_providers_have_short_names_and_a_service_is_none() -> None:
    names = provider_names(["AzureExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"])
    assert names == {"cpu": "CPUExecutionProvider", "openvino": "OpenVINOExecutionProvider"}
    assert list(names) == ["cpu", "openvino"]


def test_nodes_that_fell_back_are_counted() -> None:
    parts = [("XExecutionProvider", ["Conv", "Conv"]), ("CPUExecutionProvider", ["Gather", "Gather", "Softmax"])]
    note = fallback_note("XExecutionProvider", parts)
    assert "3 of 5 nodes" in note and "Gather (2), Softmax (1)" in note
    assert fallback_note("XExecutionProvider", parts[:1]) == ""


def test_onnxruntime_tells_where_nodes_run(make_net: MakeNet) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    path = str(make_net("onnx", 8).path)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    parts = graph_assignment(session.get_provider_graph_assignment_info())
    assert parts and {name for name, _ in parts} == {"CPUExecutionProvider"}
    assert any(re.search("Conv", operator) for _, operators in parts for operator in operators)


def test_litert_delegates_differ_in_what_they_run(make_net: MakeNet) -> None:
    from devices.runtimes.litert import LiteRTModel, count_delegate_nodes, litert_opener

    counts = {}
    for delegate in ("xnnpack", "none"):
        open_model, _ = litert_opener(1, delegate)
        model = open_model(str(make_net("tflite", 8).path), Feed())
        assert isinstance(model, LiteRTModel) and model.notes == ()
        counts[delegate] = count_delegate_nodes(model._interpreter)
    assert counts["xnnpack"] and counts["none"] == 0


def test_inputs_of_integers_booleans_and_scalars() -> None:
    assert random_input((), "float32").shape == () and random_input((), "int64").dtype == "int64"
    flags = random_input((50,), "bool")
    assert flags.dtype == "bool" and 0 < flags.sum() < 50
    with pytest.raises(ValueError, match="cannot be filled"):
        random_input((1,), "str")
    assert Feed().value("sr", (), "int64") == 16000
    assert 0 <= Feed().value("sr", (3,), "int64").max() <= 99
    assert Feed(fill={"sr": 8000}).value("sr", (), "int64") == 8000
    assert Feed(fill={"x": 0.5}).value("x", (2,), "float16").tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="does not fit"):
        Feed(fill={"x": 300}).value("x", (2,), "uint8")
    with pytest.raises(ValueError, match="free sizes"):
        Feed().sizes("x", ("n", 3))
    assert Feed(shapes={"x": (5, 4)}).sizes("x", (2, 4), may_resize=True) == (5, 4)
