"""A shell on software phones by the plain adb client, so that nothing of the tool stands between."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from adbutils import adb_path
from software_phone.adb_server import OwnAdbServer, server_environment
from software_phone.phone import SoftwarePhone


@dataclass
class Adb:
    """The adb client on a server of its own."""

    own: OwnAdbServer

    def call(self, *words: str, deadline_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Call adb; it ends within the deadline."""
        return subprocess.run(
            [adb_path(), "-P", str(self.own.port), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            env=server_environment(self.own.folder),
        )

    def run(self, phone: SoftwarePhone, script: str, deadline_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a script in the phone's shell, attached where it is not."""
        if self.own.server.states().get(phone.address) != "device":
            self.own.attach(phone.address)
        return self.call("-s", phone.address, "shell", script, deadline_s=deadline_s)

    def say(self, phone: SoftwarePhone, script: str) -> str:
        """Run a script that succeeds, and return what it prints."""
        done = self.run(phone, script)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def push(self, phone: SoftwarePhone, *paths: object) -> subprocess.CompletedProcess[str]:
        """Push files into the phone's ``/data/local/tmp``."""
        self.run(phone, "true")
        return self.call("-s", phone.address, "push", *map(str, paths), "/data/local/tmp/")


@pytest.fixture(scope="session")
def adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    own = OwnAdbServer(tmp_path_factory.mktemp("adb")).start()
    yield Adb(own)
    own.stop()
