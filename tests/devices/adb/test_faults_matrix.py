"""Every step of a run on a phone x every way in which it can be broken off: 49 kinds.

====================  =====================================================================================
step                  moment
====================  =====================================================================================
probe                 the phone's first answer is on its way
settings              the phone has just been told to stay awake
staging               a third of the models went over
script                the script of a batch, too long for a request, is going over
launch                a runner runs
between               launches end and begin, some results are here
profile               the profiled launch runs
close                 the settings are being put back
====================  =====================================================================================

Each step is met by five faults: ``cut`` (the cable is pulled and put back), ``stall`` (the link stands still until it
counts as broken), ``adbd`` and ``server`` (killed), ``reboot`` of the phone. A launch and a profile also meet a killed
``runner``; staging, a launch and the time between launches meet a ``pause`` that breaks nothing; the first answer, the
settings, a launch and the close meet a link that stands still and stays so (``gone``).

A run that has begun ends with each result once and right; what is broken off before ends with an error of one line.
The lease is free afterwards, a later run works, and the phone is then as it was found.

The stories play side by side, on several phones, since nearly all of their time is waiting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pytest
from fault_kit import Scene, Trap, assert_told, within
from software_phone.adb_server import OwnAdbServer, server_environment
from software_phone.build import Image
from software_phone.fixtures import software_phone_build  # noqa: F401
from software_phone.open_device import assert_each_once, pretended_models
from software_phone.phone import SoftwarePhone

from devices.measurement import Visit
from mnas.errors import DeviceError
from mnas.export.artifact import ModelArtifact, save_artifact

pytestmark = pytest.mark.software_phone

MakeNet = Callable[[str, int], ModelArtifact]

_PHONES = 6
_STEP_S = 60.0
"""Far more than any one deadline of the code; a step that waits for ever is found by it."""

_STRIKES: dict[str, Callable[[Scene], None]] = {
    "cut": Scene.cut,
    "stall": Scene.stall,
    "adbd": Scene.kill_adbd,
    "server": Scene.kill_server,
    "reboot": Scene.reboot,
    "runner": Scene.kill_runner,
    "pause": Scene.pause,
    "gone": lambda scene: scene.bench.proxy.stall(),
}
_BREAKS = ("cut", "stall", "adbd", "server", "reboot")
_LOST = ("ADB03", "ADB10", "ADB11", "ADB13", "ADB15", "ADB19", "ADB27", "ADB32")
"""What opening says of a link that broke off."""


@dataclass(frozen=True)
class Cell:
    """One kind: a fault at a step."""

    step: str
    fault: str

    def __str__(self) -> str:
        return f"{self.step}-{self.fault}"

    @property
    def breaks_link(self) -> bool:
        return self.fault in _BREAKS

    def trap(self, scene: Scene, holds: Callable[[], bool]) -> Trap:
        return Trap(holds, lambda: _STRIKES[self.fault](scene))


def _cells() -> list[Cell]:
    gone = [Cell(step, "gone") for step in ("close", "settings", "launch", "probe")]  # the longest come first
    steps = ("probe", "settings", "staging", "script", "launch", "between", "profile", "close")
    more = (
        ("launch", "runner"),
        ("profile", "runner"),
        *((step, "pause") for step in ("staging", "launch", "between")),
    )
    return [*gone, *(Cell(step, fault) for fault in ("stall", *_BREAKS[:1], *_BREAKS[2:]) for step in steps),
            *(Cell(step, fault) for step, fault in more)]  # fmt: skip


CELLS = _cells()


def test_no_kind_is_named_twice() -> None:
    assert len(CELLS) == len(set(CELLS)) == 49


def _bytes_passed(scene: Scene, direction: str, count: int) -> Callable[[], bool]:
    proxy = scene.bench.proxy
    start = proxy.passed[direction]
    proxy.delay_s = 0.01  # so that the moment is still there when it is seen
    return lambda: proxy.passed[direction] >= start + count


def _open_under(cell: Cell, scene: Scene, holds: Callable[[], bool]) -> None:
    with cell.trap(scene, holds) as trap:
        try:
            scene.open().close()
        except DeviceError as error:
            assert_told(error, *_LOST)
    assert trap.has_struck


def _probe(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    _open_under(cell, scene, _bytes_passed(scene, "down", 500))


def _settings(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    _open_under(cell, scene, lambda: scene.phone.setting("stay_on_while_plugged_in") != "0")


def _staging(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    rng = random.Random(4)
    models = [
        save_artifact(
            b"\x1c\0\0\0TFL3" + rng.randbytes(1_000_000 + number),
            scene.folder / f"big{number}.tflite",
            model_format="tflite",
            input_shape_chw=(3, 8, 8),
        )
        for number in range(3)
    ]
    visits = [Visit(model, 2, 0) for model in models]
    with scene.open() as device:
        with cell.trap(scene, _bytes_passed(scene, "up", 1_000_000)) as trap:
            assert device.load(models) == {}
        assert trap.has_struck
        assert_each_once(list(device.run(visits)), visits)
        assert (device.phone.recovery.losses > 0) == cell.breaks_link
    scene.assert_left_as_found()


def _script(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    models = pretended_models(scene.folder, 4)
    visits = [Visit(model, 3, 0) for model in models] * 50
    with scene.open() as device:
        device.load(models)
        with cell.trap(scene, _bytes_passed(scene, "up", 10_000)) as trap:
            events = list(device.run(visits))
        assert trap.has_struck and device.phone.recovery.losses > 0
        assert_each_once(events, visits)
    scene.assert_left_as_found()


def _launch(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    visits = [Visit(model, 3, 0) for model in pretended_models(scene.folder, 3)]
    if cell.fault == "gone":
        return _launch_without_return(cell, scene, visits)
    scene.phone.lie("slow 1", once=True)
    with scene.open("lying_runner") as device:
        device.load([visit.artifact for visit in visits])
        with cell.trap(scene, lambda: bool(scene.launches())) as trap:
            events = list(device.run(visits))
        assert trap.has_struck and (device.phone.recovery.losses > 0) == cell.breaks_link
        # A runner that was killed is made again, and counted.
        assert device.rejections.failed == (cell.fault == "runner")
    assert_each_once(events, visits)
    scene.assert_left_as_found()


def _launch_without_return(cell: Cell, scene: Scene, visits: list[Visit]) -> None:
    scene.phone.lie("slow 30", once=True)
    device = scene.bench.open("lying_runner", deadline_s=2.0, silence_s=2.0, recovery_s=2.0)
    device.load([visit.artifact for visit in visits])
    with cell.trap(scene, lambda: bool(scene.launches())), pytest.raises(DeviceError) as caught:
        list(device.run(visits))
    assert_told(caught.value, "ADB62")
    device.close()
    assert any("journal" in text for text in device.warnings)


def _between(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    models = pretended_models(scene.folder, 4)
    visits = [Visit(model, 3, 0) for model in models] * 20
    with scene.open() as device:
        device.load(models)
        with cell.trap(scene, _bytes_passed(scene, "down", 10_000)) as trap:
            events = list(device.run(visits))
        assert trap.has_struck and (device.phone.recovery.losses > 0) == cell.breaks_link
        assert_each_once(events, visits)
    scene.assert_left_as_found()


def _profile(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    with scene.open("benchmark_model", ",delegate=none") as device:
        device.load([net])
        with cell.trap(scene, lambda: bool(scene.launches())) as trap:
            found = device.profile(net, runs=_PROFILED_RUNS)
            assert found.runs == _PROFILED_RUNS and found.total_ms > 0
        assert device.rejections.failed == (cell.fault == "runner")
        # A link that stands still for a while shorter than the profile takes may lose nothing.
        assert trap.has_struck
        assert cell.fault == "stall" or (device.phone.recovery.losses > 0) == cell.breaks_link
    scene.assert_left_as_found()


_PROFILED_RUNS = 20_000


def _close(cell: Cell, scene: Scene, net: ModelArtifact) -> None:
    device = scene.open()
    visits = [Visit(model, 3, 0) for model in pretended_models(scene.folder, 2)]
    assert_each_once(list(device.run(visits)), visits)
    with cell.trap(scene, _bytes_passed(scene, "up", 1)) as trap:
        device.close()
    assert trap.has_struck


_STEPS = {
    "probe": _probe,
    "settings": _settings,
    "staging": _staging,
    "script": _script,
    "launch": _launch,
    "between": _between,
    "profile": _profile,
    "close": _close,
}


@dataclass(frozen=True)
class _Stage:
    """A phone and an adb server for one story after the other."""

    phone: SoftwarePhone
    own: OwnAdbServer

    def play(self, cell: Cell, folder: Path, net: ModelArtifact) -> None:
        self.phone.reset()
        scene = Scene(self.phone, self.own, folder)
        try:
            with within(_STEP_S, str(cell)):
                _STEPS[cell.step](cell, scene, net)
            scene.assert_usable()
        finally:
            scene.mend()
            scene.close()


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest,
    software_phone_build: Image,  # noqa: F811
    make_net: MakeNet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[Cell, Future[None]]]:
    """The stories of the kinds that were selected, under way on a few phones at once."""
    tests = [item for item in request.session.items if item.name.startswith("test_a_fault_at_a_step")]
    cells = [item.callspec.params["cell"] for item in tests if isinstance(item, pytest.Function)]
    folder, net = tmp_path_factory.mktemp("matrix"), make_net("tflite", 8)
    free: SimpleQueue[_Stage] = SimpleQueue()

    def play(cell: Cell) -> None:
        stage = free.get()
        try:
            stage.play(cell, folder / str(cell), net)
        finally:
            free.put(stage)

    with pytest.MonkeyPatch.context() as patch:
        # The code under test starts adb servers where one was killed: they are quiet, and keep their keys there, too.
        for name, value in server_environment(folder / "adb").items():
            patch.setenv(name, value)
        with ExitStack() as stack, ThreadPoolExecutor(_PHONES) as pool:

            def build(number: int) -> None:
                own = OwnAdbServer(folder / "adb" / str(number)).start()
                stack.callback(own.stop)
                free.put(_Stage(stack.enter_context(SoftwarePhone(software_phone_build)), own))

            list(pool.map(build, range(min(_PHONES, len(cells)))))
            yield {cell: pool.submit(play, cell) for cell in cells}
            pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_fault_at_a_step_loses_nothing_and_leaves_nothing(cell: Cell, played: dict[Cell, Future[None]]) -> None:
    played[cell].result(timeout=300)
