"""Which cores a device spec means on a phone, and what is watched of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.adb.parsers.cpus import Cluster
from devices.adb.parsers.thermal import Thermal
from devices.adb.pinning import resolve_mask, watch_of
from devices.adb.probe import PhoneFacts
from devices.spec import DeviceSpec
from mnas.errors import ConfigError, DeviceError

_FACTS = PhoneFacts(
    clusters=(
        Cluster("big", (7,), 1024, 3_000_000),
        Cluster("middle", (5, 6), 900, 2_600_000),
        Cluster("middle", (4,), 800, 2_400_000),
        Cluster("little", (0, 1, 2, 3), 300, 1_800_000),
    ),
    possible_cpus=tuple(range(8)),
    caps={cpu: (1_800_000 + 100_000 * (cpu > 3), 3_000_000) for cpu in range(8)},
    thermal=Thermal(0, zones={"battery": 30.0, "cpu-0-0": 40.0, "cpuss-big": 41.0}),
    has=frozenset({"taskset"}),
)


def _mask(options: str, facts: PhoneFacts = _FACTS) -> str:
    return resolve_mask(DeviceSpec.parse(f"adb:X/tflite{options}"), facts)


@pytest.mark.parametrize(
    ("options", "mask"),
    [
        ("", "80"),
        (",threads=2", "e0"),
        (",threads=4", "f0"),
        (",threads=8", "ff"),
        (",cpus=big", "80"),
        (",cpus=middle,threads=3", "70"),
        (",cpus=little", "f"),
        (",cpus=0x0F", "f"),
    ],
)
def test_words_masks_and_threads_name_cores(options: str, mask: str) -> None:
    assert _mask(options) == mask


@pytest.mark.parametrize("options", [",threads=9", ",cpus=big,threads=2", ",cpus=100"])
def test_cores_that_are_not_there_are_refused(options: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _mask(options)
    assert caught.value.code == "ADB60" and "4 cores" in caught.value.why


def test_a_phone_that_tells_nothing_is_pinned_on_request_alone() -> None:
    blind = PhoneFacts(has=frozenset({"taskset"}))
    assert _mask("", blind) == "" and _mask(",cpus=f0", blind) == "f0"
    with pytest.raises(ConfigError):
        _mask(",cpus=big", blind)


def test_without_taskset_nothing_runs_unpinned_in_silence() -> None:
    with pytest.raises(DeviceError) as caught:
        _mask("", replace(_FACTS, has=frozenset()))
    assert caught.value.code == "ADB61"


def test_one_core_speaks_for_each_clock() -> None:
    watch = watch_of(_FACTS, "e1", reads_heat=True)
    files = [f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_max_freq" for cpu in (0, 5, 7)]
    assert watch.cap_files == tuple(files) and watch.caps_khz == (1_800_000, 1_900_000, 1_900_000)
    assert len(watch.clock_files) == 3 and watch.zone == "cpuss-big" and watch.reads_heat and watch.stops
    assert not watch.insists
    nothing = watch_of(replace(_FACTS, thermal=None), "80", reads_heat=False, stops=False, insists=True)
    assert nothing.zone == "" and not nothing.reads_heat and not nothing.stops and nothing.insists
