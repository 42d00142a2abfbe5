"""A software phone for benchmarks, with adb server, runners and state folder of its own; all are gone afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
_LATEST_S = 0.005
_LONGEST_WAIT_S = 0.004
"""About as long as a launch with its share of the harness."""

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
    """When a link is cut: after so many bytes since the last cut, in the middle of whatever they are, or a while later.

    Attributes:
        after_bytes: From the phone.
        wait_s: 0 to cut in the middle of the bytes themselves.
    """

    after_bytes: int
    wait_s: float


def draw_moments(rng: np.random.Generator, count: int, total_bytes: int) -> list[Moment]:
    """Draw moments that are spread evenly over so many bytes; half of them do not wait for bytes to pass.

    Args:
        rng: Draws.
        count: How many.
        total_bytes: Of the campaign from the phone.
    """
    places = np.sort(rng.integers(0, total_bytes, count))
    gaps = np.diff(places, prepend=0)
    waits = np.where(rng.random(count) < 0.5, 0.0, rng.uniform(0, _LONGEST_WAIT_S, count))
    return [Moment(max(int(gap), 1), float(wait)) for gap, wait in zip(gaps, waits, strict=True)]


@dataclass
class CountingProxy(CuttingProxy):
    """A proxy that knows how often it cut.

    Attributes:
        cuts: Times.
        passed_at_cut: Bytes from the phone until the last cut.
    """

    cuts: int = field(default=0)
    passed_at_cut: int = field(default=0)

    def cut(self) -> None:
        """End every connection."""
        self.cuts += 1
        self.passed_at_cut = self.passed["down"]
        super().cut()


@contextmanager
def cutting(proxy: CountingProxy, moments: Sequence[Moment], direction: Literal["up", "down"]) -> Iterator[None]:
    """Cut a link at the given moments for as long as the block lasts, in the background."""
    ended = threading.Event()

    def run() -> None:
        for moment in moments:
            before, target = proxy.cuts, proxy.passed[direction] + moment.after_bytes
            if not moment.wait_s:
                proxy.cut_after(moment.after_bytes, direction)
            while proxy.cuts == before and not ended.wait(0.0005):
                if proxy.passed[direction] >= target:
                    # Bytes that no one took any more may have come in between, so the others wait a little as well.
                    if not ended.wait(moment.wait_s or _LATEST_S) and proxy.cuts == before:
                        proxy.resume()
                        proxy.cut()
                    break
            if ended.is_set():
                return

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
