"""The checkup of a whole phone: what is wrong with it is told, and it is left as it was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer
from software_phone.build import Image
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.open_device import PATIENT, DeviceBench, device_bench
from software_phone.phone import SoftwarePhone
from software_phone.small_phone import MakePhone

from devices.adb.checklist import Check
from devices.adb.checkup import Checkup, check_phone
from devices.adb.journal import Journal
from devices.adb.lease import lease_phone
from devices.adb.server import AdbServer
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec
from mnas.errors import DeviceError

SPEC = DeviceSpec("adb", "tflite", "S1")


def by_name(rows: Checkup | list[Check]) -> dict[str, Check]:
    return {row.name: row for row in (rows.rows if isinstance(rows, Checkup) else rows)}


@pytest.fixture
def bench(clean_phone: SoftwarePhone, own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[DeviceBench]:  # noqa: F811
    with device_bench(clean_phone, own_adb, tmp_path) as made:
        yield made


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the two checks that wait for seconds; they have tests of their own."""
    for name in ("check_streaming", "check_hanging"):
        monkeypatch.setattr(f"devices.adb.checkup.{name}", lambda link: iter(()))


def checked(bench: DeviceBench, program: str = "benchmark_model", **options: object) -> Checkup:
    library = bench.library(program) if program else RunnerLibrary(bench.folder / "none")
    options.setdefault("heat", PATIENT)
    spec = DeviceSpec("adb", "tflite", bench.serial)
    return check_phone(spec, bench.own.server, library=library, folder=bench.folder / "state", **options)  # type: ignore[arg-type]


def assert_left_as_found(bench: DeviceBench) -> None:
    assert bench.phone.processes() == []
    assert [name for name in bench.phone.files() if "/cache/" not in f"/{name}"] == []
    assert bench.phone.setting("stay_on_while_plugged_in") == "0" and bench.phone.fixed_performance != "true"
    assert Journal(bench.phone.serial, folder=bench.folder / "state").pending() == []


