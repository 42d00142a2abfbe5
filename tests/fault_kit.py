"""Faults for whole runs on a software phone: what strikes, when it strikes, and what must be so afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from software_phone.adb_server import OwnAdbServer, wait_until
from software_phone.open_device import DeviceBench, assert_each_once, assert_left_as_found, pretended_models
from software_phone.phone import SoftwarePhone
from software_phone.processes import PhoneProcess

from devices.adb.device import AdbDevice
from devices.adb.journal import Journal
from devices.adb.lease import holder_of
from devices.measurement import Visit
from mnas.errors import MnasError

POLL_S = 0.001
STALL_S = 5.0
"""How long a link stands still: longer than the silence that the devices of these tests bear."""

_DOWN_S = 0.3
_SETTLE_S = 15.0
_STOP_S = 15.0


@dataclass
class Scene:
    """A software phone behind a proxy, with an adb server of its own, for one story.

    Args:
        phone: Started, and as it was at its start.
        own: The adb server; one that is killed is started again by `mend`.
        folder: For state, runners and models.
    """

    phone: SoftwarePhone
    own: OwnAdbServer
    folder: Path
    bench: DeviceBench = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bench = DeviceBench(self.phone, self.own, self.folder)

    @property
    def state(self) -> Path:
        """The state folder of the devices."""
        return self.folder / "state"

    def open(self, program: str = "instant_runner", options: str = "") -> AdbDevice:
        """Open a device that is soon out of patience."""
        return self.bench.open(program, options, deadline_s=2.0, silence_s=2.0, recovery_s=30.0)

    def launches(self) -> list[PhoneProcess]:
        """Return the runners that run on the phone."""
        return [one for one in self.phone.processes() if any(word.startswith("--graph") for word in one.command)]

    def cut(self) -> None:
        """Pull the cable and put it back."""
        self.bench.proxy.cut()

    def pause(self) -> None:
        """Let the link stand still for a second, which breaks nothing."""
        self.bench.proxy.stall()
        time.sleep(1.0)
        self.bench.proxy.resume()

    def stall(self) -> None:
        """Let the link stand still until it counts as broken, and be new afterwards."""
        self.bench.proxy.stall()
        time.sleep(STALL_S)
        self.bench.proxy.resume()
        self.bench.proxy.cut()

    def kill_adbd(self) -> None:
        """Let adbd die and come back."""
        self.phone.kill_adbd()
        time.sleep(_DOWN_S)
        self.phone.restart_adbd()

    def kill_server(self) -> None:
        """Let the adb server die; nobody but the code under test starts another."""
        self.own.process.kill()
        self.own.process.wait(_STOP_S)

    def reboot(self) -> None:
        """Let the phone start anew."""
        self.phone.reboot(down_s=_DOWN_S)

    def kill_runner(self) -> None:
        """Kill the runner, as the phone does when it is out of memory."""
        for one in self.launches():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.host_pid, signal.SIGKILL)

    def mend(self) -> None:
        """Bring link, adbd and adb server back, whatever was done to them."""
        self.bench.proxy.delay_s = 0.0
        self.bench.proxy.resume()
        self.phone.restart_adbd()
        if self.own.process.poll() is not None:
            replace_server(self.own)
        self.own.attach(self.bench.serial)

    def assert_free(self) -> None:
        """Nobody holds the phone, and nothing waits to be put back."""
        assert holder_of(self.phone.serial, folder=self.state) is None
        assert Journal(self.phone.serial, folder=self.state).pending() == []

    def assert_left_as_found(self) -> None:
        """The phone is as it was, apart from the cache, and free."""
        wait_until(lambda: self.phone.processes() == [], _SETTLE_S, f"stray processes: {self.phone.processes()}")
        assert_left_as_found(self.bench)
        assert self.phone.fixed_performance in ("", "false")
        self.assert_free()

    def assert_usable(self) -> None:
        """A later run works, and leaves the phone as it was before the first."""
        self.mend()
        visits = [Visit(model, 3, 0) for model in pretended_models(self.folder, 2)]
        with self.open() as device:
            assert_each_once(list(device.run(visits)), visits)
        self.assert_left_as_found()

    def close(self) -> None:
        """End the proxy; phone and server stay."""
        self.bench.close()


class Trap:
    """Strikes from a thread of its own as soon as a condition holds. Use it as a context manager.

    Leaving the block ends the wait and raises what the strike raised.

    Args:
        holds: The moment.
        strike: What happens then.
        times: How often at most; it waits for the moment each time.
    """

    def __init__(self, holds: Callable[[], bool], strike: Callable[[], None], *, times: int = 1) -> None:
        self._holds, self._strike, self._times = holds, strike, times
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self.has_struck = False
        self._thread = threading.Thread(target=self._watch, name="trap", daemon=True)

    def _watch(self) -> None:
        try:
            for _ in range(self._times):
                while not self._holds():
                    if self._ended.wait(POLL_S):
                        return
                self.has_struck = True
                self._strike()
                if self._ended.wait(10 * POLL_S):
                    return
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Trap:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error


@contextlib.contextmanager
def within(seconds: float, words: str) -> Iterator[None]:
    """Hold a block to the deadline of the code that it calls."""
    began = time.monotonic()
    yield
    spent = time.monotonic() - began
    assert spent < seconds, f"{words} took {spent:.1f} s of {seconds:g} s"


def replace_server(own: OwnAdbServer) -> None:
    """Start a server that ended anew, on its port; one that the code under test started there ends first."""
    with contextlib.suppress(MnasError):
        own.server.ask("host:kill", 5.0)
    wait_until(lambda: not _answers(own), _STOP_S, "the other adb server does not end")
    own.start()


def _answers(own: OwnAdbServer) -> bool:
    try:
        return own.server.version(2.0) > 0
    except MnasError:
        return False


def assert_told(error: MnasError, *codes: str, exit_code: int = 4) -> None:
    """An error is one line with its code and a remedy, and ends a command with the right status."""
    assert error.code in codes, error
    assert error.exit_code == exit_code and error.fix
    assert "\n" not in str(error) and str(error).startswith(error.code)
