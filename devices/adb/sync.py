"""The file service of adbd, under one deadline: look, list, send many files in one go, receive one.

Source: AOSP, packages/modules/adb/file_sync_protocol.h and SYNC.TXT. Version 1 of each request is used, which every
adbd has, and STA2 where the phone offers it, since that alone tells why a file cannot be looked at.
"""

from __future__ import annotations

import os
import selectors
import stat
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from devices.adb.connection import Connection, Deadline
from devices.adb.failures import FileRefused, broken_protocol, file_failure_of, link_failures
from mnas.errors import ConfigError, StateError

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

CHUNK_BYTES = 64 << 10
_MAX_PATH_BYTES = 1024
_MAX_WORDS_BYTES = 1 << 16
_PACKET = struct.Struct("<4sI")
_STAT = struct.Struct("<III")
_STAT2 = struct.Struct("<IQQIIIIQqqq")
_ENTRY = struct.Struct("<4sIIII")
# Files of the kernel say one page, or nothing, as their size.
_KERNEL_FOLDERS = ("/proc/", "/sys/")


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What a phone says of a file: its ``st_mode`` (0 when it cannot be looked at), size in bytes, and errno."""

    mode: int
    size_bytes: int
    errno: int = 0


class SyncSession:
    """One sync connection to a phone.

    Args:
        connection: On which ``sync:`` was accepted.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received = bytearray()
        self._awaited: list[str] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def close(self) -> None:
        """Close the connection."""
        self._selector.close()
        self._connection.close()

    def status(self, path: str, *, has_errno: bool) -> FileStatus:
        """Return what the phone says of a file.

        Args:
            path: On the phone. With errno a link is followed, without it the link itself is looked at.
            has_errno: The phone offers ``stat_v2``.

        Raises:
            ConfigError: ``ADB01``: the path is too long.
            PhoneLost: ``ADB27``: the answer is none.
            EOFError, OSError: The connection broke, or the deadline passed.
        """
        name = b"STA2" if has_errno else b"STAT"
        self._connection.send_all(_request(name, path))
        answer = self._connection.exactly(4)
        if answer != name:
            raise broken_protocol(self._connection.subject, answer)
        if has_errno:
            error, _, _, mode, _, _, _, size, *_ = _STAT2.unpack(self._connection.exactly(_STAT2.size))
            return FileStatus(mode, size, error)
        mode, size, _ = _STAT.unpack(self._connection.exactly(_STAT.size))
        return FileStatus(mode, size)

    def list(self, folder: str) -> dict[str, FileStatus]:
        """Return the files of a folder by name; a folder that is not there has none.

        Raises:
            ConfigError: ``ADB01``: the path is too long.
            PhoneLost: ``ADB27``: the answer is none.
            EOFError, OSError: The connection broke, or the deadline passed.
        """
        self._connection.send_all(_request(b"LIST", folder))
        found: dict[str, FileStatus] = {}
        while True:
            kind, mode, size, _, length = _ENTRY.unpack(self._connection.exactly(_ENTRY.size))
            if kind == b"DONE":
                return found
            if kind != b"DENT" or length > _MAX_WORDS_BYTES:
                raise broken_protocol(self._connection.subject, kind)
            name = self._connection.exactly(length).decode("utf-8", "surrogateescape")
            if name not in (".", ".."):
                found[name] = FileStatus(mode, size)

    def send(self, path: str, chunks: Iterable[bytes], mode: int, on_sent: Callable[[int], None] | None = None) -> None:
        """Send one file and do not wait for the phone's word on it; `finish` does, for all.

        Args:
            path: On the phone; its folder is made by adbd.
            chunks: The content, each at most `CHUNK_BYTES`.
            mode: Permission bits; adbd copies the owner's to group and others.
            on_sent: Gets the number of bytes of each chunk when it is on its way.

        Raises:
            FileRefused: The phone refused this file or one before it.
            EOFError, OSError: The connection broke, or the deadline passed.
        """
        self._awaited.append(path)
        self._push_out(_request(b"SEND", path, f",{stat.S_IFREG | mode}"))
        for chunk in chunks:
            self._push_out(_PACKET.pack(b"DATA", len(chunk)) + chunk)
            if on_sent is not None:
                on_sent(len(chunk))
        self._push_out(_PACKET.pack(b"DONE", int(time.time()) & 0xFFFFFFFF))

    def finish(self) -> None:
        """Wait until the phone has taken all files that were sent.

        Raises:
            FileRefused: It refused one.
            EOFError, OSError: The connection broke, or the deadline passed.
        """
        while self._awaited:
            self._collect()

    def receive(self, path: str) -> Iterator[bytes]:
        """Yield the content of a file.

        Raises:
            FileRefused: The phone refuses it.
            PhoneLost: ``ADB27``: the answer is none.
            EOFError, OSError: The connection broke, or the deadline passed.
        """
        self._connection.send_all(_request(b"RECV", path))
        while True:
            kind, length = _PACKET.unpack(self._connection.exactly(_PACKET.size))
            if kind == b"DONE":
                return
            if kind == b"FAIL":
                words = self._connection.exactly(min(length, _MAX_WORDS_BYTES))
                raise file_failure_of(words.decode("utf-8", "replace"), path)
            if kind != b"DATA" or length > CHUNK_BYTES:
                raise broken_protocol(self._connection.subject, (kind, length))
            yield self._connection.exactly(length)

    def _push_out(self, data: bytes) -> None:
        """Send while reading answers, so that a refusal ends it at once and no buffer fills up."""
        view = memoryview(data)
        while view:
            for _, ready in self._selector.select(self._connection.deadline.left_s()):
                if ready & selectors.EVENT_READ:
                    self._collect()
                elif ready & selectors.EVENT_WRITE:
                    view = view[self._connection.socket.send(view) :]

    def _collect(self) -> None:
        data = self._connection.receive()
        if not data:
            raise EOFError("the connection ended before the phone had taken the files")
        self._received += data
        while len(self._received) >= _PACKET.size:
            kind, length = _PACKET.unpack_from(self._received)
            if kind == b"OKAY" and self._awaited:
                del self._received[: _PACKET.size]
                del self._awaited[0]
            elif kind == b"FAIL":
                self._fail(min(length, _MAX_WORDS_BYTES))
            else:
                raise broken_protocol(self._connection.subject, bytes(self._received[: _PACKET.size]))

    def _fail(self, length: int) -> None:
        words = self._received[_PACKET.size :]
        if len(words) < length:
            words += self._connection.exactly(length - len(words))
        path = self._awaited[0] if self._awaited else ""
        raise file_failure_of(bytes(words[:length]).decode("utf-8", "replace"), path)


