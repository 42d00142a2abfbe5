"""One link to one phone: run a command, stream it, push files, pull a file; every round trip is counted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from devices.adb import pushing, sync
from devices.adb.connection import MAX_REQUEST_BYTES, Connection, Deadline
from devices.adb.failures import ServerLost, link_failures
from devices.adb.quoting import join_words, quote_word, with_token
from devices.adb.server import AdbServer
from devices.adb.shell import (
    Completed,
    Ended,
    EventReader,
    PacketReader,
    SentinelReader,
    ShellStream,
    new_mark,
    sentinel_command,
)

__all__ = ["WORK_DIR", "AdbLink", "Completed", "Ended", "ShellStream"]

WORK_DIR = "/data/local/tmp/mnas"
# A little below adb's 64 KiB; adbd before Android 7 takes 4 KiB (Source: AOSP adb.h, MAX_PAYLOAD_V1).
_MAX_COMMAND_BYTES = 60 << 10
_MAX_OLD_COMMAND_BYTES = 3 << 10
_QUESTION_S = 10.0

Progress = Callable[[int, int], None]


class AdbLink:
    """A link to the phone behind one transport; it holds no connection between its calls.

    An error that is raised means that the command did not start. Once it runs, its end is in `Completed`, also when
    the phone is lost or the deadline passes.

    Args:
        server: On which the phone hangs.
        serial: Of the transport.

    Attributes:
        round_trips: Services that were opened on the phone so far.
    """

    def __init__(self, server: AdbServer, serial: str) -> None:
        self.server = server
        self.serial = serial
        self.round_trips = 0
        self._features: frozenset[str] | None = None

    @property
    def features(self) -> frozenset[str]:
        """What this adbd can do, e.g. ``shell_v2``; the adb server knows it from the phone's greeting.

        Raises:
            DeviceError: The phone is not there, or forbidden.
        """
        return self.learn(Deadline(_QUESTION_S))

    def learn(self, deadline: Deadline) -> frozenset[str]:
        """Return `features`, asking by a deadline when they are not known yet.

        Raises:
            DeviceError: The phone is not there, or forbidden.
        """
        if self._features is None:
            with (
                link_failures(f"adb server {self.server.address}", f"asking what {self.serial} can do", ServerLost),
                self.server.open(deadline, self.serial) as connection,
            ):
                connection.request(f"host-serial:{self.serial}:features")
                self._features = frozenset(connection.block().strip().split(",")) - {""}
        return self._features

    def forget(self) -> None:
        """Forget what was known of the phone, since another boot may be another adbd."""
        self._features = None

    def open(self, service: str, deadline: Deadline) -> Connection:
        """Open a service of the phone's adbd; the caller closes the connection.

        Raises:
            PhoneLost: The phone or the server is gone, or silent until the deadline.
            DeviceError: The phone is forbidden, or adb refuses otherwise.
        """
        # A phone that is gone gives words; a connection that ends without any is the server's end.
        with link_failures(f"adb server {self.server.address}", f"reaching {self.serial}", ServerLost):
            connection = self.server.open(deadline, self.serial)
            with _closed_on_error(connection):
                connection.request(f"host:transport:{self.serial}")
        self.round_trips += 1
        with link_failures(self.serial, "opening a service"), _closed_on_error(connection):
            connection.request(service)
        return connection

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        on_line: Callable[[str], None] | None = None,
        limit_bytes: int = 8 << 20,
        token: str = "",
    ) -> Completed:
        """Run a command and wait for its end.

        Args:
            argv: The program and its arguments, as they shall arrive; they are quoted here.
            deadline_s: For all of it, opening included. At the deadline the connection is closed and adbd sends HUP; a
                command that ignores that has to be killed by its token.
            on_line: Gets each line of stdout when it is there.
            limit_bytes: Of output that is kept.
            token: Exported as MNAS_TOKEN to the command, so that it and its children can be found.

        Raises:
            PhoneLost: The command did not start: the phone is gone, or silent.
            DeviceError: The command did not start.
        """
        return _finish(self.stream(argv, deadline_s=deadline_s, limit_bytes=limit_bytes, token=token), on_line)

    def run_script(
        self,
        text: str,
        *,
        deadline_s: float,
        on_line: Callable[[str], None] | None = None,
        limit_bytes: int = 8 << 20,
        token: str = "",
    ) -> Completed:
        """Run a shell script and wait for its end; one too long for a request is pushed first.

        Args:
            text: For the phone's ``sh``.
            deadline_s: As for `run`.
            on_line: As for `run`.
            limit_bytes: As for `run`.
            token: As for `run`.

        Raises:
            PhoneLost: As for `run`.
            DeviceError: As for `run`.
        """
        return _finish(self.stream(text, deadline_s=deadline_s, limit_bytes=limit_bytes, token=token), on_line)

    def stream(
        self, argv_or_script: Sequence[str] | str, *, deadline_s: float, limit_bytes: int = 8 << 20, token: str = ""
    ) -> ShellStream:
        """Start a command and return its lines as they come; ``.completed`` tells the rest afterwards.

        Args:
            argv_or_script: A text is a script, any other sequence is a program and its arguments.
            deadline_s: As for `run`.
            limit_bytes: As for `run`.
            token: As for `run`.

        Raises:
            PhoneLost: As for `run`.
            DeviceError: As for `run`.
        """
        deadline = Deadline(deadline_s)
        text = argv_or_script if isinstance(argv_or_script, str) else join_words(argv_or_script)
        self.learn(deadline)
        service, reader = self._service(with_token(text, token))
        if len(service.encode("utf-8", "surrogateescape")) > self._longest:
            service, reader = self._service(self._push_script(text, token, deadline))
        connection = self.open(service, deadline)
        return ShellStream(connection, reader, limit_bytes=limit_bytes, takes_stdin=isinstance(reader, PacketReader))

    @property
    def _longest(self) -> int:
        longest = _MAX_COMMAND_BYTES if "shell_v2" in self.features else _MAX_OLD_COMMAND_BYTES
        return min(longest, MAX_REQUEST_BYTES)

    def _service(self, text: str) -> tuple[str, EventReader]:
        if "shell_v2" in self.features:
            return f"shell,v2,raw:{text}", PacketReader()
        mark = new_mark()
        return f"exec:{sentinel_command(text, mark, f'{WORK_DIR}/old')}", SentinelReader(mark)

    def _push_script(self, text: str, token: str, deadline: Deadline) -> str:
        """Push a script that removes itself as it starts; return the command that runs it."""
        path = f"{WORK_DIR}/scripts/{secrets.token_hex(8)}.sh"
        body = f'rm -f -- "$0"\n{text}\n'.encode("utf-8", "surrogateescape")
        pushing.push_unverified(self, body, path, deadline=deadline)
        return with_token(f"exec sh {quote_word(path)}", token)

    def push(
        self,
        source: Path | bytes,
        remote: str,
        *,
        mode: int = 0o644,
        deadline_s: float,
        on_progress: Progress | None = None,
    ) -> None:
        """Put one file on the phone, whole and verified or not at all.

        Args:
            source: A file, or its content.
            remote: Where to; its folder is made.
            mode: Permission bits.
            deadline_s: For all of it.
            on_progress: Gets (bytes sent, bytes in all).

        Raises:
            PhoneLost: The link broke or stalled.
            FileRefused: The phone did not take it: full, read-only, not permitted ...
            ConfigError: ``ADB06``: the source cannot be read.
        """
        self.push_many({remote: source}, modes={remote: mode}, deadline_s=deadline_s, on_progress=on_progress)

    def push_many(
        self,
        files: Mapping[str, Path | bytes],
        *,
        modes: Mapping[str, int] | None = None,
        sha256s: Mapping[str, str] | None = None,
        deadline_s: float,
        on_progress: Progress | None = None,
    ) -> None:
        """Put files on the phone over one sync connection, verified by one shell command.

        Args:
            files: Path on the phone -> file, or its content. Their folders are made.
            modes: Permission bits by path on the phone; 0644 unless given.
            sha256s: What is known already of the files' hashes, by path on the phone.
            deadline_s: For all of it.
            on_progress: Gets (bytes sent, bytes in all).

        Raises:
            PhoneLost: The link broke or stalled.
            FileRefused: The phone did not take one; none of the files is in its place then, unless it was the rename
                that failed.
            ConfigError: ``ADB06``: a source cannot be read.
        """
        batch = pushing.PushBatch.of(files, modes or {}, sha256s or {})
        pushing.push(self, batch, deadline=Deadline(deadline_s), on_progress=on_progress)

    def pull(self, remote: str, target: Path, *, deadline_s: float) -> None:
        """Fetch a file from the phone, whole or not at all.

        Args:
            remote: The file; a folder is refused.
            target: Where to; its folder is made.
            deadline_s: For all of it.

        Raises:
            PhoneLost: The link broke or stalled.
            FileRefused: There is no such file, or it may not be read.
            StateError: ``ADB07``: the target cannot be written.
        """
        sync.pull(self, remote, target, deadline=Deadline(deadline_s))


@contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _finish(stream: ShellStream, on_line: Callable[[str], None] | None) -> Completed:
    try:
        for line in stream:
            if on_line is not None:
                on_line(line)
    finally:
        stream.close()
    assert stream.completed is not None
    return stream.completed
