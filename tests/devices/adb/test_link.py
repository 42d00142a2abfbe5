from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from software_phone.adb_server import OwnAdbServer, wait_until
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone, SmallPhone

from devices.adb.failures import LinkStalled, PhoneLost, ServerLost
from devices.adb.shell import EXIT, STDERR, STDOUT, BrokenStreamError, Event, EventReader, PacketReader, SentinelReader
from mnas.errors import ConfigError, DeviceError

_LONG_S = 30.0
_ODD = ["", "-n", "a b", "it's", '"', "$HOME", "`id`", "a\nb", "\\", "*", "ü 漢 🙂", "--"]


# ---- readers, without any phone


def _packets(events: list[Event]) -> bytes:
    return b"".join(struct.pack("<BI", kind, len(body)) + body for kind, body in events)


def _merged(events: list[Event]) -> list[Event]:
    out: list[Event] = []
    for kind, body in events:
        if out and out[-1][0] == kind != EXIT:
            out[-1] = (kind, out[-1][1] + body)
        else:
            out.append((kind, body))
    return out


def _fed(reader: EventReader, data: bytes, cuts: list[int]) -> list[Event]:
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    return _merged([event for piece in pieces for event in reader.feed(piece)])


_CUTS = st.lists(st.integers(0, 200), max_size=8)
_OUTPUT = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=20)), max_size=6)


@given(_OUTPUT, st.integers(0, 255), _CUTS)
def test_packets_read_the_same_in_any_pieces(output: list[Event], code: int, cuts: list[int]) -> None:
    data = _packets([*output, (EXIT, bytes([code]))])
    assert _fed(PacketReader(), data, cuts) == _merged([*output, (EXIT, b"%d" % code)])


@pytest.mark.parametrize("data", [b"\x07\0\0\0\0", b"\x01\xff\xff\xff\xff", b"\x03\0\0\0\0", b"HTTP/1.1 200"])
def test_bytes_that_are_no_packets_are_refused(data: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        PacketReader().feed(data)


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 255), _CUTS, st.booleans())
def test_a_mark_splits_output_and_error_in_any_pieces(
    out: bytes, err: bytes, code: int, cuts: list[int], tempts: bool
) -> None:
    mark = "@mnas-0123"
    if tempts:  # what looks like the beginning of the mark, and is none
        out += b"@mnas-01@@mnas-"
    data = out + b"@mnas-0123 %d\n" % code + err + b"@mnas-0123 end\n"
    expected = [(STDOUT, out), (STDERR, err), (EXIT, b"%d" % code)]
    assert _fed(SentinelReader(mark), data, cuts) == [event for event in expected if event[1]]


def test_a_line_is_not_held_back_for_a_mark_that_may_come() -> None:
    assert SentinelReader("@mnas-0123").feed(b"count=3\n") == [(STDOUT, b"count=3\n")]


# ---- a phone with shell v2, and one without


@pytest.fixture(params=["shell_v2", "old"])
def either(request: pytest.FixtureRequest, make_phone: MakePhone) -> SmallPhone:
    """A phone with shell_v2, then one from before Android 7."""
    return make_phone(features=("shell_v2", "cmd", "stat_v2") if request.param == "shell_v2" else ("cmd",))


def test_features_are_those_of_the_phone(either: SmallPhone) -> None:
    assert ("shell_v2" in either.link.features) == ("shell_v2" in either.adbd.features)
    assert either.link.round_trips == 0


def test_code_output_and_error_are_apart(either: SmallPhone) -> None:
    done = either.link.run_script("echo out; echo err >&2; printf more; exit 3", deadline_s=_LONG_S)
    assert (done.rc, done.stdout, done.stderr, done.ended) == (3, "out\nmore", "err\n", "exit")
    assert done.detail == ""
    assert 0 < done.seconds < _LONG_S
    assert either.left_behind() == []
    assert [name for name in either.files() if name.endswith(".err")] == []


def test_one_command_is_one_round_trip(either: SmallPhone) -> None:
    assert either.link.run(["true"], deadline_s=_LONG_S).rc == 0
    assert either.link.round_trips == 1
    assert len(either.adbd.opened) == 1


def test_words_arrive_as_they_were(either: SmallPhone) -> None:
    done = either.link.run(["printf", "<%s>\n", *_ODD], deadline_s=_LONG_S)
    assert done.stdout == "".join(f"<{word}>\n" for word in _ODD)


def test_bytes_that_are_no_text_are_replaced_and_carriage_returns_kept(either: SmallPhone) -> None:
    done = either.link.run(["printf", "a\\377b\\r\\n"], deadline_s=_LONG_S)
    assert done.stdout == "a�b\r\n"


def test_a_program_that_reads_gets_the_end_of_its_input(either: SmallPhone) -> None:
    assert either.link.run(["cat"], deadline_s=_LONG_S).ended == "exit"


@pytest.mark.parametrize(
    ("script", "rc"), [("kill -SEGV $$", 139), ("kill -KILL $$", 137), ("sh -c 'kill -TERM $$'", 143)]
)
def test_a_signal_is_told(either: SmallPhone, script: str, rc: int) -> None:
    done = either.link.run_script(script, deadline_s=_LONG_S)
    assert (done.rc, done.ended) == (rc, "signal")


