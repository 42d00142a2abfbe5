"""The rows of a checkup: each can be bad, and none ends the list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.small_phone import MakePhone, SmallPhone

from devices.adb.checklist import Check, CheckList
from devices.adb.checkup_cores import check_pinning, judge_clusters, ratio_of, read_pins
from devices.adb.checkup_link import check_hanging, check_shell, check_streaming
from devices.adb.checkup_runs import judge_double, judge_spread
from devices.adb.checkup_state import check_cores, check_fitness, check_identity, check_storage
from devices.adb.failures import PhoneLost
from devices.adb.parsers.battery import Battery
from devices.adb.parsers.cpus import Cluster
from devices.adb.parsers.thermal import Temperature, Thermal
from devices.adb.probe import PhoneFacts
from devices.estimate import Estimate
from devices.spec import DeviceSpec
from mnas.errors import DeviceError

SPEC = DeviceSpec("adb", "tflite", "S1")
GOOD = PhoneFacts(
    model="Test",
    abis=("arm64-v8a",),
    clusters=(Cluster("big", (4, 5), 1024, 2_400_000), Cluster("little", (0, 1, 2, 3), 400, 1_800_000)),
    possible_cpus=(0, 1, 2, 3, 4, 5),
    online_cpus=(0, 1, 2, 3, 4, 5),
    governors={0: "schedutil"},
    battery=Battery(87, 27.1, 2, False, True),
    thermal=Thermal(0, False, (Temperature("skin", "skin", 31.0, 0),)),
    power_save=False,
    screen_on=True,
    free_bytes=10**10,
    work_dir_executable=True,
    has=frozenset(("taskset", "timeout", "sha256sum", "dumpsys", "settings", "svc", "cmd")),
    uid=2000,
)


def verdicts(rows: Iterator[Check]) -> dict[str, str]:
    return {row.name: row.verdict for row in rows}


# The list.


def _raise(error: Exception) -> Callable[[], Iterator[Check]]:
    def check() -> Iterator[Check]:
        yield Check("first", "seen")
        raise error

    return check


def test_what_a_check_raises_is_a_row_and_the_next_one_is_made() -> None:
    rows = CheckList(budget_s=60)
    known = DeviceError("ADB99", "it is bad", value="v", why="so", fix="mend it")
    assert not rows.attempt("known", _raise(known))
    assert not rows.attempt("defect", _raise(ZeroDivisionError("by 0")))
    assert rows.attempt("good", lambda: iter([Check("good", "yes")]))
    assert [(row.name, row.verdict) for row in rows.rows] == [
        *(("first", "ok"), ("known", "broken"), ("first", "ok"), ("defect", "broken"), ("good", "ok")),
    ]
    assert rows.rows[1].found == "ADB99: it is bad (saw: v): so" and rows.rows[1].remedy == "mend it"
    assert "ZeroDivisionError" in rows.rows[3].found


def test_after_a_lost_phone_and_after_the_time_nothing_is_tried() -> None:
    rows, tried = CheckList(budget_s=60), []
    rows.attempt("link", _raise(PhoneLost("ADB15", "the link broke")))
    assert not rows.attempt("next", lambda: iter([tried.append(1) or Check("next", "")]))
    assert not tried and (rows.rows[-1].name, rows.rows[-1].verdict) == ("next", "absent")
    times = iter([0.0, 5.0, 11.0])
    late = CheckList(budget_s=10, clock=lambda: next(times))
    assert late.attempt("in time", lambda: iter([]))
    assert not late.attempt("late", lambda: iter([tried.append(1) or Check("late", "")]))
    assert not tried and late.rows[-1].verdict == "absent"


def test_the_list_holds_no_serial() -> None:
    told: list[Check] = []
    rows = CheckList(budget_s=60, tell=told.append)
    rows.hide("192.168.1.5:5555", "SERIAL1234", "")
    rows.add(Check("row", "SERIAL1234 at 192.168.1.5:5555", "warn", "adb -s SERIAL1234 shell"))
    text = f"{told} {rows.rows}"
    assert "SERIAL1234" not in text and "192.168" not in text and text.count("phone-") == 6


# What a phone tells.


def test_a_good_phone_has_good_rows_alone() -> None:
    for check in (check_identity, check_storage, check_cores, check_fitness):
        assert set(verdicts(check(GOOD)).values()) == {"ok"}, check


@pytest.mark.parametrize(
    ("check", "change", "name", "verdict"),
    [
        (check_identity, {"abis": ()}, "phone", "broken"),
        (check_identity, {"is_simulated": True}, "simulated", "warn"),
        (check_identity, {"has": GOOD.has - {"taskset"}}, "shell", "warn"),
        (check_storage, {"free_bytes": 10**8}, "free space", "warn"),
        (check_storage, {"free_bytes": None}, "free space", "warn"),
        (check_storage, {"work_dir_executable": False}, "programs run there", "broken"),
        (check_storage, {"work_dir_executable": None}, "programs run there", "warn"),
        (check_cores, {"clusters": ()}, "clusters", "warn"),
        (check_cores, {"online_cpus": (0, 1, 2, 3)}, "cores online", "warn"),
        (check_cores, {"governors": {}}, "governor", "absent"),
        (check_fitness, {"power_save": True}, "fit for measuring", "broken"),
        (check_fitness, {"power_save": None}, "power save", "absent"),
        (check_fitness, {"thermal": None}, "heat", "warn"),
        (check_fitness, {"thermal": Thermal(0)}, "heat", "warn"),
        (check_fitness, {"thermal": replace(GOOD.thermal, status=2)}, "fit for measuring", "warn"),
        (check_fitness, {"thermal": replace(GOOD.thermal, is_override=True)}, "fit for measuring", "broken"),
        (check_fitness, {"battery": Battery(87, 27.1, 2, True, True)}, "battery", "warn"),
        (check_fitness, {"battery": None}, "battery", "absent"),
        (check_fitness, {"battery": Battery(5, 27.1, 3, False, False)}, "fit for measuring", "broken"),
        (check_fitness, {"caps": {4: (1_200_000, 2_400_000)}}, "fit for measuring", "warn"),
    ],
)
def test_each_thing_that_is_wrong_has_its_row(
    check: Callable[[PhoneFacts], Iterator[Check]], change: dict[str, object], name: str, verdict: str
) -> None:
    row = next(one for one in check(replace(GOOD, **change)) if one.name == name)  # type: ignore[arg-type]
    assert row.verdict == verdict and (row.remedy or verdict == "absent" or name == "battery")


# Cores.

PINS = """mask 30
pid 71's current affinity mask: ff
pid 71's new affinity mask: 30
Cpus_allowed:\t00000000,00000030
mask f
Cpus_allowed:\t3f
mask 40
taskset: failed to set pid 73's affinity: Invalid argument
refused
Cpus_allowed:\t3f
cpuset /foreground
"""


def test_masks_are_read_as_they_were_asked_for() -> None:
    assert read_pins(PINS) == ({"30": "30", "f": "3f", "40": "refused"}, "/foreground")
    assert read_pins("sh: taskset: not found\n") == ({}, "")


def test_pins_that_do_not_hold_are_broken(phone: SmallPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = phone.link.run_script("true", deadline_s=20)
    monkeypatch.setattr(phone.link, "run_script", lambda text, **_: replace(answer, stdout=PINS))
    found = verdicts(check_pinning(phone.link, GOOD, SPEC))
    assert found["pinning to big"] == "ok" and found["pinning to little"] == "broken"
    assert found["a mask of no core"] == "ok" and found["a device on no core"] == "ok"
    taken = PINS.replace("refused\n", "").replace("mask 40", "mask 40\nCpus_allowed:\t40")
    monkeypatch.setattr(phone.link, "run_script", lambda text, **_: replace(answer, stdout=taken))
    assert verdicts(check_pinning(phone.link, GOOD, SPEC))["a mask of no core"] == "broken"


@pytest.mark.parametrize(
    ("interval", "is_simulated", "verdict"),
    [
        ((0.4, 0.6), False, "ok"),
        ((0.9, 1.1), False, "warn"),
        ((1.05, 1.2), False, "broken"),
        (None, False, "warn"),
        ((1.05, 1.2), True, "ok"),
    ],
)
def test_big_cores_must_not_be_slower(interval: tuple[float, float] | None, is_simulated: bool, verdict: str) -> None:
    row = judge_clusters(Estimate(0.5, interval, 0.1), is_simulated)
    assert row.verdict == verdict and ("says nothing" in row.found) == is_simulated


# Numbers.


def test_a_ratio_is_taken_round_by_round() -> None:
    pace = [1.0, 3.0, 0.5, 2.0, 1.5, 1.0, 4.0, 1.0]
    ratio = ratio_of([2 * one for one in pace], pace)
    assert ratio.value == pytest.approx(2.0) and ratio.interval is not None
    assert ratio.interval == pytest.approx((2.0, 2.0), rel=1e-6)


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [([1.9, 2.0, 2.1], "ok"), ([0.7, 1.0, 1.4], "warn"), ([0.9, 0.95, 0.92], "broken"), ([1.0], "warn")],
)
def test_twice_the_size_must_take_longer(factors: list[float], verdict: str) -> None:
    single = [1.0, 1.1] * 6
    double = [ms * factors[place % len(factors)] for place, ms in enumerate(single)]
    if len(factors) == 1:
        single, double = single[:2], double[:2]
    assert judge_double(double, single).verdict == verdict


def test_spread_is_judged_by_the_ratio() -> None:
    slow_minutes = [1.0, 1.5] * 5
    assert judge_spread(slow_minutes, [3 * ms for ms in slow_minutes]).verdict == "ok"
    row = judge_spread(slow_minutes, [3.0] * 10)
    assert row.verdict == "warn" and "21.4 %" in row.found


# The link.


@pytest.mark.parametrize("features", [("shell_v2", "cmd", "stat_v2"), ("cmd",)])
def test_a_shell_keeps_its_promises_with_and_without_packets(make_phone: MakePhone, features: tuple[str, ...]) -> None:
    link = make_phone(features=features).link
    found = verdicts(check_shell(link)) | verdicts(check_streaming(link))
    assert found.pop("shell v2") == ("ok" if "shell_v2" in features else "warn")
    assert set(found.values()) == {"ok"} and len(found) == 4


def test_exit_codes_that_do_not_come_through_are_broken(phone: SmallPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = phone.link.run_script("true", deadline_s=20)
    for name in ("run", "run_script"):
        monkeypatch.setattr(phone.link, name, lambda what, **_: answer)
    found = verdicts(check_shell(phone.link)) | verdicts(check_streaming(phone.link))
    assert found == {
        **{"shell v2": "ok", "exit codes": "broken", "stdout and stderr": "broken", "odd arguments": "broken"},
        "lines as they come": "broken",
    }


def test_a_command_that_does_not_hang_is_no_proof(phone: SmallPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = phone.link.run_script("true", deadline_s=20)
    ask = phone.link.run_script
    monkeypatch.setattr(
        phone.link, "run_script", lambda text, **more: answer if "sleep 600" in text else ask(text, **more)
    )
    (row,) = check_hanging(phone.link, 0.5)
    assert row.verdict == "broken" and "ended by exit" in row.found
