"""An adb server of the tests' own: on a free port, in a folder of its own, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adbutils import adb_path

from devices.adb.server import AdbServer
from mnas.errors import DeviceError

_START_S = 30.0
_STOP_S = 10.0
_ATTACH_S = 20.0


def free_port() -> int:
    """Return a port that is free just now and no emulator's: adb looks for those from 5555 to 5585."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port > 7000:
            return port


def server_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which adb keeps its keys in a folder and neither asks the network nor scans ports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ADB_", "ANDROID_"))}
    quiet = {"ADB_MDNS": "0", "ADB_MDNS_OPENSCREEN": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553"}
    return {**kept, **quiet, "HOME": str(folder), "ANDROID_USER_HOME": str(folder), "TMPDIR": str(folder)}


@dataclass
class OwnAdbServer:
    """An adb server in the foreground of a child process.

    Args:
        folder: For its keys and its log.
        port: To listen on; a free one unless given.
    """

    folder: Path
    port: int = 0

    def start(self) -> OwnAdbServer:
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "adb.log").open("ab") as log:
            self.process = subprocess.Popen(
                [adb_path(), "-P", str(self.port), "nodaemon", "server"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=server_environment(self.folder),
            )
        wait_until(self._answers, _START_S, "the adb server did not start")
        return self

    def _answers(self) -> bool:
        try:
            return self.server.version() > 0
        except DeviceError:
            return False

    @property
    def server(self) -> AdbServer:
        return AdbServer("127.0.0.1", self.port)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_STOP_S)

    def attach(self, address: str) -> str:
        """Connect to an adbd, wait until it is ready and return its serial.

        A connect may be answered "already connected" by a transport that is just ending: it is asked for again then.
        """
        self.server.connect(address, _ATTACH_S)

        def is_ready() -> bool:
            state = self.server.states().get(address)
            if state is None:
                with contextlib.suppress(DeviceError):
                    self.server.connect(address, _ATTACH_S)
            return state == "device"

        wait_until(is_ready, _ATTACH_S, f"{address} did not become ready")
        return address


def wait_until(holds: Callable[[], bool], seconds: float, words: str) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It did not in time.
    """
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(words)
        time.sleep(0.02)