def test_a_command_that_is_not_there_ends_with_127(either: SmallPhone) -> None:
    done = either.link.run(["/no/such program"], deadline_s=_LONG_S)
    assert (done.rc, done.ended) == (127, "exit")
    assert "not found" in done.stderr


def test_lines_come_while_the_command_runs(either: SmallPhone) -> None:
    # The command ends only when it sees what the first line made: without streaming it would last until the deadline.
    flag = "/data/local/tmp/seen"
    script = f"echo first; until [ -e {flag} ]; do sleep 0.02; done; echo last"
    seen: list[str] = []

    def take(line: str) -> None:
        seen.append(line)
        either.adbd.local(flag).touch()

    done = either.link.run_script(script, deadline_s=_LONG_S, on_line=take)
    assert done.ended == "exit"
    assert seen == ["first", "last"]


def test_a_stream_tells_its_end_afterwards(either: SmallPhone) -> None:
    stream = either.link.stream("echo a; echo b; exit 4", deadline_s=_LONG_S)
    assert stream.completed is None
    assert list(stream) == ["a", "b"]
    assert stream.completed is not None
    assert (stream.completed.rc, stream.completed.stdout) == (4, "a\nb\n")


def test_a_stream_that_is_left_is_lost_and_ends_its_command(either: SmallPhone) -> None:
    stream = either.link.stream("echo $$; exec sleep 60", deadline_s=_LONG_S)
    pid = int(next(stream))
    stream.close()
    assert stream.completed is not None
    assert stream.completed.ended == "lost"
    if "shell_v2" in either.adbd.features:
        wait_until(lambda: not _is_running(pid), _LONG_S, "the command outlived its link")


def test_the_last_line_needs_no_newline(either: SmallPhone) -> None:
    seen: list[str] = []
    either.link.run(["printf", "a\nb"], deadline_s=_LONG_S, on_line=seen.append)
    assert seen == ["a", "b"]


def test_output_over_the_limit_is_dropped_and_said(either: SmallPhone) -> None:
    lines: list[str] = []
    script = "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done; exit 5"
    done = either.link.run_script(script, deadline_s=_LONG_S, limit_bytes=1000, on_line=lines.append)
    assert done.is_truncated
    assert len(done.stdout) == 1000
    assert (done.rc, len(lines)) == (5, 2000)


def test_a_long_script_goes_over_as_a_file_and_leaves_none(either: SmallPhone) -> None:
    padding = "# " + "x" * 70_000
    done = either.link.run_script(f"{padding}\necho done $MNAS_TOKEN; exit 6", deadline_s=_LONG_S, token="t7")
    assert (done.rc, done.stdout) == (6, "done t7\n")
    assert either.link.round_trips == 2
    assert [name for name in either.files() if name.endswith(".sh")] == []


def test_a_token_marks_the_command_and_its_children(either: SmallPhone) -> None:
    script = 'tr "\\0" "\\n" </proc/$$/environ | grep MNAS_TOKEN; sh -c "echo child \\$MNAS_TOKEN"'
    done = either.link.run_script(script, deadline_s=_LONG_S, token="t-1")
    assert done.stdout == "MNAS_TOKEN=t-1\nchild t-1\n"


# ---- deadlines


def test_one_deadline_holds_for_a_chatty_command(either: SmallPhone) -> None:
    started = time.monotonic()
    done = either.link.run_script("while :; do echo tick; sleep 0.05; done", deadline_s=1.0)
    assert (done.ended, done.rc) == ("deadline", None)
    assert time.monotonic() - started < 10
    assert "HUP" in done.detail
    assert done.stdout.startswith("tick\ntick\n")


def test_at_the_deadline_adbd_hangs_up_on_the_command(phone: SmallPhone) -> None:
    done = phone.link.run_script("echo $$; exec sleep 60", deadline_s=1.0)
    assert done.ended == "deadline"
    wait_until(lambda: not _is_running(int(done.stdout)), _LONG_S, "the command outlived its deadline")


def test_a_phone_that_stalls_in_mid_output_ends_at_the_deadline(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(stalls_after_out=12))
    done = phone.link.run(["printf", "0123456789\n" * 5], deadline_s=1.0)
    assert (done.ended, done.rc) == ("deadline", None)


def test_a_link_that_stalls_before_the_command_starts_raises(phone: SmallPhone) -> None:
    assert phone.link.features
    phone.proxy.stall()
    with pytest.raises(LinkStalled, match="ADB19"):
        phone.link.run(["true"], deadline_s=0.5)
    phone.proxy.resume()


def test_a_slow_phone_is_only_slow(make_phone: MakePhone) -> None:
    phone = make_phone()
    phone.faults.slow_s = 0.05
    assert phone.link.run(["echo", "a"], deadline_s=_LONG_S).stdout == "a\n"


# ---- lost


