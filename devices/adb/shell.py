"""A command that runs on a phone: its lines as they come, and how it ended, under one deadline.

adbd sends shell v2 as packets: one byte of kind, four of length (little-endian), then the data. The exit code is the
last packet; a connection that ends before it is lost (Source: AOSP, packages/modules/adb/shell_protocol.h).

Phones before Android 7 have no such packets. There the command runs in a shell of its own behind ``exec:``, which
merges no pty into the bytes; its stderr goes to a file, and a random mark tells where stdout ends and with which code.
"""

from __future__ import annotations

import re
import secrets
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from devices.adb.connection import Connection, Deadline
from devices.adb.parsers.numbers import number_of
from devices.adb.quoting import quote_word

Ended = Literal["exit", "signal", "deadline", "lost"]
Event = tuple[int, bytes]

STDOUT, STDERR, EXIT = 1, 2, 3
_CLOSE_STDIN = struct.pack("<BI", 4, 0)
_HEADER = struct.Struct("<BI")
_MAX_PACKET_BYTES = 16 << 20
_MAX_LINE_BYTES = 1 << 20
_MOST_CODE = 0xFFFF
_SIGNALS = range(129, 193)


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command on a phone ended.

    Attributes:
        rc: Exit code, 128 + n for signal n; None when it did not end by itself.
        stdout: Its output, raw bytes read as UTF-8; what is none becomes U+FFFD.
        stderr: Its error output, likewise.
        ended: ``exit``, ``signal``, ``deadline`` or ``lost``. A shell gives 128 + n both for a child that died by a
            signal and for ``exit 137``: both are ``signal``.
        seconds: From the request to the end.
        detail: Why it is lost, or what was done at the deadline, in words.
        is_truncated: Output beyond the limit was dropped; lines were passed on all the same.
    """

    rc: int | None
    stdout: str
    stderr: str
    ended: Ended
    seconds: float
    detail: str = ""
    is_truncated: bool = False


class BrokenStreamError(Exception):
    """The bytes of a shell stream do not follow its protocol."""


class EventReader(Protocol):
    """Takes bytes in any pieces and gives events: (STDOUT | STDERR, data) and at last (EXIT, digits)."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole by now.

        Raises:
            BrokenStreamError: These bytes cannot be.
        """


class PacketReader:
    """Reads shell v2."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole by now.

        Raises:
            BrokenStreamError: A kind of packet that no adbd sends, or a length that is none.
        """
        self._buffer += data
        events: list[Event] = []
        start = 0
        while len(self._buffer) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer, start)
            if kind not in (STDOUT, STDERR, EXIT) or length > _MAX_PACKET_BYTES or (kind == EXIT and length != 1):
                raise BrokenStreamError(f"a shell packet of kind {kind} with {length} bytes")
            end = start + _HEADER.size + length
            if end > len(self._buffer):
                break
            body = bytes(self._buffer[start + _HEADER.size : end])
            events.append((kind, b"%d" % body[0] if kind == EXIT else body))
            start = end
        del self._buffer[:start]
        return events


class SentinelReader:
    """Reads the output of a command that `sentinel_command` made.

    Args:
        mark: The random mark.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode("ascii")
        self._tail = re.compile(re.escape(self._mark) + rb" (\w+)\n")
        self._buffer = b""
        self._code: bytes | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are whole by now.

        Raises:
            BrokenStreamError: The phone has no place for stderr, or an exit code is none.
        """
        self._buffer += data
        events: list[Event] = []
        while found := self._tail.search(self._buffer):
            self._emit(events, self._buffer[: found.start()])
            self._buffer = self._buffer[found.end() :]
            word = found[1]
            if self._code is not None:
                events.append((EXIT, self._code))
            elif word == b"nofile":
                raise BrokenStreamError("the phone has no shell_v2, and no folder could be written to hold stderr")
            elif number_of(word.decode("ascii"), _MOST_CODE) is None:
                raise BrokenStreamError(f"an exit code that is none: {word[:40]!r}")
            self._code = word
        kept = self._kept_back()
        self._emit(events, self._buffer[: len(self._buffer) - kept])
        self._buffer = self._buffer[len(self._buffer) - kept :]
        return events

    def _emit(self, events: list[Event], data: bytes) -> None:
        if data:
            events.append((STDOUT if self._code is None else STDERR, data))

    def _kept_back(self) -> int:
        """Return how many bytes at the end may be the beginning of the mark's line."""
        start = self._buffer.rfind(self._mark)
        if start >= 0:
            return len(self._buffer) - start
        longest = min(len(self._mark) - 1, len(self._buffer))
        return next((size for size in range(longest, 0, -1) if self._buffer.endswith(self._mark[:size])), 0)


