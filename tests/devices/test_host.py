"""Real runtimes on this machine. Nothing here depends on how long anything takes, but for what is meant to hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from devices.device import Device
from devices.measurement import Visit
from devices.registry import list_host_devices, open_device
from devices.runtimes.host import HostDevice
from devices.spec import DeviceSpec
from devices.testing import DeviceConformance
from mnas.errors import ConfigError, DeviceError
from mnas.export.artifact import ModelArtifact

MakeBad = Callable[[str, bytes], ModelArtifact]
MakeNet = Callable[[str, int], ModelArtifact]
RUNTIMES = [("ort", "onnx"), ("litert", "tflite"), ("torch", "pt2")]
_GARBAGE = bytes(range(256)) * 8

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class _HostConformance(DeviceConformance):
    runtime = ""
    model_format = ""

    @pytest.fixture
    def device(self) -> Iterator[Device]:
        with HostDevice(DeviceSpec("host", self.runtime)) as device:
            yield device

    @pytest.fixture
    def good_artifacts(self, make_net: MakeNet) -> Sequence[ModelArtifact]:
        return [make_net(self.model_format, channels) for channels in (8, 16, 24)]

    @pytest.fixture
    def bad_artifact(self, make_bad: MakeBad) -> ModelArtifact:
        return make_bad(self.model_format, _GARBAGE)


class TestOnnxRuntime(_HostConformance):
    runtime, model_format = "ort", "onnx"


class TestLiteRT(_HostConformance):
    runtime, model_format = "litert", "tflite"


class TestTorch(_HostConformance):
    runtime, model_format = "torch", "pt2"


@pytest.mark.parametrize(("runtime", "model_format"), RUNTIMES)
def test_truncated_models_are_named_and_the_rest_runs(
    runtime: str, model_format: str, make_net: MakeNet, make_bad: MakeBad
) -> None:
    good = make_net(model_format, 8)
    bad = make_bad(model_format, good.path.read_bytes()[: good.size_bytes // 2])
    with HostDevice(DeviceSpec("host", runtime)) as device:
        assert set(device.load([bad, good])) == {bad.sha256}
        (event,) = device.run([Visit(good, 3, 2)])
    assert len(event.samples) == 3 and len(event.warmup_samples) == 2 and not event.error


@pytest.mark.parametrize(("runtime", "model_format"), RUNTIMES)
def test_info_tells_what_was_got(runtime: str, model_format: str) -> None:
    import importlib.metadata

    package = {"ort": "onnxruntime", "litert": "ai-edge-litert", "torch": "torch"}[runtime]
    with HostDevice(DeviceSpec("host", runtime)) as device:
        info, conditions = device.info, device.conditions()
    assert info.runtime_version == importlib.metadata.version(package)
    assert info.kind == "host" and info.threads == 1 and not info.is_simulated
    assert conditions["capabilities"]["pinned"] == bool(info.cpu_mask)
    if info.cpu_mask:
        assert int(info.cpu_mask, 16) == 1 << max(os.sched_getaffinity(0))


def test_litert_delegate_is_part_of_the_identity(make_net: MakeNet) -> None:
    keys = set()
    for delegate in ("xnnpack", "none"):
        with HostDevice(DeviceSpec("host", "litert", delegate=delegate)) as device:
            (event,) = device.run([Visit(make_net("tflite", 8), 1, 0)])
            assert not event.error and device.info.delegate == delegate
            keys.add(device.info.device_key)
    assert len(keys) == 2


@pytest.mark.parametrize(("runtime", "model_format"), RUNTIMES)
@posix_only
def test_worker_killed_in_mid_run_costs_one_visit(runtime: str, model_format: str, make_net: MakeNet) -> None:
    nets = [make_net(model_format, channels) for channels in (8, 16)]
    events = []
    with HostDevice(DeviceSpec("host", runtime)) as device:
        device.load(nets)
        first_pid = device.worker_pid

        def batch() -> Iterator[Visit]:
            yield Visit(nets[0], 2, 0)
            os.kill(device.worker_pid, signal.SIGKILL)
            yield Visit(nets[1], 2, 0)
            yield Visit(nets[0], 2, 0)
            yield Visit(nets[1], 2, 0)

        events = list(device.run(batch()))
        assert device.worker_pid != first_pid
    assert [bool(event.error) for event in events] == [False, True, False, False]
    assert "SIGKILL" in events[1].error


@posix_only
def test_worker_killed_between_visits_that_were_sent_ahead_costs_one_visit(make_net: MakeNet) -> None:
    nets = [make_net("onnx", channels) for channels in (8, 16)]
    with HostDevice(DeviceSpec("host", "ort")) as device:
        device.load(nets)
        events = []
        for event in device.run([Visit(nets[place % 2], 200 + place, 0) for place in range(4)]):
            events.append(event)
            if len(events) == 1:
                os.kill(device.worker_pid, signal.SIGKILL)
    assert [len(event.samples) for event in events] in ([200, 0, 202, 203], [200, 201, 0, 203])


def test_a_batch_that_is_left_gives_the_next_one_its_own_answers(make_net: MakeNet) -> None:
    nets = [make_net("onnx", channels) for channels in (8, 16)]
    with HostDevice(DeviceSpec("host", "ort")) as device:
        device.load(nets)
        batch = [Visit(nets[0], 2, 1), Visit(nets[1], 5, 0), Visit(nets[0], 7, 0)]
        assert len(next(iter(device.run(batch))).samples) == 2
        (event,) = device.run([Visit(nets[1], 5, 3)])
        assert (len(event.samples), len(event.warmup_samples)) == (5, 3)
        next(iter(device.run(batch)))
        device.unload([nets[1].identity])
        assert [len(event.samples) for event in device.run(batch)] == [2, 5, 7]


@posix_only
def test_a_hang_costs_one_visit(make_net: MakeNet) -> None:
    net = make_net("onnx", 8)
    with HostDevice(DeviceSpec("host", "ort"), deadline_s=1.0) as device:
        device.load([net])
        stopped = device.worker_pid
        os.kill(stopped, signal.SIGSTOP)
        hung, after = device.run([Visit(net, 2, 0), Visit(net, 2, 0)])
    assert "no answer within 1 s" in hung.error and hung.samples == ()
    assert not after.error
    assert not _is_running(stopped)


@posix_only
def test_three_losses_on_different_models_end_the_device(make_net: MakeNet) -> None:
    nets = [make_net("onnx", channels) for channels in (8, 16, 24)]
    with HostDevice(DeviceSpec("host", "ort")) as device:
        device.load(nets)

        def batch() -> Iterator[Visit]:
            for net in nets:
                device._ensure_worker()  # the next one must be up to be killed before its first run
                os.kill(device.worker_pid, signal.SIGKILL)
                yield Visit(net, 1, 0)

        with pytest.raises(DeviceError) as caught:
            list(device.run(batch()))
    assert caught.value.code == "DEV05"


@posix_only
def test_close_leaves_no_worker() -> None:
    device = HostDevice(DeviceSpec("host", "ort"))
    pid = device.worker_pid
    assert _is_running(pid)
    device.close()
    assert not _is_running(pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("state", ["idle", "stopped"])
def test_worker_dies_with_its_parent(state: str) -> None:
    code = (
        "import sys, time\n"
        "from devices.runtimes.host import HostDevice\n"
        "from devices.spec import DeviceSpec\n"
        "device = HostDevice(DeviceSpec('host', 'ort'))\n"
        "sys.stdout.write(f'{device.worker_pid}\\n'); sys.stdout.flush()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        if state == "stopped":
            # A worker that cannot run its own code: only the kernel's signal reaches it.
            os.kill(worker, signal.SIGSTOP)
        assert _is_running(worker)
        parent.kill()
    deadline = time.monotonic() + 20
    while _is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_running(worker)


def test_changed_and_foreign_files_are_refused(make_net: MakeNet, make_bad: MakeBad) -> None:
    missing = make_bad("onnx", b"gone")
    missing.path.unlink()
    foreign = make_net("tflite", 8)
    with HostDevice(DeviceSpec("host", "ort")) as device:
        failed = device.load([missing, foreign])
        assert "cannot be read" in failed[missing.sha256] and "format is tflite" in failed[foreign.sha256]
        missing.path.write_bytes(b"something else")
        assert "changed" in device.load([missing])[missing.sha256]


def test_unloaded_models_load_again_by_themselves(make_net: MakeNet) -> None:
    net = make_net("onnx", 8)
    with HostDevice(DeviceSpec("host", "ort")) as device:
        device.load([net])
        device.unload([net.sha256, "not loaded"])
        (event,) = device.run([Visit(net, 1, 0)])
    assert not event.error


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ("host:ort,delegate=nosuch", "CFG11", ConfigError),
        ("host:ort,delegate=azure", "CFG11", ConfigError),
        ("host:litert,delegate=gpu", "CFG11", ConfigError),
        ("host:torch,delegate=cuda", "CFG11", ConfigError),
        ("host:ort,cpus=80000000000000000000", "DEV06", DeviceError),
        ("host:litert,cpus=big", "CFG11", ConfigError),
    ],
)
def test_what_the_host_cannot_do(text: str, code: str, kind: type[DeviceError]) -> None:
    with pytest.raises(kind) as caught:
        open_device(text)
    assert caught.value.code == code


def test_listing_imports_no_runtime() -> None:
    code = (
        "import sys, devices.registry as r\n"
        "assert {d.spec for d in r.list_host_devices()} == {'host:ort', 'host:litert', 'host:torch'}\n"
        "heavy = {'onnxruntime', 'ai_edge_litert', 'torch', 'onnx', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(runtime.is_available and runtime.version for runtime in list_host_devices())


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
