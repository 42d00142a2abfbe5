"""Waiting for a phone to cool down, by a clock that the tests turn."""

import pytest
from local_phone import LocalPhone

from devices.adb.cooling import heat_of, wait_until_cool
from devices.adb.failures import PhoneLost
from devices.adb.probe import Battery, PhoneFacts, Temperature, Thermal


class Clock:
    """Time that goes on when somebody sleeps; ``then`` is called with it."""

    def __init__(self, then=lambda now: None):
        self.now, self.then, self.slept = 1000.0, then, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        self.then(self.now - 1000.0)


@pytest.fixture
def phone(tmp_path):
    return LocalPhone(tmp_path)


def wait(phone, clock, **more):
    return wait_until_cool(phone, clock=clock, sleep=clock.sleep, root=str(phone.root), **more)


def test_a_cool_phone_is_asked_once(phone):
    clock = Clock()
    found = wait(phone, clock)
    assert found.is_cool and found.waited_s == 0 and clock.slept == [] and phone.round_trips == 1
    assert found.why == "skin at 30.0 C"


def test_a_hot_phone_is_waited_for_until_it_is_at_the_target(phone):
    phone.heat(skin_c=45.0, status=2)
    clock = Clock(lambda now: phone.heat(skin_c=45.0 - now / 2, status=2 if now < 12 else 0))
    told = []
    found = wait(phone, clock, target_c=37.0, interval_s=4.0, tell=told.append)
    assert found.is_cool and found.waited_s == 16.0
    assert [one.temperature_c for one in found.readings] == [45.0, 43.0, 41.0, 39.0, 37.0]
    assert tuple(told) == found.readings


def test_throttling_is_waited_for_though_the_skin_is_cool(phone):
    phone.heat(skin_c=30.0, status=1)
    clock = Clock(lambda now: phone.heat(skin_c=30.0, status=0 if now >= 10 else 1))
    found = wait(phone, clock, interval_s=5.0)
    assert found.is_cool and found.waited_s == 10.0


def test_the_bound_is_kept_and_the_reason_told(phone):
    phone.heat(skin_c=44.0, status=2)
    clock = Clock()
    found = wait(phone, clock, bound_s=12.0, interval_s=5.0)
    assert found.outcome == "too hot" and not found.is_cool
    assert found.waited_s == 12.0 and clock.slept == [5.0, 5.0, 2.0]
    assert "skin at 44.0 C, thermal status 2 (moderate)" in found.why and "does not cool down" in found.why


def test_a_phone_on_its_way_is_said_to_need_longer(phone):
    phone.heat(skin_c=50.0)
    found = wait(phone, Clock(lambda now: phone.heat(skin_c=50.0 - now)), bound_s=5.0)
    assert found.outcome == "too hot" and "fell by 5.0 C" in found.why


def test_a_bound_of_zero_asks_once(phone):
    phone.heat(skin_c=44.0)
    clock = Clock()
    assert wait(phone, clock, bound_s=0.0).outcome == "too hot"
    assert phone.round_trips == 1 and clock.slept == []


def test_a_status_set_by_hand_is_given_up_at_once(phone):
    phone.heat(skin_c=30.0, status=0, override="true")
    found = wait(phone, Clock())
    assert found.outcome == "overridden" and "thermalservice reset" in found.why and phone.round_trips == 1


def test_a_phone_that_tells_nothing_is_given_up_at_once(phone):
    (phone.files / "thermalservice").unlink()
    (phone.files / "battery").unlink()
    found = wait(phone, Clock())
    assert found.outcome == "unreadable" and not found.is_cool


def test_an_old_phone_is_read_by_its_battery(phone):
    (phone.files / "thermalservice").unlink()
    found = wait(phone, Clock())
    assert found.is_cool and found.readings[0].sensor == "battery" and found.readings[0].temperature_c == 28.0


def test_a_lost_link_is_raised(phone):
    phone.lost, phone.cut = True, 0
    with pytest.raises(PhoneLost):
        wait(phone, Clock())


SKIN, CORE = Temperature("skin", "skin", 33.0), Temperature("CPU0", "cpu", 51.0)
CELL = Temperature("BAT", "battery", 31.0)


@pytest.mark.parametrize(
    ("facts", "sensor"),
    [
        (PhoneFacts(thermal=Thermal(hal=(CORE, CELL, SKIN))), "skin"),
        (PhoneFacts(thermal=Thermal(hal=(CORE, CELL)), battery=Battery(temperature_c=20.0)), "BAT"),
        (PhoneFacts(thermal=Thermal(hal=(CORE,)), battery=Battery(temperature_c=29.0)), "battery"),
        (PhoneFacts(thermal=Thermal(hal=(CORE,)), battery=Battery(temperature_c=29.0, updates_stopped=True)), "CPU0"),
        (PhoneFacts(thermal=Thermal(zones={"cpu0-gold": 50.0, "xo-therm": 34.0})), "xo-therm"),
        (PhoneFacts(thermal=Thermal(zones={"modem": 50.0})), ""),
        (PhoneFacts(battery=Battery(temperature_c=29.0)), "battery"),
        (PhoneFacts(), ""),
    ],
)
def test_which_sensor_speaks_for_a_phone(facts, sensor):
    assert heat_of(facts).sensor == sensor


def test_of_several_skins_the_hottest_speaks():
    facts = PhoneFacts(thermal=Thermal(hal=(SKIN, Temperature("skin2", "skin", 39.0))))
    assert heat_of(facts).temperature_c == 39.0
