"""A software phone for benchmarks, with adb server, runners and state folder of its own; all are gone afterwards."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _result import ROOT
from adbutils import adb_path

sys.path.insert(0, str(ROOT / "tests"))

from software_phone.adb_server import OwnAdbServer, server_environment
from software_phone.cutting_proxy import CuttingProxy
from software_phone.phone import WORK_FOLDER, SoftwarePhone

from devices.adb.device import AdbDevice
from devices.adb.link import WORK_DIR
from devices.measurement import SampleEvent, Visit
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec
from mnas.export.artifact import ModelArtifact, save_artifact

NOTE = "SIMULATED: Debian's adbd on this machine's processor and loopback, no cable; no figure is a physical phone's"
_ADB_DEADLINE_S = 300.0
_SETTLE_S = 5.0
_TOLERANCE_MS = 2e-3
_LAUNCH_BYTES = 700
"""About what the phone says of a launch."""

_WHILE_RECOVERING, _RECOVERY_S = 0.2, 0.1
"""Share of the cuts that come after another cut and not with a launch, and how long after it at most."""

_LAST = 0.97
"""Share of a campaign's launches after which no cut is drawn, so that each finds the campaign at work."""

_BEGIN = re.compile(rb"@[0-9a-f]{12} begin (\d+) ")
_FOLDERS = ("batch", "cache", "scripts")


@dataclass(frozen=True, slots=True)
class Rig:
    """A started software phone and what leads to it.

    Attributes:
        phone: Started.
        own: An adb server of the benchmark's own.
        folder: For its models, runners and state.
    """

    phone: SoftwarePhone
    own: OwnAdbServer
    folder: Path

    def library(self, program: str) -> RunnerLibrary:
        """Return a library that holds one of the image's runners as ``tflite``."""
        library = RunnerLibrary(self.folder / f"runners-{program}")
        library.add(self.phone.image.runners[program], "tflite")
        return library

    def open(self, serial: str = "") -> AdbDevice:
        """Open the phone as a device whose runner returns at once, as a user's program does.

        Args:
            serial: Of the transport; the phone's own address unless given.
        """
        spec = DeviceSpec.parse(f"adb:{serial or self.phone.address}/tflite")
        return AdbDevice(
            spec, server=self.own.server, library=self.library("instant_runner"), folder=self.folder / "state"
        )

    def adb(self, *words: str, serial: str = "") -> float:
        """Call the adb client, which must succeed, and return the seconds that it took."""
        command = [adb_path(), "-P", str(self.own.port), "-s", serial or self.phone.address, *words]
        started = time.perf_counter()
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ADB_DEADLINE_S,
            env=server_environment(self.own.folder),
        )
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            raise SystemExit(f"adb {' '.join(words)[:200]}: exit code {done.returncode}: {done.stderr[-300:]}")
        return seconds