def new_mark() -> str:
    """Return a mark that no output holds by chance."""
    return f"@mnas-{secrets.token_hex(12)}"


def sentinel_command(text: str, mark: str, folder: str) -> str:
    """Return a command for a phone without shell v2 that tells exit code and stderr apart from stdout.

    Args:
        text: The script; it runs in a shell of its own, so ``exit`` ends only that.
        mark: From `new_mark`.
        folder: On the phone, for the file that holds stderr meanwhile.
    """
    file = quote_word(f"{folder}/{mark[1:]}.err")
    return (
        f"mkdir -p {quote_word(folder)} 2>/dev/null; "
        f"if ( : >{file} ) 2>/dev/null; then "
        f'sh -c {quote_word(text)} 2>{file} </dev/null; echo "{mark} $?"; '
        f'cat {file}; rm -f {file}; echo "{mark} end"; else echo "{mark} nofile"; fi'
    )


class ShellStream(Iterator[str]):
    """The lines of a running command's stdout; `completed` tells the rest once they are over.

    Args:
        connection: On which the command was accepted. It is closed at the end.
        reader: For what comes on it.
        limit_bytes: Of stdout and stderr together that are kept for `completed`.
        takes_stdin: Whether the command has an open stdin that must be closed.
    """

    def __init__(
        self, connection: Connection, reader: EventReader, *, limit_bytes: int = 8 << 20, takes_stdin: bool = True
    ) -> None:
        self.completed: Completed | None = None
        self._connection = connection
        self._reader = reader
        self._room = limit_bytes
        self._is_truncated = False
        self._kept: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
        self._partial = bytearray()
        self._lines: deque[str] = deque()
        if takes_stdin:
            self._guarded(lambda: connection.send_all(_CLOSE_STDIN))

    def __next__(self) -> str:
        while not self._lines:
            if self.completed is not None:
                raise StopIteration
            self._guarded(self._advance)
        return self._lines.popleft()

    def renew(self, seconds: float) -> None:
        """Give what is still to come so much time from now on."""
        self._connection.deadline = Deadline(seconds)

    def close(self) -> None:
        """Leave the command: adbd sends it a HUP. A second call does nothing."""
        if self.completed is None:
            self._end("lost", detail="left before its end")

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except TimeoutError:
            words = (
                f"not over after {self._connection.deadline.seconds:g} s; the connection was closed, so adbd sends HUP"
            )
            self._end("deadline", detail=words)
        except (OSError, EOFError, BrokenStreamError) as error:
            self._end("lost", detail=str(error) or type(error).__name__)

    def _advance(self) -> None:
        data = self._connection.receive()
        if not data:
            raise EOFError("the connection ended before the command told its exit code")
        for kind, body in self._reader.feed(data):
            if kind == EXIT:
                code = int(body)
                self._end("signal" if code in _SIGNALS else "exit", code)
                return
            self._keep(kind, body)

    def _keep(self, kind: int, body: bytes) -> None:
        kept = body[: self._room]
        self._is_truncated |= len(kept) < len(body)
        self._room -= len(kept)
        if kept:
            self._kept[kind].append(kept)
        if kind == STDOUT:
            self._partial += body
            *whole, rest = self._partial.split(b"\n")
            self._lines.extend(line.decode("utf-8", "replace") for line in whole)
            self._partial = bytearray(rest)
            if len(rest) > _MAX_LINE_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._partial:
            self._lines.append(self._partial.decode("utf-8", "replace"))
            self._partial = bytearray()

    def _end(self, ended: Ended, code: int | None = None, detail: str = "") -> None:
        self._connection.close()
        self._flush()
        self.completed = Completed(
            rc=code,
            stdout=self._text(STDOUT),
            stderr=self._text(STDERR),
            ended=ended,
            seconds=self._connection.deadline.spent_s,
            detail=detail,
            is_truncated=self._is_truncated,
        )

    def _text(self, kind: int) -> str:
        return b"".join(self._kept[kind]).decode("utf-8", "replace")
