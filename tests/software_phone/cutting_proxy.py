"""A TCP proxy that cuts, stalls and delays: on command, or after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["up", "down"]


@dataclass
class CuttingProxy:
    """Stands between a client and a server; ``up`` is from the client to the server.

    Args:
        host: Of the server.
        port: Of the server.

    Attributes:
        delay_s: Before each piece that is passed on.
        refuses: New connections are closed at once.
        passed: Bytes that went through, by direction, over all connections.
    """

    host: str
    port: int
    delay_s: float = 0.0
    refuses: bool = False
    passed: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    def start(self) -> CuttingProxy:
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._limits: dict[str, tuple[int, str]] = {}
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.listen_port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listen_port}"

    def cut(self) -> None:
        """End every connection; new ones are taken again."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Pass nothing on, and say nothing."""
        self._flowing.clear()

    def resume(self) -> None:
        """Pass on again, what has waited included."""
        self._limits.clear()
        self._flowing.set()

    def cut_after(self, count: int, direction: Direction) -> None:
        """Cut when so many more bytes have gone that way."""
        self._limits[direction] = (self.passed[direction] + count, "cut")

    def stall_after(self, count: int, direction: Direction) -> None:
        """Stall when so many more bytes have gone that way."""
        self._limits[direction] = (self.passed[direction] + count, "stall")

    def stop(self) -> None:
        self._listener.close()
        self.refuses = True
        self.resume()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            try:
                server = socket.create_connection((self.host, self.port), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._sockets |= {client, server}
            for source, target, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pass_on, args=(source, target, direction), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._one(target, data, direction)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()
        self._sockets.discard(source)

    def _one(self, target: socket.socket, data: bytes, direction: str) -> None:
        self._flowing.wait()
        if self.delay_s:
            time.sleep(self.delay_s)
        with self._lock:
            limit, what = self._limits.get(direction, (None, ""))
            room = len(data) if limit is None else max(limit - self.passed[direction], 0)
            head, rest = data[:room], data[room:]
            self.passed[direction] += len(head)
            if rest or room == 0:
                self._limits.pop(direction, None)
        target.sendall(head)
        if not rest:
            return
        if what == "cut":
            return self.cut()
        self.stall()
        self._flowing.wait()
        self.passed[direction] += len(rest)
        target.sendall(rest)