@contextmanager
def rig(storage_mb: int = 512) -> Iterator[Rig]:
    """Start a phone and an adb server that it hangs on, and end both whatever happens.

    Args:
        storage_mb: Of the phone's storage, in memory.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="mnas-phone-overhead-") as name,
        SoftwarePhone(storage_mb=storage_mb) as phone,
    ):
        own = OwnAdbServer(Path(name) / "adb")
        try:
            own.start().attach(phone.address)
            yield Rig(phone, own, Path(name))
        finally:
            if hasattr(own, "process"):
                own.stop()


def write_models(folder: Path, sizes: Sequence[int], rng: np.random.Generator) -> list[ModelArtifact]:
    """Write files that pass for TFLite models and cannot be compressed.

    Args:
        folder: Where to.
        sizes: Bytes of each.
        rng: Draws their content.
    """
    return [
        save_artifact(
            b"\x1c\0\0\0TFL3" + rng.bytes(size - 8),
            folder / f"model{number}.tflite",
            model_format="tflite",
            input_shape_chw=(3, 8, 8),
        )
        for number, size in enumerate(sizes)
    ]


@dataclass(frozen=True, slots=True)
class Count:
    """What became of the visits of a campaign.

    Attributes:
        valid: Visits with one result each, without error, that is the number of that very model.
        missing: Visits without a result.
        twice: Results beyond the first of a visit.
        errors: Of results, in words.
    """

    valid: int
    missing: int
    twice: int
    errors: tuple[str, ...]


def count_results(events: Sequence[SampleEvent], visits: Sequence[Visit]) -> Count:
    """Say of each visit whether it has exactly one result, and the right one.

    Args:
        events: As they came.
        visits: As they were asked for, each of another model.
    """
    seen = Counter(event.visit.artifact.sha256 for event in events)
    good = Counter(event.visit.artifact.sha256 for event in events if _is_right(event))
    wanted = [visit.artifact.sha256 for visit in visits]
    return Count(
        valid=sum(seen[one] == 1 and good[one] == 1 for one in wanted),
        missing=sum(seen[one] == 0 for one in wanted),
        twice=sum(count - 1 for count in seen.values()),
        errors=tuple(event.error for event in events if event.error),
    )


def pretended_ms(size_bytes: int, runs: int) -> float:
    """Return the median that ``instant_runner`` tells for a model of a size (tests/software_phone/programs)."""
    return (1000 + size_bytes % 9000 + (min(runs, 7) - 1) // 2) / 1000


def _is_right(event: SampleEvent) -> bool:
    if event.error or len(event.samples) != 1:
        return False
    (sample,) = event.samples
    wanted = pretended_ms(event.visit.artifact.size_bytes, event.visit.runs)
    return sample.runs == event.visit.runs and abs(sample.value_ms - wanted) <= _TOLERANCE_MS


@dataclass(frozen=True, slots=True)
class Moment:
    """When a link is cut.

    Attributes:
        launch: Once this launch of the campaign, from 0, or a later one has begun; -1 is after the cut before this one.
        after_bytes: So many bytes after the launch began, in the middle of whatever they are.
        wait_s: So long after the cut before this one.
    """

    launch: int
    after_bytes: int = 0
    wait_s: float = 0.0


class Moments:
    """Random moments over a campaign's launches, and a few while the link recovers from a cut.

    Each is drawn when the one before it is over, evenly over the launches that are left then, since a cut throws the
    campaign back.

    Args:
        rng: Draws.
        count: How many.
        launches: Of the campaign.
    """

    def __init__(self, rng: np.random.Generator, count: int, launches: int) -> None:
        self._rng, self._left, self._end = rng, count, max(int(launches * _LAST), 1)

    def draw(self, launch: int) -> Moment | None:
        """Return the next one, ``None`` when that was all.

        Args:
            launch: At which the last cut came; -1 before the first.
        """
        if not self._left:
            return None
        self._left -= 1
        if launch >= 0 and self._rng.random() < _WHILE_RECOVERING:
            return Moment(-1, wait_s=float(self._rng.uniform(0, _RECOVERY_S)))
        begin = max(launch, 0)
        # The first of so many numbers between 0 and 1.
        share = 1 - self._rng.random() ** (1 / (self._left + 1))
        place = begin + int(max(self._end - begin, 0) * share)
        return Moment(place, after_bytes=int(self._rng.integers(0, _LAUNCH_BYTES)))


@dataclass
class CountingProxy(CuttingProxy):
    """A proxy that knows how far a campaign has come, and cuts by that.

    Attributes:
        results: Says how many results of the campaign are there.
        launch: Number of the launch that has begun last, from 0.
        cuts: Times that it cut.
        launch_at_cut: The last launch that had begun at the last cut.
    """

    results: Callable[[], int] = lambda: 0
    launch: int = -1
    cuts: int = 0
    launch_at_cut: int = -1
    _before_batch: int = 0
    _moments: Moments | None = None
    _next: Moment | None = None
    _is_aimed: bool = False

    def cut(self) -> None:
        """End every connection."""
        self.cuts += 1
        self.launch_at_cut = self.launch
        super().cut()
        self._draw()

    @contextmanager
    def cutting(self, moments: Moments) -> Iterator[None]:
        """Cut at random moments for as long as the block lasts."""
        self._moments, self.launch = moments, -1
        self._draw()
        try:
            yield
        finally:
            self._moments = self._next = None
            self.resume()  # what was still to be cut is not

    def _draw(self) -> None:
        moment = self._moments.draw(self.launch) if self._moments else None
        self._next, self._is_aimed = moment, False
        if moment and moment.launch < 0:
            timer = threading.Timer(moment.wait_s, lambda: self.cut() if self._next is moment else None)
            timer.daemon = True
            timer.start()

    def _one(self, target: socket.socket, data: bytes, direction: str) -> None:
        if direction == "down":
            self._look(data)
        try:
            super()._one(target, data, direction)
        except OSError:
            # What a connection had still in it when it was cut; the moment is for one that lives.
            self._is_aimed &= "down" in self._limits
            raise

    def _look(self, data: bytes) -> None:
        for mark in _BEGIN.finditer(data):
            if self._is_aimed:
                return
            # A batch holds what is left of the campaign, and counts from 0.
            self._before_batch = self.results() if mark[1] == b"0" else self._before_batch
            self.launch = self._before_batch + int(mark[1])
            if self._next and 0 <= self._next.launch <= self.launch:
                self._is_aimed = True
                self.cut_after(mark.end() + self._next.after_bytes, "down")


@contextmanager
def cutting_bytes(proxy: CountingProxy, gaps: Sequence[int]) -> Iterator[None]:
    """Cut a link each time that so many bytes have gone to the phone since the last cut, as long as the block lasts."""
    ended = threading.Event()

    def run() -> None:
        for gap in gaps:
            before = proxy.cuts
            proxy.cut_after(gap, "up")
            while proxy.cuts == before and not ended.wait(0.0005):
                pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        proxy.resume()  # what was still to be cut is not


def remains(phone: SoftwarePhone) -> dict[str, Any]:
    """Return what a device that was closed left on its phone, apart from the cache's files: nothing, that is."""
    until = time.monotonic() + _SETTLE_S
    while (found := phone.processes()) and time.monotonic() < until:
        time.sleep(0.05)  # the shell of the last connection is just ending
    top = phone.work_folder
    work = top / WORK_DIR.removeprefix(WORK_FOLDER + "/")
    allowed = {work, *(work / name for name in _FOLDERS)}
    strays = [path for path in top.rglob("*") if path not in allowed and not _is_cached(path, work)]
    return {
        "stray_processes": [" ".join(one.command)[:100] for one in found],
        "stray_files": [str(path.relative_to(top)) for path in strays],
        "settings_left": int(phone.setting("stay_on_while_plugged_in") != "0"),
    }


def _is_cached(path: Path, work: Path) -> bool:
    return path.parent == work / "cache" and not path.name.startswith(".")
