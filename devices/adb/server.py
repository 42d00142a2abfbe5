"""The adb server: where it is, how it is started, and which phones hang on it."""

from __future__ import annotations

import math
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devices.adb.address import DEFAULT_PORT, NO_PHONES, VARIABLE, bad_address, parse_address, parse_port
from devices.adb.connection import Connection, Deadline
from devices.adb.failures import PhoneForbidden, ServerLost, broken_protocol, failure_of, link_failures
from devices.adb.parsers.numbers import number_of
from mnas.errors import DeviceError

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_QUESTION_S = 10.0
_POLL_S = 0.05
_MOST_SERIAL = 255
"""Characters; Android's own are at most 92, and names of hosts 253."""
_DETAIL = re.compile(r"^(\w+):(\S*)$")


@dataclass(frozen=True, slots=True)
class TransportRow:
    """One line of ``adb devices -l``.

    Attributes:
        serial: Of the transport: a USB serial or HOST:PORT.
        state: adb's own word or words: ``device``, ``offline``, ``no permissions (...); see [...]``.
        usb: Path of the USB port, or "".
        product: ``ro.product.name``, or "".
        model: ``ro.product.model`` with underscores, or "".
        device: ``ro.product.device``, or "".
        transport_id: The server's number of this transport; None when it does not tell.
    """

    serial: str
    state: str
    usb: str = ""
    product: str = ""
    model: str = ""
    device: str = ""
    transport_id: int | None = None


