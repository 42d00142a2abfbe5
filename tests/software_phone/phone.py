"""A software phone: Debian's real adbd with a shell, in namespaces of its own, behind a port of the loopback.

The phone has its own processes, mounts and network. From outside only its ports on 127.0.0.1 lead to it, since an adbd
that asks for no key must not be reached from elsewhere. It ends with this process, whatever happens to it: the phone's
first process reads a pipe whose other end is held here, and its namespaces end with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from software_phone.build import Image, build_image
from software_phone.fetch import PhoneUnavailable
from software_phone.processes import PhoneProcess, child_of, is_listening, list_processes
from software_phone.properties import phone_properties
from software_phone.state import PhoneState

WORK_FOLDER = "/data/local/tmp"
_ADBD_PORT = 7601
_SHELL_UID = 2000
_DEADLINE_S = 20.0
_ENTER = Path(__file__).parent / "programs" / "enter.sh"


class SoftwarePhone(PhoneState):
    """One phone; a context manager.

    Args:
        image: What it is made of; None builds or finds it.
        model: ``ro.product.model``.
        serial: ``ro.serialno``; "" makes one.
        properties: Further properties.
        capacities: ``cpu_capacity`` by core; None takes this machine's cores, half little, half big.
        rooted: Its shell is root; else it is user 2000 as on a phone of the shop.
        storage_mb: Size of ``/data/local/tmp``, in memory.
        noexec: Nothing in ``/data/local/tmp`` can be executed.
        transports: Over how many ports it is reached.
        ports: Its ports on 127.0.0.1; 0 and what is missing is any free one.

    Raises:
        PhoneUnavailable: This machine cannot build or run one; the text says why.
    """

    def __init__(
        self,
        image: Image | None = None,
        *,
        model: str = "Software Phone",
        serial: str = "",
        properties: Mapping[str, str] | None = None,
        capacities: Mapping[int, int] | None = None,
        rooted: bool = False,
        storage_mb: int = 512,
        noexec: bool = False,
        transports: int = 1,
        ports: Sequence[int] = (),
    ) -> None:
        self.image = image or build_image()
        self.serial = serial or f"SOFT{uuid.uuid4().hex[:8].upper()}"
        self.folder = Path(tempfile.mkdtemp(prefix="mnas-software-phone-"))
        super().__init__(self.folder, capacities or own_capacities())
        self._rooted = rooted
        self._storage = f"size={storage_mb}m,{'noexec' if noexec else 'exec'}"
        self._ports = [*ports, *[0] * (transports - len(ports))]
        self._process: subprocess.Popen[bytes] | None = None
        self._held: IO[str] | None = None
        self._init_pid = 0
        self._one_order = threading.Lock()
        (self.folder / "root").mkdir()
        self._make_folders()
        self.set_properties(phone_properties(self.serial, model, properties or {}))
        self.reset_state()

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT`` for ``adb connect``; the first of them."""
        return self.addresses[0]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses; each is one transport to the same phone."""
        return tuple(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def work_folder(self) -> Path:
        """Its ``/data/local/tmp`` as this machine sees it, while it is started."""
        return Path(f"/proc/{self._init_pid}/root{WORK_FOLDER}")

    def start(self) -> Self:
        """Start it with its adbd, and return when adbd listens.

        Raises:
            PhoneUnavailable: Its namespaces or its mounts were refused.
            OSError: A port that was named is taken.
        """
        if self._process is not None:
            return self
        try:
            self._held = self.image.hold()
            with contextlib.ExitStack() as stack:
                listeners = [stack.enter_context(_listen(port)) for port in self._ports]
                self._ports = [listener.getsockname()[1] for listener in listeners]
                self._process = self._launch([listener.fileno() for listener in listeners])
            self._wait(self._find_init, "its first process did not start")
            self.restart_adbd()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End it with all that runs in it, and remove its folder; may be called again."""
        self.stop_playing()
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                # Its first process dies with it, and all others with that one.
                process.kill()
                process.wait()
        if self._held is not None:
            self._held.close()
            self._held = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_adbd(self) -> None:
        """Kill adbd alone: links break, what it had started runs on."""
        self._order("k")

    def restart_adbd(self) -> None:
        """Start adbd where it does not run, and return when it listens."""
        self._order("s")
        self._wait(lambda: is_listening(self._init_pid, _ADBD_PORT), "adbd does not listen")

    def freeze(self) -> None:
        """Stop adbd where it stands: the link stays up and nothing is answered."""
        self._order("z")

    def thaw(self) -> None:
        """Let a frozen adbd go on."""
        self._order("c")

    def reboot(self, down_s: float = 0.0) -> str:
        """Kill everything, wait, and start again with another boot id, which is returned; files and settings stay."""
        self._order("r")
        fresh = self.set_boot_id()
        time.sleep(down_s)
        self.restart_adbd()
        return fresh

    def reset(self) -> None:
        """Bring it back to how it started, apart from boot id, serial and properties: state, strays, files, adbd."""
        self.thaw()
        self.kill_processes()
        for path in self.work_folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.reset_state()
        self.restart_adbd()

    def processes(self) -> list[PhoneProcess]:
        """Return what runs in it apart from its init and adbd; with no link open that is strays alone."""
        return list_processes(self._init_pid) if self._process else []

    def kill_processes(self) -> None:
        """Kill all that `processes` lists, and return when none is left."""

        def are_gone() -> bool:
            alive = self.processes()
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.host_pid, signal.SIGKILL)
            return not alive

        self._wait(are_gone, "processes of the phone do not end")

    def files(self, path: str = WORK_FOLDER) -> dict[str, int]:
        """Return all files below a folder of the phone with their sizes in bytes, by path relative to it."""
        root = Path(f"/proc/{self._init_pid}/root{path}")
        found = (file for file in root.rglob("*") if not file.is_dir() or file.is_symlink())
        return {str(file.relative_to(root)): file.lstat().st_size for file in found}

    def log(self) -> str:
        """Return what its init and its adbd wrote to stderr."""
        path = self.folder / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def _launch(self, listeners: Sequence[int]) -> subprocess.Popen[bytes]:
        state, system, root = (str(self.folder / name) for name in ("state", "sys", "root"))
        namespaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        user = "0" if self._rooted else str(_SHELL_UID)
        init = [user, "/system/bin/adbd", str(_ADBD_PORT), *map(str, listeners)]
        enter = ["sh", str(_ENTER), str(self.image.root), root, state, system, self._storage]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                ["unshare", *namespaces, *enter, *init],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=listeners,
                start_new_session=True,  # Ctrl-C at a terminal ends the test, which then ends the phone
                bufsize=0,
            )

    def _find_init(self) -> int:
        self._init_pid = self._init_pid or child_of(self._process.pid if self._process else 0)
        return self._init_pid

    def _order(self, letter: str) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the software phone is not started")
        with self._one_order:
            try:
                process.stdin.write(letter.encode())
            except OSError as error:
                raise PhoneUnavailable(f"the software phone ended: {self.log()[-400:]}") from error
            ready, _, _ = select.select([process.stdout], [], [], _DEADLINE_S)
            if not ready or process.stdout.read(1) != letter.encode():
                raise PhoneUnavailable(f"the software phone did not do {letter!r}: {self.log()[-400:]}")

    def _wait(self, is_so: Callable[[], object], complaint: str) -> None:
        until = time.monotonic() + _DEADLINE_S
        while not is_so():
            if time.monotonic() > until or (self._process and self._process.poll() is not None):
                raise PhoneUnavailable(f"{complaint}: {self.log()[-400:]}")
            time.sleep(0.005)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def own_capacities() -> dict[int, int]:
    """Return capacities for this machine's cores: the lower half little, the upper half big, at least one big."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return {core: 400 if place < half else 1024 for place, core in enumerate(cores)}


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=16)