@contextmanager
def sync_session(link: AdbLink, deadline: Deadline, doing: str) -> Iterator[SyncSession]:
    """Open a sync connection to a phone and close it at the end.

    Args:
        link: To the phone.
        deadline: For all that happens in the session.
        doing: For the words of an error.

    Raises:
        PhoneLost: The link broke or stalled.
        FileRefused: The phone refused a file.
    """
    with link_failures(link.serial, doing):
        session = SyncSession(link.open("sync:", deadline))
        try:
            yield session
        finally:
            session.close()


def pull(link: AdbLink, remote: str, target: Path, *, deadline: Deadline) -> None:
    """Fetch a file through a temporary one beside the target; see `AdbLink.pull`.

    Raises:
        PhoneLost: The link broke or stalled, or less came than the phone had said.
        FileRefused: There is no such file, or it may not be read.
        StateError: ``ADB07``: the target cannot be written.
    """
    has_errno = "stat_v2" in link.learn(deadline)
    with sync_session(link, deadline, f"pulling {remote}") as session:
        status = session.status(remote, has_errno=has_errno)
        _require_file(remote, status)
        with _written(target) as file:
            size = 0
            for chunk in session.receive(remote):
                size += len(chunk)
                with _local_write(target):
                    file.write(chunk)
            if stat.S_ISREG(status.mode) and size < status.size_bytes and not remote.startswith(_KERNEL_FOLDERS):
                raise broken_protocol(link.serial, f"{size} of {status.size_bytes} bytes of {remote}")


def _require_file(remote: str, status: FileStatus) -> None:
    if status.errno:
        raise file_failure_of(os.strerror(status.errno), remote)
    if status.mode == 0:
        raise FileRefused(
            "ADB23",
            "there is no such file on the phone, or it may not be looked at",
            value=remote,
            fix="check the path",
        )
    if stat.S_ISDIR(status.mode):
        raise FileRefused("ADB28", "this path is a folder on the phone", value=remote, fix="name a file")


@contextmanager
def _local_write(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            "ADB07",
            "a file from the phone cannot be written here",
            value=f"{target}: {error}",
            fix="name another folder",
        ) from error


@contextmanager
def _written(target: Path) -> Iterator[IO[bytes]]:
    with _local_write(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        with _local_write(target):
            os.chmod(name, 0o644)
            os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_chunks(source: Path | bytes) -> Iterator[bytes]:
    """Yield the content of a file, or bytes, in pieces of at most `CHUNK_BYTES`.

    Raises:
        ConfigError: ``ADB06``: the file cannot be read.
    """
    if isinstance(source, bytes):
        for start in range(0, len(source), CHUNK_BYTES):
            yield source[start : start + CHUNK_BYTES]
        return
    try:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise ConfigError(
            "ADB06", "a file for the phone cannot be read", value=f"{source}: {error}", fix="check the path"
        ) from error


def _request(name: bytes, path: str, suffix: str = "") -> bytes:
    data = path.encode("utf-8", "surrogateescape")
    if not data or len(data) > _MAX_PATH_BYTES - len(suffix) or b"\0" in data:
        raise ConfigError(
            "ADB01", "no path that adb can send", value=path, fix=f"use 1 to {_MAX_PATH_BYTES} bytes without NUL"
        )
    return _PACKET.pack(name, len(data) + len(suffix)) + data + suffix.encode("ascii")
