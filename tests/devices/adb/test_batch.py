"""The script of a batch, run by this machine's own ``sh``, and the reader of what it prints."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from software_phone.fetch import fetch_packages

from devices.adb.batch import Batch, Launch, Watch
from devices.adb.batch_events import (
    BatchEvent,
    BatchReader,
    Began,
    Done,
    Ended,
    Heat,
    Pinned,
    Stopped,
    Strays,
    Unpinned,
)
from devices.adb.batch_script import write_script
from devices.adb.quoting import with_token

_TOKEN = secrets.token_hex(4)  # other processes that test meanwhile have theirs
_COOL = "IsStatusOverride: false\nThermal Status: 0\n"
_PROGRAMS = ("sh", "sleep", "true", "grep", "cat", "head", "mkdir", "rm", "taskset", "yes", "printf", "env", "echo")

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")


def _launch(index: int, *command: str, deadline_s: int = 20, files: str = "") -> Launch:
    return Launch(index, command, deadline_s, files)


def _shell(index: int, text: str, **options: object) -> Launch:
    return _launch(index, "sh", "-c", text, **options)  # type: ignore[arg-type]


def _read(batch: Batch, text: str) -> list[BatchEvent]:
    reader = BatchReader(batch.marker, batch.file_limit_bytes)
    return [event for line in text.split("\n") for event in reader.feed(line)]


class _Phone:
    """Runs scripts as a phone does, with the programs of a folder alone on its path."""

    def __init__(self, folder: Path, programs: Sequence[str]) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.folder = folder
        for name in programs:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)

    def add(self, name: str, text: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def batch(self, *launches: Launch, **options: object) -> Batch:
        return Batch(_TOKEN, str(self.folder / "batch"), launches, **options)  # type: ignore[arg-type]

    def run(self, batch: Batch) -> tuple[list[BatchEvent], subprocess.CompletedProcess[str]]:
        done = subprocess.run(
            ["sh", "-c", with_token(write_script(batch), batch.token)],
            env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )
        assert not Path(batch.folder).exists()
        return _read(batch, done.stdout), done


@pytest.fixture
def phone(tmp_path: Path) -> _Phone:
    return _Phone(tmp_path, _PROGRAMS)


def _ended(events: Sequence[BatchEvent]) -> list[Ended]:
    return [event for event in events if isinstance(event, Ended)]


def test_launches_run_in_order_with_their_own_output(phone: _Phone) -> None:
    odd = 'it\'s "odd" $HOME `x` \\n %s'
    events, done = phone.run(
        phone.batch(
            _launch(0, "printf", "%s\\n", odd),
            _shell(1, "echo out; echo err >&2; echo 1,2 > rows.csv; exit 3", files="rows.csv"),
            _shell(2, 'echo "$MNAS_TOKEN" in "$PWD"'),
            _launch(3, "no-such-program"),
        )
    )
    first, second, third, fourth = _ended(events)
    assert (first.rc, first.stdout, first.stderr, first.output) == (0, f"{odd}\n", "", "")
    assert (second.rc, second.stdout, second.stderr, second.output) == (3, "out\n", "err\n", "1,2\n")
    assert third.stdout == f"{_TOKEN} in {phone.folder / 'batch'}\n"
    assert fourth.rc == 127
    assert [event.index for event in events if isinstance(event, Began)] == [0, 1, 2, 3]
    assert isinstance(events[-1], Done) and done.returncode == 0


def test_a_child_that_writes_late_writes_into_no_later_launch(phone: _Phone) -> None:
    late = "(sleep 0.3; echo late; echo late >&2) & echo first"
    events, _ = phone.run(phone.batch(_shell(0, late), _shell(1, "sleep 0.8; echo second")))
    assert [(one.stdout, one.stderr) for one in _ended(events)] == [("first\n", ""), ("second\n", "")]


@pytest.mark.parametrize(("word", "number"), [("SEGV", 11), ("KILL", 9), ("ABRT", 6)])
def test_a_crash_tells_its_signal(phone: _Phone, word: str, number: int) -> None:
    events, _ = phone.run(phone.batch(_shell(0, f"echo before; kill -{word} $$"), _launch(1, "echo", "on")))
    (crashed,) = _ended(events)
    assert crashed.rc == 128 + number and crashed.stdout == "before\n" and not crashed.is_hung(20)
    # Its children may live on, so what follows is made in another batch.
    assert Stopped("killed") in events and isinstance(events[-1], Done)


def test_a_hung_launch_costs_its_deadline_and_ends_the_batch(phone: _Phone) -> None:
    started = time.monotonic()
    stubborn = "trap '' TERM HUP INT; echo begun; while :; do sleep 0.1; done"
    events, _ = phone.run(phone.batch(_shell(0, stubborn, deadline_s=1), _launch(1, "echo", "on")))
    (hung,) = _ended(events)
    assert hung.is_hung(1) and hung.rc == 137 and hung.stdout == "begun\n"
    assert Stopped("killed") in events
    assert time.monotonic() - started < 20


def test_a_launch_that_fails_late_but_before_its_deadline_is_not_hung(phone: _Phone) -> None:
    events, _ = phone.run(phone.batch(_shell(0, "sleep 1; exit 7", deadline_s=20)))
    assert not _ended(events)[0].is_hung(20)


def test_endless_output_is_bounded_on_the_phone(phone: _Phone) -> None:
    # One is killed at the size of any file; the others end by themselves, and of theirs no more than that is read.
    said = "yes | head -c 200000"
    for launch in (_launch(0, "yes"), _shell(0, f"{said} >&2"), _shell(0, said), _shell(0, f"{said} >f", files="f")):
        events, done = phone.run(phone.batch(launch, _launch(1, "echo", "on"), file_limit_bytes=1 << 16))
        flood = _ended(events)[0]
        assert flood.rc == 128 + signal.SIGXFSZ and len(done.stdout) < 1 << 18
    (whole,) = _ended(phone.run(phone.batch(_shell(0, said), file_limit_bytes=200_000))[0])
    assert (whole.rc, len(whole.stdout)) == (0, 200_000)


def test_output_without_an_end_of_line_hides_no_mark(phone: _Phone) -> None:
    events, _ = phone.run(phone.batch(_launch(0, "printf", "no end"), _launch(1, "printf", "")))
    assert [one.stdout for one in _ended(events)] == ["no end\n", "\n"]


def test_the_shell_is_pinned_and_says_so_after_each_launch(phone: _Phone) -> None:
    core = max(os.sched_getaffinity(0))
    events, _ = phone.run(
        phone.batch(_launch(0, "grep", "Cpus_allowed:", "/proc/self/status"), cpu_mask=f"{1 << core:x}")
    )
    assert events[0] == Pinned(f"{1 << core:x}")
    (ended,) = _ended(events)
    assert ended.mask == f"{1 << core:x}" and int(ended.stdout.split()[1].replace(",", ""), 16) == 1 << core


def test_what_cannot_be_pinned_is_not_run(phone: _Phone) -> None:
    events, done = phone.run(phone.batch(_shell(0, "echo ran"), cpu_mask="f" * 20 + "0" * 40))
    (unpinned,) = events
    assert isinstance(unpinned, Unpinned) and re.match(r"^\d", unpinned.online)
    assert done.returncode == 71 and "ran" not in done.stdout


def test_a_pin_that_does_not_hold_ends_the_batch(phone: _Phone) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two cores")
    steal = f"taskset -p {1 << cores[0]:x} $(cat pid) >/dev/null"
    batch = phone.batch(_shell(0, steal), _shell(1, "echo ran"), cpu_mask=f"{1 << cores[-1]:x}")
    events, _ = phone.run(batch)
    (ended,) = _ended(events)
    assert ended.mask == f"{1 << cores[0]:x}"
    assert Stopped("unpinned") in events and isinstance(events[-1], Done)


def test_processes_that_outlive_the_batch_are_told(phone: _Phone) -> None:
    events, _ = phone.run(phone.batch(_shell(0, "trap '' HUP; sleep 300 >/dev/null 2>&1 & echo $!")))
    (ended,) = _ended(events)
    child = int(ended.stdout)
    try:
        assert Strays((child,)) in events
    finally:
        os.kill(child, signal.SIGKILL)


def test_heat_is_asked_for_before_and_after_and_ends_the_batch(phone: _Phone) -> None:
    watch = Watch(reads_heat=True, heat_every_s=1)
    status = phone.folder / "status"
    status.write_text("0")
    phone.add("dumpsys", f'echo "IsStatusOverride: false"; echo "Thermal Status: $(cat {status})"')
    cool, _ = phone.run(phone.batch(_launch(0, "echo", "a"), _launch(1, "echo", "b"), watch=watch))
    heats = [event for event in cool if isinstance(event, Heat)]
    assert [one.text for one in heats] == [_COOL, _COOL] and len(_ended(cool)) == 2

    launches = (_shell(0, f"echo 2 > {status}; sleep 1.2"), _shell(1, "echo ran"))
    hot, _ = phone.run(phone.batch(*launches, watch=watch))
    assert len(_ended(hot)) == 1 and Stopped("hot") in hot and isinstance(hot[-1], Done)
    status.write_text("2")
    on, _ = phone.run(phone.batch(*launches, watch=replace(watch, stops=False)))
    assert len(_ended(on)) == 2 and Stopped("hot") not in on


def test_a_status_that_a_test_command_set_stops_nothing(phone: _Phone) -> None:
    phone.add("dumpsys", 'echo "IsStatusOverride: true"; echo "Thermal Status: 3"')
    events, _ = phone.run(phone.batch(_launch(0, "echo", "a"), watch=Watch(reads_heat=True)))
    assert len(_ended(events)) == 1 and not [one for one in events if isinstance(one, Stopped)]


@pytest.mark.parametrize("says", ["", "echo 'IsStatusOverride: true'; echo 'Thermal Status: 0'", "echo 'Thermal St'"])
def test_a_service_that_does_not_tell_the_heat_ends_a_batch_that_insists(phone: _Phone, says: str) -> None:
    calls = phone.folder / "calls"
    phone.add("dumpsys", f"echo x >>{calls}; {says}")
    launches = (_shell(0, "sleep 1.1"), _shell(1, "sleep 1.1"), _shell(2, "echo ran"))
    watch = Watch(reads_heat=True, heat_every_s=1, insists=True)
    events, _ = phone.run(phone.batch(*launches, watch=watch))
    assert _ended(events) == [] and Stopped("unread") in events and isinstance(events[-1], Done)
    # Where it does not insist it goes on, and asks less often.
    calls.unlink()
    on, _ = phone.run(phone.batch(*launches, watch=replace(watch, insists=False)))
    assert len(_ended(on)) == 3 and not [one for one in on if isinstance(one, Stopped)]
    assert calls.read_text().split() == ["x", "x"]


def test_caps_and_clocks_are_read_around_each_launch(phone: _Phone) -> None:
    cap, clock = phone.folder / "max", phone.folder / "cur"
    cap.write_text("1800000\n")
    clock.write_text("900000\n")
    watch = Watch((str(cap), "/nonexistent"), (1_800_000, 1), (str(clock),))
    launches = (_shell(0, f"echo 1200000 > {clock}"), _shell(1, f"echo 1500000 > {cap}"), _shell(2, "echo ran"))
    events, _ = phone.run(phone.batch(*launches, watch=watch))
    first, second = _ended(events)
    assert first.before.caps_khz == (1_800_000, None) and first.before.clocks_khz == (900_000,)
    assert first.after.clocks_khz == (1_200_000,) and second.after.caps_khz == (1_500_000, None)
    assert Stopped("capped") in events


def test_a_folder_that_cannot_be_made_is_told_by_the_exit_code(phone: _Phone) -> None:
    blocked = phone.folder / "file"
    blocked.write_text("")
    batch = replace(phone.batch(_shell(0, "echo ran")), folder=str(blocked / "batch"))
    events, done = phone.run(batch)
    assert events == [] and done.returncode == 70 and "ran" not in done.stdout


@pytest.fixture(params=["sh", "mksh"])
def shell(request: pytest.FixtureRequest) -> str:
    """This machine's shell, and Android's."""
    if request.param == "sh":
        return str(shutil.which("sh"))
    request.getfixturevalue("software_phone_build")
    return str(next(fetch_packages().rglob("mksh-static")))


@pytest.mark.parametrize("disposition", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_script_whose_reader_is_gone_ends_soon_and_leaves_nothing(
    tmp_path: Path, shell: str, disposition: signal.Handlers
) -> None:
    phone = _Phone(tmp_path, _PROGRAMS)
    made = tmp_path / "made"
    made.mkdir()
    batch = phone.batch(*(_shell(index, f"echo > {made}/{index}; sleep 0.1") for index in range(100)))
    old = signal.signal(signal.SIGPIPE, disposition)
    try:
        process = subprocess.Popen(
            [shell, "-c", write_script(batch)],
            env={"PATH": str(phone.bin)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            restore_signals=False,
        )
    finally:
        signal.signal(signal.SIGPIPE, old)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait(30)
    assert 0 < len(list(made.iterdir())) < 10
    assert not Path(batch.folder).exists()


# The reader alone.

_READING = "12.50 1800000,- 900000 -"
_TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30).filter(
        lambda line: not line.startswith("@mark ")
    ),
    max_size=5,
)
_LAUNCHES = st.lists(st.tuples(_TEXTS, st.one_of(st.none(), _TEXTS), st.integers(0, 255)), max_size=5)


def _transcript(launches: Sequence[tuple[list[str], list[str] | None, int]]) -> str:
    lines = ["@mark pinned f0 .", "@mark heat 12.00", *_COOL.splitlines()]
    for index, (out, err, rc) in enumerate(launches):
        lines += [f"@mark begin {index} {_READING} .", f"@mark out {index}", *out]
        lines += [] if err is None else [f"@mark err {index}", *err]
        lines.append(f"@mark end {index} {rc} f0 {_READING} .")
    return "\n".join([*lines, "@mark done .", ""])


_BATCH = Batch(_TOKEN, "/x", (), marker="@mark")


@fuzzed
@given(_LAUNCHES)
def test_whatever_a_runner_prints_comes_back_as_it_was(
    launches: list[tuple[list[str], list[str] | None, int]],
) -> None:
    events = _read(_BATCH, _transcript(launches))
    assert [(one.rc, one.stdout, one.stderr) for one in _ended(events)] == [
        (rc, "".join(f"{line}\n" for line in out), "".join(f"{line}\n" for line in err or []))
        for out, err, rc in launches
    ]
    assert isinstance(events[-1], Done)


@fuzzed
@given(_LAUNCHES, st.data())
def test_a_stream_that_is_cut_gives_nothing_but_the_beginning(
    launches: list[tuple[list[str], list[str] | None, int]], data: st.DataObject
) -> None:
    text = _transcript(launches)
    whole, cut = _read(_BATCH, text), _read(_BATCH, text[: data.draw(st.integers(0, len(text)))])
    assert cut == whole[: len(cut)]


def test_another_marker_is_a_runners_text_and_a_section_is_bounded() -> None:
    lines = [f"@mark begin 0 {_READING} .", "@mark out 0", f"@other end 0 0 f0 {_READING} .", "x" * 100, "y" * 100]
    reader = BatchReader("@mark", limit_chars=150)
    events = [event for line in [*lines, f"@mark end 0 0 f0 {_READING} ."] for event in reader.feed(line)]
    (ended,) = _ended(events)
    assert ended.stdout.startswith("@other end") and len(ended.stdout) <= 152


@pytest.mark.parametrize(
    "line",
    [
        f"@mark end 1 0 f0 {_READING} .",
        f"@mark end 0 x f0 {_READING} .",
        f"@mark end 0 0 f0 {_READING}",
        "@mark end 0 0 .",
        "@mark stop for-no-reason .",
        "@mark",
        "@mark nonsense .",
    ],
)
def test_a_mark_that_is_none_ends_nothing(line: str) -> None:
    reader = BatchReader("@mark")
    (began,) = reader.feed(f"@mark begin 0 {_READING} .")
    assert isinstance(began, Began) and began.before.caps_khz == (1_800_000, None) and began.before.zone_raw == ""
    assert list(reader.feed(line)) == []


def test_scripts_are_the_same_for_the_same_batch_and_quote_every_word() -> None:
    batch = Batch(_TOKEN, "/x", (_launch(0, "a b", "$(reboot)", "'"),), marker="@mark")
    script = write_script(batch)
    assert script == write_script(batch)
    assert "'a b' '$(reboot)' ''\\'''" in script