@pytest.mark.parametrize("features", [("shell_v2", "cmd"), ("cmd",)])
def test_a_phone_that_dies_in_mid_output_is_lost(make_phone: MakePhone, features: tuple[str, ...]) -> None:
    phone = make_phone(features=features, faults=Faults(dies_after_out=20))
    done = phone.link.run(["printf", "0123456789\n" * 10], deadline_s=_LONG_S)
    assert (done.ended, done.rc) == ("lost", None)
    assert "ended before" in done.detail
    phone.come_back()
    assert phone.link.run(["echo", "back"], deadline_s=_LONG_S).stdout == "back\n"


def test_a_cable_that_is_pulled_while_a_command_runs_is_lost(phone: SmallPhone) -> None:
    done = phone.link.run_script("echo go; sleep 60", deadline_s=_LONG_S, on_line=lambda _: phone.proxy.cut())
    assert (done.ended, done.rc, done.stdout) == ("lost", None, "go\n")


def test_an_end_without_an_exit_code_is_lost_and_never_zero(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(no_exit_packet=True))
    done = phone.link.run(["echo", "fine"], deadline_s=_LONG_S)
    assert (done.ended, done.rc, done.stdout) == ("lost", None, "fine\n")


@pytest.mark.parametrize(
    "garbage", [b"hello world, no packets", b"\x01\xff\xff\xff\xff", b"\x09\0\0\0\0", b"", b"\x03\x01"]
)
def test_a_phone_that_talks_nonsense_is_lost(make_phone: MakePhone, garbage: bytes) -> None:
    done = make_phone(faults=Faults(garbage=garbage)).link.run(["true"], deadline_s=_LONG_S)
    assert (done.ended, done.rc) == ("lost", None)
    assert done.detail


def test_a_phone_that_dies_as_the_command_opens_raises(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(dies_on_open=True))
    with pytest.raises(PhoneLost, match="ADB15"):
        phone.link.run(["true"], deadline_s=_LONG_S)


def test_a_phone_that_refuses_the_service_raises(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(refuses_services=True))
    with pytest.raises(PhoneLost, match="ADB15"):
        phone.link.run(["true"], deadline_s=_LONG_S)


def test_an_offline_phone_raises_and_comes_back(phone: SmallPhone) -> None:
    assert phone.link.run(["true"], deadline_s=_LONG_S).rc == 0
    phone.proxy.refuses = True
    phone.proxy.cut()
    wait_until(lambda: phone.state != "device", _LONG_S, "still there")
    with pytest.raises(PhoneLost) as caught:
        phone.link.run(["true"], deadline_s=_LONG_S)
    assert caught.value.code in {"ADB10", "ADB11"}
    phone.proxy.refuses = False
    phone.come_back()
    assert phone.link.run(["true"], deadline_s=_LONG_S).rc == 0


def test_a_phone_that_was_never_there_raises(own_adb: OwnAdbServer) -> None:
    with pytest.raises(PhoneLost, match="ADB10"):
        own_adb.server.link("NOSUCH").run(["true"], deadline_s=_LONG_S)


def test_a_phone_that_says_nothing_never_gets_ready(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(silent=True), attached=False)
    with pytest.raises((LinkStalled, DeviceError)):
        phone.own.server.connect(phone.link.serial, 1.0)
    with pytest.raises(DeviceError):
        phone.link.run(["true"], deadline_s=1.0)


def test_a_server_that_ends_while_a_command_runs_is_lost(make_phone: MakePhone, tmp_path: Path) -> None:
    own = OwnAdbServer(tmp_path / "own").start()
    try:
        phone = make_phone(own=own)
        done = phone.link.run_script("echo go; sleep 60", deadline_s=_LONG_S, on_line=lambda _: own.process.kill())
        assert (done.ended, done.rc) == ("lost", None)
        with pytest.raises(ServerLost, match="ADB03"):
            phone.link.run(["true"], deadline_s=_LONG_S)
        own.process.wait()
        own.start()
        phone.own.attach(phone.link.serial)
        assert phone.link.run(["true"], deadline_s=_LONG_S).rc == 0
    finally:
        own.stop()


def test_an_interrupt_in_mid_stream_closes_the_link(phone: SmallPhone) -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        phone.link.run_script("echo $$; exec sleep 60", deadline_s=_LONG_S, on_line=interrupt)
    wait_until(lambda: not _is_running(pids[0]), _LONG_S, "the command outlived the interrupt")


def test_a_phone_with_no_place_for_stderr_says_so(make_phone: MakePhone) -> None:
    phone = make_phone(features=("cmd",))
    folder = phone.adbd.local("/data/local/tmp")
    (folder / "mnas").write_text("a file where the folder should be")
    done = phone.link.run(["true"], deadline_s=_LONG_S)
    assert (done.ended, done.rc) == ("lost", None)
    assert "no shell_v2" in done.detail


def test_an_argument_that_no_process_takes_never_reaches_the_phone(phone: SmallPhone) -> None:
    with pytest.raises(ConfigError, match="ADB01"):
        phone.link.run(["echo", "a\0b"], deadline_s=_LONG_S)
    assert phone.link.round_trips == 0


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
