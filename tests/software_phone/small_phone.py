"""A small phone as tests see it: the adbd in Python, a proxy before it, and a link through both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from software_phone.adb_server import OwnAdbServer
from software_phone.cutting_proxy import CuttingProxy
from software_phone.python_adbd import Faults, PythonAdbd

from devices.adb.link import AdbLink


@dataclass
class SmallPhone:
    """A small adbd, the proxy before it, and a link through both."""

    adbd: PythonAdbd
    proxy: CuttingProxy
    own: OwnAdbServer
    link: AdbLink

    @property
    def faults(self) -> Faults:
        return self.adbd.faults

    @property
    def state(self) -> str:
        return self.own.server.states().get(self.link.serial, "")

    def come_back(self) -> None:
        """Mend all and wait until the adb server has the phone again."""
        self.adbd.faults = Faults()
        self.proxy.resume()
        # Connections that stood in a stall may be half dead: adb finds that out when they end.
        self.proxy.cut()
        self.own.server.disconnect(self.link.serial)
        self.own.attach(self.link.serial)

    def files(self) -> list[str]:
        """Return all files and folders on the phone, relative to /data/local/tmp."""
        root = self.adbd.local("/data/local/tmp")
        return sorted(str(path.relative_to(root)) for path in root.rglob("*"))

    def left_behind(self) -> list[str]:
        """Return what a push or a pull left unfinished."""
        return [name for name in self.files() if ".mnas-" in name]


MakePhone = Callable[..., SmallPhone]
