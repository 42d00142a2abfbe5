"""A small adbd for states and faults that the real one cannot show; its shell is this machine's ``/bin/sh``.

Not a phone: paths below ``/data/local/tmp`` lie in a folder that is given, by plain replacement in each command.
Source: AOSP, packages/modules/adb/protocol.txt, SYNC.TXT, shell_protocol.h.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from software_phone.python_adbd_sync import serve_sync

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
_VERSION, _MAX_DATA = 0x01000001, 256 << 10
_HEADER = struct.Struct("<6I")
_WAIT_S = 20.0
TMP = "/data/local/tmp"


@dataclass
class Faults:
    """What this adbd does wrong; may be changed while it runs.

    Counts of bytes are over the life of one service: at that many bytes the whole link is cut, as when adbd dies.
    """

    unauthorized: bool = False  # asks for a key that no person will confirm
    silent: bool = False  # takes the connection and says nothing
    refuses_links: bool = False  # closes each new connection at once: the transport stays offline
    refuses_services: bool = False  # answers OPEN with CLSE
    dies_on_open: bool = False
    dies_after_out: int | None = None  # bytes that a service has sent: shell output, a pull
    dies_after_in: int | None = None  # bytes that a service has got: a push
    stalls_after_out: int | None = None
    stalls_after_in: int | None = None
    slow_s: float = 0.0  # before each packet that it sends
    push_words: str | None = None  # FAIL with these words for each SEND; "" is an empty FAIL
    pull_words: str | None = None
    lies_about_push: bool = False  # says OKAY and keeps other bytes
    lies_about_size: int = 0  # added to each size that STAT tells
    short_pull: int | None = None  # DONE after so many bytes
    no_exit_packet: bool = False
    garbage: bytes | None = None  # sent in place of a service's output
    path: str | None = None  # PATH of commands


@dataclass
class PythonAdbd:
    """The daemon; `start` it, `stop` ends all that it started.

    Args:
        root: Folder that holds what the phone has below /data/local/tmp.
        features: That it offers.
    """

    root: Path
    features: tuple[str, ...] = ("shell_v2", "cmd", "stat_v2", "fixed_push_mkdir")
    faults: Faults = field(default_factory=Faults)
    opened: list[str] = field(default_factory=list)

    def start(self) -> PythonAdbd:
        (self.root / TMP[1:]).mkdir(parents=True, exist_ok=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: set[_Link] = set()
        self.processes: set[subprocess.Popen[bytes]] = set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def local(self, remote: str) -> Path:
        """Return where a path of the phone lies here."""
        return self.root / remote.lstrip("/")

    def cut(self) -> None:
        """Cut every link, as when the cable is pulled."""
        for link in list(self._links):
            link.cut()

    def stop(self) -> None:
        self._listener.close()
        self.cut()
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_WAIT_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.faults.refuses_links:
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(self, connection)
            self._links.add(link)
            threading.Thread(target=link.serve, daemon=True).start()


class CutError(Exception):
    """The link or the stream is gone."""


class _Link:
    def __init__(self, adbd: PythonAdbd, connection: socket.socket) -> None:
        self.adbd = adbd
        self._connection = connection
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self.max_data = _MAX_DATA
        self._version = _VERSION

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        if self.adbd.faults.slow_s:
            time.sleep(self.adbd.faults.slow_s)
        checksum = sum(data) & 0xFFFFFFFF if self._version < _VERSION else 0
        header = _HEADER.pack(command, first, second, len(data), checksum, command ^ 0xFFFFFFFF)
        with self._lock:
            self._connection.sendall(header + data)

    def _exactly(self, count: int) -> bytes:
        data = bytearray(count)
        view, got = memoryview(data), 0
        while got < count:
            size = self._connection.recv_into(view[got:])
            if not size:
                raise EOFError
            got += size
        return bytes(data)

    def serve(self) -> None:
        try:
            while True:
                command, first, second, length, _, _ = _HEADER.unpack(self._exactly(_HEADER.size))
                self._take(command, first, second, self._exactly(length))
        except (OSError, EOFError):
            pass
        finally:
            self._connection.close()
            for stream in list(self._streams.values()):
                stream.end()
            self.adbd._links.discard(self)

    def _take(self, command: int, first: int, second: int, data: bytes) -> None:
        if self.adbd.faults.silent:
            return
        if command in (CNXN, AUTH):
            self._greet(command, first, second)
        elif command == OPEN:
            self._open(first, data.rstrip(b"\0").decode("utf-8", "surrogateescape"))
        elif (stream := self._streams.get(second)) is not None:
            if command == OKAY:
                stream.acknowledged.set()
            elif command == WRTE:
                stream.put(data)
            elif command == CLSE:
                stream.end()

    def _greet(self, command: int, first: int, second: int) -> None:
        if command == CNXN:
            self._version, self.max_data = min(first, _VERSION), min(second, _MAX_DATA)
        if self.adbd.faults.unauthorized:
            if command == CNXN or first == 2:  # a signature; a public key (3) waits for the owner for ever
                self.send(AUTH, 1, 0, os.urandom(20))
            return
        names = "ro.product.name=small;ro.product.model=Python adbd;ro.product.device=small;"
        banner = f"device::{names}features={','.join(self.adbd.features)}"
        self.send(CNXN, _VERSION, _MAX_DATA, banner.encode())

    def _open(self, remote: int, service: str) -> None:
        self.adbd.opened.append(service)
        if self.adbd.faults.dies_on_open:
            return self.cut()
        run = _service_of(service)
        if run is None or self.adbd.faults.refuses_services:
            return self.send(CLSE, 0, remote)
        stream = Stream(self, self._next, remote)
        self._streams[self._next] = stream
        self._next += 1
        self.send(OKAY, stream.local_id, remote)
        threading.Thread(target=self._serve_stream, args=(stream, service, run), daemon=True).start()

    def _serve_stream(self, stream: Stream, service: str, run: Callable[[Stream, str], None]) -> None:
        try:
            run(stream, service)
            self.send(CLSE, stream.local_id, stream.remote_id)
        except (CutError, OSError):
            pass
        finally:
            stream.end()
            self._streams.pop(stream.local_id, None)


class Stream:
    def __init__(self, link: _Link, local_id: int, remote_id: int) -> None:
        self.link, self.local_id, self.remote_id = link, local_id, remote_id
        self.acknowledged = threading.Event()
        self.ended = threading.Event()
        self._arrived = threading.Condition()
        self._input = bytearray()
        self._owes = False  # an OKAY for the last WRTE: the other side sends one at a time
        self._sending = threading.Lock()
        self._in = self._out = 0
        self.on_end: Callable[[], None] = lambda: None

    def end(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self.on_end()
        self.acknowledged.set()
        with self._arrived:
            self._arrived.notify_all()

    def _suffer(self, dies: int | None, stalls: int | None, count: int) -> None:
        if dies is not None and count >= dies:
            self.link.cut()
            raise CutError
        if stalls is not None and count >= stalls:
            self.ended.wait()
            raise CutError

    def put(self, data: bytes) -> None:
        with self._arrived:
            self._input += data
            self._owes = True
            self._arrived.notify_all()

    def read(self, count: int) -> bytes:
        faults = self.link.adbd.faults
        with self._arrived:
            while len(self._input) < count:
                if self.ended.is_set():
                    raise CutError
                if self._owes:
                    self._owes = False
                    self.link.send(OKAY, self.local_id, self.remote_id)
                self._arrived.wait()
            data = bytes(self._input[:count])
            del self._input[:count]
        self._in += count
        self._suffer(faults.dies_after_in, faults.stalls_after_in, self._in)
        return data

    def write(self, data: bytes) -> None:
        faults = self.link.adbd.faults
        limit = min((n for n in (faults.dies_after_out, faults.stalls_after_out) if n is not None), default=None)
        with self._sending:
            if limit is not None and self._out + len(data) > limit:
                self._write(data[: max(limit - self._out, 0)])
                self._suffer(faults.dies_after_out, faults.stalls_after_out, limit)
            self._write(data)

    def _write(self, data: bytes) -> None:
        self._out += len(data)
        for start in range(0, len(data), self.link.max_data):
            if self.ended.is_set():
                raise CutError
            self.acknowledged.clear()
            self.link.send(WRTE, self.local_id, self.remote_id, data[start : start + self.link.max_data])
            self.acknowledged.wait()


def _service_of(service: str) -> Callable[[Stream, str], None] | None:
    kind = service.partition(":")[0].partition(",")[0]
    return {"shell": _shell, "exec": _shell, "sync": serve_sync}.get(kind)


def _shell(stream: Stream, service: str) -> None:
    adbd = stream.link.adbd
    head, _, command = service.partition(":")
    is_v2 = "v2" in head.split(",")
    if adbd.faults.garbage is not None:
        return stream.write(adbd.faults.garbage)
    process = subprocess.Popen(
        ["/bin/sh", "-c", command.replace(TMP, str(adbd.local(TMP))).encode("utf-8", "surrogateescape")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if is_v2 else subprocess.STDOUT,
        env={"PATH": adbd.faults.path or os.environ["PATH"]},
        start_new_session=True,
    )
    adbd.processes.add(process)

    def hang_up() -> None:
        # As adbd does: to the shell alone. What has no terminal and no wish to go stays.
        if process.poll() is None:
            process.send_signal(signal.SIGHUP)

    stream.on_end = hang_up
    pipes = [(1, process.stdout), *([(2, process.stderr)] if is_v2 else [])]
    pumps = [
        threading.Thread(target=_pump, args=(stream, pipe, kind if is_v2 else 0), daemon=True) for kind, pipe in pipes
    ]
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    code = process.wait()
    adbd.processes.discard(process)
    if is_v2 and not adbd.faults.no_exit_packet:
        stream.write(struct.pack("<BIB", 3, 1, code if code >= 0 else 128 - code))


def _pump(stream: Stream, pipe: IO[bytes], kind: int) -> None:
    with pipe, contextlib.suppress(CutError, OSError):
        while data := os.read(pipe.fileno(), 1 << 16):
            stream.write(struct.pack("<BI", kind, len(data)) + data if kind else data)
