from __future__ import annotations

import os

import pytest

from devices.runtimes import machine, scheduling
from devices.runtimes.inputs import fixed_shape, random_input
from devices.runtimes.scheduling import choose_cpus, cpu_mask


def test_cpuinfo_and_stat_are_read_as_far_as_they_go() -> None:
    assert machine.parse_cpu_mhz("cpu MHz\t\t: 2596.118\nflags : x\ncpu MHz : 1200\n") == [2596.118, 1200.0]
    assert machine.parse_cpu_mhz("Processor : ARMv8\n") == []
    assert machine.parse_steal_ticks("cpu  1 2 3 4 5 6 7 88 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n") == 88
    assert machine.parse_steal_ticks("cpu  1 2 3\n") is None
    assert machine.parse_steal_ticks("") is None


def test_the_last_allowed_cpus_are_chosen_unless_a_mask_says_otherwise() -> None:
    assert choose_cpus({0, 1, 5}, 1) == {5}
    assert choose_cpus({0, 1, 5}, 2) == {1, 5}
    assert choose_cpus({0, 1}, 8) == {0, 1}
    assert choose_cpus({0, 1, 5}, 1, "3") == {0, 1}
    assert cpu_mask({0, 1, 5}) == "23" and cpu_mask(set()) == "0"


def test_free_dimensions_come_from_the_artefact() -> None:
    assert fixed_shape(["N", 3, 8, 8], (1, 3, 9, 9)) == (1, 3, 8, 8)
    assert fixed_shape([-1, 4], (2, 5)) == (2, 4)
    with pytest.raises(ValueError, match="free dimensions"):
        fixed_shape(["N", 3], (1, 3, 8, 8))


def test_inputs_are_fixed_and_not_constant() -> None:
    for dtype in ("float32", "float16", "int8", "int64"):
        first = random_input((1, 4, 4), dtype)
        assert first.dtype == dtype and (first == random_input((1, 4, 4), dtype)).all() and first.std() > 0


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="no such call on this system")
def test_missing_rights_are_told_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert scheduling.set_real_time(True) is False and scheduling.pin(1) == ""
    monkeypatch.delattr(os, "sched_setscheduler")
    monkeypatch.delattr(os, "sched_setaffinity")
    assert scheduling.set_real_time(True) is False and scheduling.pin(1) == ""


@pytest.mark.parametrize(
    ("text", "mode"),
    [("always [madvise] never\n", "madvise"), ("[always] madvise never", "always"), ("", ""), ("x", "")],
)
def test_who_gets_huge_pages_is_read(text, mode):
    assert machine.parse_huge_pages(text) == mode


def test_huge_pages_are_asked_for_where_they_must_be_and_other_tunables_stay(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    for mode, expected in (("madvise", "glibc.malloc.hugetlb=1:glibc.malloc.check=1"), ("always", None), ("", None)):
        monkeypatch.setattr(machine, "huge_page_mode", lambda mode=mode: mode)
        assert machine.huge_page_variables().get("GLIBC_TUNABLES") == expected
