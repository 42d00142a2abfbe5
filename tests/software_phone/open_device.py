"""A device on a software phone, with an adb server, a runner library and a state folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from software_phone.adb_server import OwnAdbServer
from software_phone.cutting_proxy import CuttingProxy
from software_phone.phone import SoftwarePhone

from devices.adb.device import AdbDevice
from devices.adb.heat import HeatLimits
from devices.measurement import SampleEvent, Visit
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec
from mnas.export.artifact import ModelArtifact, save_artifact

PATIENT = HeatLimits(budget_s=30.0, interval_s=0.2)
"""Cools down in tests as on a phone, with shorter waits."""


@dataclass
class DeviceBench:
    """Opens devices on one software phone through a proxy that can cut and stall.

    Args:
        phone: Started.
        own: The adb server.
        folder: For state and runners.
    """

    phone: SoftwarePhone
    own: OwnAdbServer
    folder: Path
    proxy: CuttingProxy = field(init=False)

    def __post_init__(self) -> None:
        host, _, port = self.phone.address.partition(":")
        self.proxy = CuttingProxy(host, int(port)).start()
        self.own.attach(self.proxy.address)
        self._libraries: dict[str, RunnerLibrary] = {}

    @property
    def serial(self) -> str:
        """Of the transport, which goes through the proxy."""
        return self.proxy.address

    def library(self, program: str) -> RunnerLibrary:
        """Return a library that holds one of the image's runners."""
        if program not in self._libraries:
            library = RunnerLibrary(self.folder / f"runners-{program}")
            library.add(self.phone.image.runners[program], runner_name(program))
            self._libraries[program] = library
        return self._libraries[program]

    def open(self, program: str = "benchmark_model", options: str = "", **settings: Any) -> AdbDevice:
        """Open a device; ``options`` as in a device spec, e.g. ``,threads=2``."""
        spec = DeviceSpec.parse(f"adb:{self.serial}/{runner_name(program)}{options}")
        settings.setdefault("heat", PATIENT)
        return AdbDevice(
            spec, server=self.own.server, library=self.library(program), folder=self.folder / "state", **settings
        )

    def close(self) -> None:
        """End the proxy and forget its transport."""
        self.proxy.stop()
        self.own.server.disconnect(self.serial)


def runner_name(program: str) -> str:
    """Return under which name of a runner a program of the image goes."""
    return {"litert_benchmark_model": "litert", "onnxruntime_perf_test": "ortperf"}.get(program, "tflite")


@contextmanager
def device_bench(phone: SoftwarePhone, own: OwnAdbServer, folder: Path) -> Iterator[DeviceBench]:
    """Make a bench for one test."""
    bench = DeviceBench(phone, own, folder)
    try:
        yield bench
    finally:
        bench.close()


def pretended_models(folder: Path, count: int) -> list[ModelArtifact]:
    """Make files that pass for TFLite models, each of another size, by which a time of `instant_runner` is known."""
    return [
        save_artifact(
            b"\x1c\0\0\0TFL3" + bytes([number]) * (1000 + 10 * number),
            folder / f"file{number}.tflite",
            model_format="tflite",
            input_shape_chw=(3, 8, 8),
        )
        for number in range(count)
    ]


def pretended_ms(artifact: ModelArtifact, runs: int) -> float:
    """Return the median that `instant_runner` tells for up to seven runs, or about that for more."""
    return (1000 + artifact.size_bytes % 9000 + (min(runs, 7) - 1) // 2) / 1000


def assert_each_once(events: Sequence[SampleEvent], visits: Sequence[Visit]) -> None:
    """Every visit has one event, in order, with its own model's number."""
    assert [event.visit for event in events] == list(visits)
    for event in events:
        assert event.error == ""
        (sample,) = event.samples
        assert sample.runs == event.visit.runs and sample.statistic == "launch_median"
        assert abs(sample.value_ms - pretended_ms(event.visit.artifact, event.visit.runs)) < 2e-3


def assert_left_as_found(bench: DeviceBench) -> None:
    """Nothing of ours runs, nothing but the cache lies there, and the settings are as they were."""
    assert bench.phone.processes() == []
    assert [name for name in bench.phone.files() if "/cache/" not in f"/{name}"] == []
    assert bench.phone.setting("stay_on_while_plugged_in") == "0"