@dataclass(frozen=True, slots=True)
class AdbServer:
    """An adb server, here or on another machine.

    Attributes:
        host: Name or address.
        port: TCP port.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @classmethod
    def find(cls, text: str = "") -> AdbServer:
        """Return the server that is named, else the one that the environment names, else the local default.

        The order is MNAS_ADB, and then adb's: ADB_SERVER_SOCKET, ANDROID_ADB_SERVER_ADDRESS with
        ANDROID_ADB_SERVER_PORT.

        Args:
            text: ``HOST:PORT``, ``HOST``, ``[IPV6]:PORT``, or "" for the variables.

        Raises:
            ConfigError: ``ADB02``: no such address.
            DeviceError: ``ADB09``: the text, or MNAS_ADB, is ``none``: there are to be no phones.
        """
        text = text or os.environ.get(VARIABLE, "")
        if text == NO_PHONES:
            raise DeviceError(
                "ADB09",
                "phones are switched off",
                value=text,
                why=f"--adb or {VARIABLE} says so",
                fix="name a server of adb, or leave it out for the usual one",
            )
        if text:
            return cls(*parse_address(text, "--adb"))
        return cls._from_variables(os.environ)

    @classmethod
    def _from_variables(cls, variables: Mapping[str, str]) -> AdbServer:
        name = "ADB_SERVER_SOCKET"
        if socket_text := variables.get(name, ""):
            kind, _, address = socket_text.partition(":")
            if kind != "tcp":
                raise bad_address(socket_text, name, "only tcp:HOST:PORT or tcp:PORT is supported")
            # `tcp:5038` is a port of this machine (Source: AOSP adb, socket_spec.cpp).
            return cls(*parse_address(f"127.0.0.1:{address}" if address.isdigit() else address, name))
        host = variables.get("ANDROID_ADB_SERVER_ADDRESS", "") or "127.0.0.1"
        port = variables.get("ANDROID_ADB_SERVER_PORT", "") or str(DEFAULT_PORT)
        return cls(host, parse_port(port, port, "ANDROID_ADB_SERVER_PORT"))

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, so that it may be started from here."""
        return self.host in _LOCAL_HOSTS

    @property
    def binary(self) -> str:
        """The adb program: ADBUTILS_ADB_PATH, PATH, or the one that adbutils brings.

        Raises:
            DeviceError: ``ADB04``: there is none.
        """
        # Here, because adbutils takes a fifth of a second to import and only this needs it.
        from adbutils import AdbError, adb_path

        try:
            return str(adb_path())
        except AdbError as error:
            raise DeviceError(
                "ADB04", "no adb program was found", value=str(error), fix="install adb, or set ADBUTILS_ADB_PATH"
            ) from error

    def open(self, deadline: Deadline, subject: str = "") -> Connection:
        """Return a fresh connection to the server; it never starts one.

        Args:
            deadline: For all that will happen on the connection.
            subject: Serial that the connection is for, for the words of an error.

        Raises:
            ServerLost: ``ADB03``: nobody answers there.
            TimeoutError: The deadline passed.
        """
        return Connection(self.host, self.port, deadline, subject)

    def version(self, deadline_s: float = _QUESTION_S) -> int:
        """Return the server's protocol version, e.g. 41.

        Raises:
            DeviceError: It does not answer as an adb server does.
        """
        answer = self.ask("host:version", deadline_s)
        if not re.fullmatch(r"[0-9a-fA-F]{1,8}", answer):
            raise ServerLost("ADB03", "this is no adb server", value=f"{self.address}: {answer}")
        return int(answer, 16)

    def ask(self, request: str, deadline_s: float = _QUESTION_S) -> str:
        """Send one request to the server and return the text of its answer.

        Raises:
            DeviceError: By the words of the answer, or the server is lost.
        """
        with self._question(request, deadline_s) as connection:
            return connection.block()

    @contextmanager
    def _question(self, request: str, deadline_s: float) -> Iterator[Connection]:
        with (
            link_failures(f"adb server {self.address}", f"asking {request}", ServerLost),
            self.open(Deadline(deadline_s)) as connection,
        ):
            connection.request(request)
            yield connection

    def ensure_running(self, deadline_s: float = 15.0) -> None:
        """Start the server when it is this machine's and does not run; a remote one is only asked.

        Raises:
            ServerLost: ``ADB03``: a remote one does not answer.
            DeviceError: ``ADB04``: the local one cannot be started.
        """
        deadline = Deadline(deadline_s)
        try:
            self.version(deadline_s)
            return
        except ServerLost:
            if not self.is_local:
                raise
        said = self._start(deadline)
        while True:
            try:
                self.version(max(deadline_s - deadline.spent_s, _POLL_S))
                return
            except ServerLost as error:
                if deadline.spent_s >= deadline_s:
                    raise DeviceError(
                        "ADB04",
                        f"the adb server did not start within {deadline_s:g} s",
                        value=said or self.address,
                        fix=f"run `{self.binary} -P {self.port} nodaemon server` and read what it says",
                    ) from error
            time.sleep(_POLL_S)

    def _start(self, deadline: Deadline) -> str:
        """Run ``adb start-server`` and return what it printed."""
        # A file, because the server keeps what it inherits open and a pipe would never end.
        with tempfile.TemporaryFile() as output:
            try:
                subprocess.run(
                    [self.binary, "-P", str(self.port), "start-server"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=deadline.left_s(),
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                return str(error)
            except OSError as error:
                raise DeviceError(
                    "ADB04",
                    "the adb program cannot be run",
                    value=self.binary,
                    why=str(error),
                    fix="install adb, or set ADBUTILS_ADB_PATH",
                ) from error
            output.seek(0)
            return output.read(2000).decode("utf-8", "replace").strip()

    def states(self) -> dict[str, str]:
        """Return adb's own word for the state of each transport, by serial.

        Raises:
            ServerLost: The server does not answer.
            PhoneLost: ``ADB27``: what it says cannot be.
        """
        states = _parse_states(self.ask("host:devices"))
        self._require_serials(states)
        return states

    def details(self) -> list[TransportRow]:
        """Return what ``adb devices -l`` shows.

        Raises:
            ServerLost: The server does not answer.
            PhoneLost: ``ADB27``: what it says cannot be.
        """
        rows = [_parse_row(line) for line in self.ask("host:devices-l").splitlines() if line.strip()]
        self._require_serials(row.serial for row in rows)
        return rows

    def connect(self, address: str, deadline_s: float) -> str:
        """Connect to a phone over TCP and return the server's words.

        The words are what counts: a refused connection comes with OKAY too.

        Args:
            address: ``HOST:PORT`` of the phone's adbd.
            deadline_s: Seconds until then.

        Raises:
            PhoneForbidden: ``ADB12``: the phone asks its owner first.
            DeviceError: ``ADB05``: it did not connect.
        """
        answer = self.ask(f"host:connect:{address}", deadline_s).strip()
        words = answer.lower()
        if words.startswith(("connected to", "already connected to")):
            return answer
        failure = failure_of(answer, address)
        if isinstance(failure, PhoneForbidden):
            raise failure
        raise DeviceError(
            "ADB05",
            "the phone does not take the connection",
            value=answer,
            fix="check address and port; on the phone: wireless debugging on, or `adb tcpip 5555` once over USB",
        )

    def disconnect(self, address: str) -> None:
        """Drop a TCP connection to a phone; one that is not there is fine.

        Raises:
            ServerLost: The server does not answer.
        """
        try:
            self.ask(f"host:disconnect:{address}")
        except ServerLost:
            raise
        except DeviceError as error:
            if error.code != "ADB10":
                raise

    def track(self, deadline_s: float | None = None) -> Iterator[dict[str, str]]:
        """Yield the states of all transports now and after each change, until the deadline.

        Args:
            deadline_s: Seconds until it ends by itself; None for never.

        Raises:
            PhoneLost: The server ended, or ``ADB27``: what it says cannot be.
        """
        deadline = math.inf if deadline_s is None else deadline_s
        with self._question("host:track-devices", deadline) as connection:
            while True:
                try:
                    text = connection.block()
                except TimeoutError:
                    return
                states = _parse_states(text)
                self._require_serials(states)
                yield states

    def _require_serials(self, serials: Iterable[str]) -> None:
        """Check that each can stand in a request."""
        longest = max(map(len, serials), default=0)
        if longest > _MOST_SERIAL:
            raise broken_protocol(self.address, f"a serial of {longest} characters")

    def link(self, serial: str) -> AdbLink:
        """Return a link to one phone; nothing is sent yet."""
        from devices.adb.link import AdbLink

        return AdbLink(self, serial)


def _parse_states(text: str) -> dict[str, str]:
    rows = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {serial.strip(): state.strip() for serial, state in rows}


def _parse_row(line: str) -> TransportRow:
    # The server pads the serial with spaces, and its states may hold some: what is `name:value` stands at the end.
    serial, _, rest = line.strip().partition(" ")
    if line.startswith("(no serial number)"):
        serial, rest = "(no serial number)", line.removeprefix("(no serial number)")
    words = rest.split()
    fields: dict[str, str] = {}
    while words and (match := _DETAIL.match(words[-1])):
        fields[match[1]] = match[2]
        words.pop()
    number = number_of(fields.get("transport_id", ""))
    known = {name: fields.get(name, "") for name in ("usb", "product", "model", "device")}
    return TransportRow(serial, " ".join(words), transport_id=number, **known)
