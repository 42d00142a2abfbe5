"""A server that answers nonsense in adb's place is refused in a line of words, whatever it says."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from devices.adb.batch_events import BatchReader
from devices.adb.cleaning import _processes
from devices.adb.link import AdbLink
from devices.adb.parsers.numbers import number_of
from devices.adb.server import AdbServer, _parse_row, _parse_states
from devices.adb.shell import BrokenStreamError, SentinelReader
from mnas.cli import main
from mnas.errors import DeviceError

_LONG = "1" * 5000
_HOST = "127.0.0.2"  # loopback, and none of the names of this machine, where a server would be started


class NonsenseServer:
    """Gives each connection one answer and ends it.

    Attributes:
        answer: Request -> bytes.
    """

    def __init__(self) -> None:
        self.answer: Callable[[bytes], bytes] = lambda request: b""
        self._listener = socket.create_server((_HOST, 0))
        self.server = AdbServer(_HOST, self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(10)
                size = connection.recv(4)
                if size == b"stop":
                    return
                connection.sendall(self.answer(connection.recv(int(size, 16))))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

    def stop(self) -> None:
        """End it."""
        with socket.create_connection((self.server.host, self.server.port)) as connection:
            connection.sendall(b"stop")
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def nonsense() -> Iterator[NonsenseServer]:
    server = NonsenseServer()
    yield server
    server.stop()


def okay(text: str) -> bytes:
    """An answer that follows the protocol."""
    data = text.encode("utf-8", "surrogatepass")
    return b"OKAY%04x" % len(data) + data


# ---- numbers


@given(st.one_of(st.text(), st.integers().map(str), st.from_regex(r"\d+", fullmatch=True)))
def test_a_number_is_read_back_as_written_or_is_none(text: str) -> None:
    number = number_of(text)
    assert number is None or (number >= 0 and str(number) == (text.lstrip("0") or "0"))


@pytest.mark.parametrize("text", ["", "²", "१२", "+1", "-1", "1_0", " 1", "1\n", _LONG])
def test_what_python_reads_or_calls_a_digit_may_be_no_number(text: str) -> None:
    assert number_of(text) is None
    assert (number_of("10", 10), number_of("11", 10)) == (10, None)


# ---- what a server says

_PIECES = st.sampled_from(["R58", "device", "offline", "transport_id:", "model:", "usb:", "²", "१", _LONG, "-1", "\t"])
_ROWS = st.lists(st.one_of(_PIECES, st.sampled_from([" ", "\n", ":"]), st.text(max_size=8)), max_size=20).map("".join)


@fuzzed
@given(_ROWS)
def test_no_row_crashes_its_reader(text: str) -> None:
    for line in text.splitlines():
        if line.strip():
            row = _parse_row(line)
            assert row.transport_id is None or 0 <= row.transport_id < 10**18
    assert all(serial == serial.strip() for serial in _parse_states(text))


def test_a_number_of_a_transport_that_is_none_is_left_out() -> None:
    for number in ("²", _LONG, "-1", ""):
        row = _parse_row(f"R58 device transport_id:{number}")
        assert (row.serial, row.state, row.transport_id) == ("R58", "device", None)


_WORDS = (
    *("pinned", "begin", "end", "stop", "strays", "done", "out", "err", "file", "heat", "unpinned", ".", "-", "0"),
    *("²", _LONG, "/proc/1/environ", f"/proc/{_LONG}/environ", "1,²"),
)
_LINE = st.lists(st.one_of(st.sampled_from(_WORDS), st.text()), min_size=1, max_size=8)
_LINES = st.lists(_LINE.map(lambda words: " ".join(["@mark", *words])), max_size=8)


@fuzzed
@given(_LINES)
def test_no_line_of_a_batch_crashes_its_reader(lines: list[str]) -> None:
    reader = BatchReader("@mark")
    for line in lines:
        list(reader.feed(line))


@pytest.mark.parametrize("number", ["²", _LONG, "-1"])
def test_marks_with_numbers_that_are_none_are_passed_over(number: str) -> None:
    reader = BatchReader("@mark")
    assert list(reader.feed(f"@mark begin {number} 1 - - - .")) == []
    list(reader.feed("@mark begin 0 1 - - - ."))
    assert list(reader.feed(f"@mark end 0 {number} f0 1 - - - .")) == []
    assert _processes(f"{number} sh\n12 sh -c x")[0].pid == 12


def test_an_exit_code_that_is_none_breaks_the_stream() -> None:
    for code in (_LONG.encode(), b"x", b"99999999"):
        with pytest.raises(BrokenStreamError, match="exit code"):
            SentinelReader("@mnas-01").feed(b"out@mnas-01 " + code + b"\n")


def _run(link: AdbLink) -> None:
    link.run(["true"], deadline_s=10.0)


_QUESTIONS: dict[str, Callable[[AdbServer], object]] = {
    "version": lambda server: server.version(10.0),
    "states": lambda server: server.states(),
    "details": lambda server: server.details(),
    "track": lambda server: list(server.track(10.0)),
    "connect": lambda server: server.connect("x:1", 10.0),
    "disconnect": lambda server: server.disconnect("x:1"),
    "run": lambda server: _run(server.link("R58")),
}
_ANSWERS = st.one_of(
    st.binary(max_size=60),
    _ROWS.map(okay),
    st.binary(max_size=30).map(lambda data: b"OKAY" + data),
    st.binary(max_size=60).map(lambda data: b"OKAYOKAY" + data),
    _ROWS.map(lambda text: b"FAIL" + okay(text)[4:]),
    st.sampled_from([b"OKAY-001x", b"OKAY0x1f", b"OKAY1_0f", b"OKAY +1f", b"OKAYffff", okay("f" * 9000), okay("-1")]),
)


@fuzzed
@given(st.sampled_from(sorted(_QUESTIONS)), _ANSWERS, st.sampled_from(["shell_v2", "cmd", ""]))
def test_no_answer_crashes_a_question(nonsense: NonsenseServer, question: str, answer: bytes, features: str) -> None:
    nonsense.answer = lambda request: okay(features) if request.endswith(b":features") else answer
    with suppress(DeviceError):
        _QUESTIONS[question](nonsense.server)


@pytest.mark.parametrize("answer", [b"OKAY-001x", b"OKAY0x1fx", b"OKAY1_0fx", b"OKAY +1fx"])
def test_a_length_is_four_digits(nonsense: NonsenseServer, answer: bytes) -> None:
    nonsense.answer = lambda request: answer
    with pytest.raises(DeviceError, match="ADB27"):
        nonsense.server.states()


# ---- and what the commands make of it

_DOCUMENTS = {
    "random bytes": random.Random(7).randbytes(300),
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "more than comes": b"OKAYffff",
    "digits that are none": okay("R58 device transport_id:²\nR59 device transport_id:" + _LONG),
    "a long serial": okay("R" * 65000 + " device transport_id:1"),
    "names with markup": okay("R58 device model:[/b]\x1b[2J transport_id:1\n[red]\x9b31m device"),
    "states with markup": okay("[/b]\x1b[2J\tdevice\n\x9b31m\toffline\n"),
    "a long serial's state": okay("R" * 65000 + "\tdevice\n"),
    "words alone": okay("\0\t\u2028 \x85 device\n\n \n²"),
}


@pytest.mark.parametrize("tells_version", [True, False])
@pytest.mark.parametrize("kind", _DOCUMENTS)
def test_a_command_refuses_it_in_a_line(
    nonsense: NonsenseServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    tells_version: bool,
) -> None:
    monkeypatch.setenv("MNAS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("MNAS_RUNNERS", str(tmp_path / "runners"))
    monkeypatch.delenv("MNAS_ADB", raising=False)
    known = okay("0029")
    nonsense.answer = lambda request: known if tells_version and request == b"host:version" else _DOCUMENTS[kind]
    adb = ["--adb", nonsense.server.address]
    for words, statuses in ((["list"], {0}), (["clean", "R58"], {4}), (["watch", "--for", "0.2"], {0, 4})):
        assert main(["devices", *words, *adb]) in statuses
        said = capsys.readouterr()
        assert "\x1b" not in said.out and "\x9b" not in said.out
        assert "Traceback" not in said.err and "--debug" not in said.err
        assert len([line for line in said.err.splitlines() if line.startswith("mnas: ")]) <= 1
