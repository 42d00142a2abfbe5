"""The file service of the small adbd: STAT, STA2, LIST, SEND and RECV of version 1.

Source: AOSP, packages/modules/adb/SYNC.TXT, file_sync_protocol.h.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from software_phone.python_adbd import Stream

_PACKET = struct.Struct("<4sI")
_STAT2 = struct.Struct("<4sIQQIIIIQqqq")


def serve_sync(stream: Stream, _: str) -> None:
    """Serve one sync connection until it ends."""
    requests = {
        b"STAT": _stat,
        b"STA2": _stat2,
        b"LST2": _stat2,
        b"LIST": _list,
        b"SEND": _take_file,
        b"RECV": _give_file,
    }
    while True:
        name, length = _PACKET.unpack(stream.read(_PACKET.size))
        if name == b"QUIT":
            return
        path = stream.read(length).decode("utf-8", "surrogateescape")
        if stream.link.adbd.faults.garbage is not None:
            stream.write(stream.link.adbd.faults.garbage)
        elif name in requests:
            requests[name](stream, path, name)
        else:
            return _fail(stream, f"unknown command {name!r}")


def _fail(stream: Stream, words: str) -> None:
    data = words.encode()
    stream.write(_PACKET.pack(b"FAIL", len(data)) + data)


def _look(stream: Stream, path: str) -> tuple[int, os.stat_result | None]:
    try:
        return 0, stream.link.adbd.local(path).stat()
    except OSError as error:
        return error.errno or 5, None


def _stat(stream: Stream, path: str, name: bytes) -> None:
    _, seen = _look(stream, path)
    size = seen.st_size + stream.link.adbd.faults.lies_about_size if seen else 0
    stream.write(struct.pack("<4sIII", name, seen.st_mode if seen else 0, size, int(seen.st_mtime) if seen else 0))


def _stat2(stream: Stream, path: str, name: bytes) -> None:
    error, seen = _look(stream, path)
    size = seen.st_size + stream.link.adbd.faults.lies_about_size if seen else 0
    stream.write(_STAT2.pack(name, error, 0, 0, seen.st_mode if seen else 0, 1, 0, 0, size, 0, 0, 0))


def _list(stream: Stream, path: str, _: bytes) -> None:
    with contextlib.suppress(OSError):
        for entry in sorted(stream.link.adbd.local(path).iterdir()):
            name, seen = os.fsencode(entry.name), entry.lstat()
            stream.write(
                struct.pack("<4sIIII", b"DENT", seen.st_mode, seen.st_size, int(seen.st_mtime), len(name)) + name
            )
    stream.write(struct.pack("<4sIIII", b"DONE", 0, 0, 0, 0))


def _take_file(stream: Stream, path: str, _: bytes) -> None:
    remote, _, mode = path.rpartition(",")
    local, faults = stream.link.adbd.local(remote), stream.link.adbd.faults
    words = faults.push_words
    with contextlib.ExitStack() as stack:
        file: IO[bytes] | None = None
        if words is None:
            try:
                local.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(local.open("wb"))
            except OSError as error:
                words = f"couldn't create file: {os.strerror(error.errno or 5)}"
        if words is not None:
            _fail(stream, words)  # at once, and the rest is read and dropped, as adbd does
        for data in _incoming(stream):
            if file is not None:
                file.write(bytes(len(data)) if faults.lies_about_push else data)
    if words is None:
        bits = int(mode) & 0o700
        local.chmod(bits | bits >> 3 | bits >> 6)
        stream.write(_PACKET.pack(b"OKAY", 0))


def _incoming(stream: Stream) -> Iterator[bytes]:
    while True:
        name, length = _PACKET.unpack(stream.read(_PACKET.size))
        if name == b"DONE":
            return
        yield stream.read(length)


def _give_file(stream: Stream, path: str, _: bytes) -> None:
    faults, sent = stream.link.adbd.faults, 0
    if faults.pull_words is not None:
        return _fail(stream, faults.pull_words)
    try:
        file = stream.link.adbd.local(path).open("rb")
    except OSError as error:
        return _fail(stream, f"open failed: {os.strerror(error.errno or 5)}")
    with file:
        while data := file.read(64 << 10):
            if faults.short_pull is not None:
                data = data[: max(faults.short_pull - sent, 0)]
            if data:
                stream.write(_PACKET.pack(b"DATA", len(data)) + data)
            sent += len(data)
    stream.write(_PACKET.pack(b"DONE", 0))