@pytest.mark.software_phone
def test_a_software_phone_passes_and_is_left_as_it_was(bench: DeviceBench) -> None:
    done = checked(bench)
    rows = by_name(done)
    assert done.was_reached and done.is_simulated and done.seconds < 600
    assert done.is_good, [row for row in done.rows if row.verdict == "broken"]
    assert "SIMULATED" in rows["simulated"].found
    assert rows["counts of runs"].found.startswith("5 asked for, 5 made")
    assert "2 processes ended" in rows["a command that hangs"].found
    assert "put back and read back as 0" in rows["setting stay_on"].found
    masks = {one.name for one in done.rows if one.name.startswith("pinning to ")}
    assert masks == {"pinning to big", "pinning to little"}
    assert " times as long" in rows["a network of twice the size"].found
    assert rows["processes left"].found == "none" and rows["settings left"].found == "none"
    assert bench.serial not in str(done.rows) and bench.phone.serial not in str(done.rows)
    assert_left_as_found(bench)


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_a_runner_that_miscounts_is_told(bench: DeviceBench) -> None:
    bench.phone.lie("wrong_count 3")
    done = checked(bench, "lying_runner")
    rows = by_name(done)
    assert rows["device"].verdict == "ok" and not done.is_good
    assert rows["a network runs"].verdict == "broken" and "3 timed runs instead of 1" in rows["a network runs"].found
    assert rows["big against little"].verdict == "absent" and "counts of runs" not in rows
    assert_left_as_found(bench)


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_a_runner_that_hangs_costs_one_deadline(bench: DeviceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.adb.checkup._LAUNCH_S", 2.0)
    bench.phone.lie("stubborn")
    began = time.monotonic()
    rows = by_name(checked(bench, "lying_runner"))
    assert rows["a network runs"].verdict == "broken" and "hung" in rows["a network runs"].found
    assert time.monotonic() - began < 60
    assert_left_as_found(bench)


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_numbers_that_do_not_follow_the_model_are_told(bench: DeviceBench) -> None:
    # This runner takes a model's size for its time and never fails: a file that is no model gives a number.
    done = checked(bench, "instant_runner")
    rows = by_name(done)
    assert rows["a file that is no model"].verdict == "broken" and not done.is_good
    assert rows["counts of runs"].verdict == "ok"
    assert_left_as_found(bench)


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_a_missing_runner_leaves_the_other_checks(bench: DeviceBench) -> None:
    done = checked(bench, "")
    rows = by_name(done)
    assert "RNR02" in rows["device"].found and "mnas runner" in rows["device"].remedy
    assert rows["pinning to big"].verdict == "ok" and rows["processes left"].verdict == "ok"
    assert {row.name for row in done.rows if row.verdict == "broken"} == {"device"}
    assert_left_as_found(bench)


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_a_phone_that_saves_power_is_told_twice(bench: DeviceBench) -> None:
    bench.phone.set_setting("low_power", "1")
    rows = by_name(checked(bench))
    assert rows["fit for measuring"].verdict == "broken" and "Battery Saver" in rows["fit for measuring"].remedy
    assert rows["device"].verdict == "broken" and "ADB67" in rows["device"].found


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_settings_that_are_refused_are_told(bench: DeviceBench) -> None:
    bench.phone.write("power/no_fixed_performance", "")
    row = by_name(checked(bench, ""))["setting fixed_performance"]
    assert row.verdict == "warn" and "could not be set" in row.found
    assert_left_as_found(bench)


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_a_phone_that_is_lost_in_the_middle_ends_the_checkup(bench: DeviceBench) -> None:
    def cut(row: Check) -> None:
        if row.name == "clusters":
            bench.proxy.stop()

    done = checked(bench, tell=cut)
    rows = by_name(done)
    assert done.was_reached and not done.is_good
    assert rows["left behind"].verdict == "absent" and "lost" in rows["left behind"].found
    assert done.seconds < 120


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
def test_a_phone_without_exec_is_told(
    software_phone_build: Image,  # noqa: F811
    own_adb: OwnAdbServer,
    tmp_path: Path,
) -> None:
    with SoftwarePhone(software_phone_build, noexec=True) as phone, device_bench(phone, own_adb, tmp_path) as bench:
        rows = by_name(checked(bench))
    assert rows["programs run there"].verdict == "broken"
    assert rows["device"].verdict == "broken" and rows["processes left"].verdict == "ok"


@pytest.mark.software_phone
@pytest.mark.usefixtures("brief")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one cluster of two cores needs two cores here")
def test_threads_are_compared_where_a_cluster_has_two_cores(
    software_phone_build: Image,  # noqa: F811
    own_adb: OwnAdbServer,
    tmp_path: Path,
) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    with (
        SoftwarePhone(software_phone_build, capacities=dict.fromkeys(cores, 1024)) as phone,
        device_bench(phone, own_adb, tmp_path) as bench,
    ):
        rows = by_name(checked(bench))
    assert rows["threads"].found.startswith("2 on big take ") and rows["big against little"].verdict == "absent"


@pytest.mark.software_phone
def test_a_phone_in_use_is_left_alone(bench: DeviceBench) -> None:
    with lease_phone(bench.phone.serial, what="somebody else", folder=bench.folder / "state"):
        done = checked(bench)
    assert not done.was_reached and done.rows[-1].name == "lease" and "somebody else" in done.rows[-1].found
    assert "pinning to big" not in by_name(done)


def test_phones_that_cannot_be_had_end_the_list_early(make_phone: MakePhone, tmp_path: Path) -> None:
    waiting = make_phone(attached=False)
    waiting.faults.unauthorized = True
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(DeviceError))
        waiting.own.server.connect(waiting.link.serial, 20.0)
    for serial, code in ((waiting.link.serial, "ADB"), ("NOSUCHPHONE", "ADB37")):
        done = check_phone(DeviceSpec("adb", "tflite", serial), waiting.own.server, folder=tmp_path)
        assert not done.was_reached and [row.name for row in done.rows] == ["adb server", "state"]
        assert code in done.rows[-1].found and done.rows[-1].remedy and serial not in str(done.rows)
    gone = check_phone(SPEC, AdbServer("127.0.0.2", 9), folder=tmp_path)
    assert [row.verdict for row in gone.rows] == ["broken"] and "ADB03" in gone.rows[0].found
