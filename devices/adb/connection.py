"""One connection to an adb server, with one deadline for all that happens on it."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import time
from collections.abc import Callable

from devices.adb.failures import ServerLost, broken_protocol, failure_of

# The length of a request is four hexadecimal digits (Source: AOSP adb, docs/dev/overview.md, "smart socket").
MAX_REQUEST_BYTES = 0xFFFF


class Deadline:
    """A moment by which all has to be done.

    Args:
        seconds: From now on; infinity for none.
        clock: Seconds on a clock that only runs forward.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._start = clock()

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def left_s(self) -> float | None:
        """Return the seconds that are left, None when there is no deadline.

        Raises:
            TimeoutError: None are left.
        """
        if math.isinf(self.seconds):
            return None
        left = self.seconds - self.spent_s
        if left <= 0:
            raise TimeoutError(f"{self.seconds:g} s are over")
        return left


class Connection:
    """A connection to an adb server on which each use of the socket gets the time that is left, and no more.

    Not adbutils' own: that has a timeout for each single recv, starts a *local* server when a *remote* one does not
    answer, sends with `socket.send`, which may send a part, and sleeps when it closes.

    Args:
        host: Of the adb server.
        port: Of the adb server.
        deadline: For all that happens on this connection.
        subject: Serial or address, for the words of an error.

    Raises:
        ServerLost: ``ADB03``: no adb server answers there.
        TimeoutError: The deadline passed.
    """

    def __init__(self, host: str, port: int, deadline: Deadline, subject: str = "") -> None:
        self.deadline = deadline
        self.subject = subject or f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout=deadline.left_s())
        except TimeoutError:
            raise
        except OSError as error:
            raise ServerLost(
                "ADB03",
                "no adb server answers",
                value=f"{host}:{port}: {error}",
                fix="start it there with `adb start-server`, or name another with --adb HOST:PORT",
            ) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def socket(self) -> socket.socket:
        """The socket, its timeout set to what is left of the deadline.

        Raises:
            TimeoutError: Nothing is left.
        """
        self._socket.settimeout(self.deadline.left_s())
        return self._socket

    def send_all(self, data: bytes | memoryview) -> None:
        """Send all of the data.

        Raises:
            TimeoutError: The deadline passed.
            OSError: The connection broke.
        """
        self.socket.sendall(data)

    def receive(self, most: int = 1 << 16) -> bytes:
        """Return what has come, at least one byte; b"" at the end of the connection.

        Raises:
            TimeoutError: The deadline passed.
            OSError: The connection broke.
        """
        return self.socket.recv(most)

    def exactly(self, count: int) -> bytes:
        """Return exactly so many bytes.

        Raises:
            TimeoutError: The deadline passed.
            EOFError: The connection ended before.
            OSError: The connection broke.
        """
        parts = bytearray()
        while len(parts) < count:
            part = self.receive(count - len(parts))
            if not part:
                raise EOFError(f"the connection ended after {len(parts)} of {count} bytes")
            parts += part
        return bytes(parts)

    def request(self, text: str) -> None:
        """Send a request and wait for OKAY.

        Raises:
            DeviceError: By the words of the answer.
            TimeoutError: The deadline passed.
            EOFError: The connection ended before.
            OSError: The connection broke.
        """
        data = text.encode("utf-8", "surrogateescape")
        if len(data) > MAX_REQUEST_BYTES:
            raise ValueError(f"a request of {len(data)} bytes is over adb's {MAX_REQUEST_BYTES}")
        self.send_all(b"%04x" % len(data) + data)
        answer = self.exactly(4)
        if answer == b"FAIL":
            raise failure_of(self.block(), self.subject)
        if answer != b"OKAY":
            raise broken_protocol(self.subject, answer)

    def block(self) -> str:
        """Return a text that comes with its length before it.

        Raises:
            PhoneLost: ``ADB27``: no length came.
            TimeoutError: The deadline passed.
            EOFError: The connection ended before.
            OSError: The connection broke.
        """
        digits = self.exactly(4)
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise broken_protocol(self.subject, digits)
        return self.exactly(int(digits, 16)).decode("utf-8", "replace")

    def close(self) -> None:
        """Close at once; a second call does nothing."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
