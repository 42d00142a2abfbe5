"""An adb server of the tests' own, and small phones in Python that hang on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer
from software_phone.cutting_proxy import CuttingProxy
from software_phone.python_adbd import PythonAdbd
from software_phone.small_phone import MakePhone, SmallPhone

from mnas.errors import DeviceError


@pytest.fixture(scope="session")
def own_adb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnAdbServer]:
    own = OwnAdbServer(tmp_path_factory.mktemp("adb")).start()
    yield own
    own.stop()


@pytest.fixture
def make_phone(own_adb: OwnAdbServer, tmp_path: Path) -> Iterator[MakePhone]:
    """Start a small phone: ``make_phone(features=..., faults=..., attached=False)``."""
    with ExitStack() as stack:

        def make(*, attached: bool = True, own: OwnAdbServer = own_adb, **options: object) -> SmallPhone:
            adbd = PythonAdbd(tmp_path / f"phone{len(list(tmp_path.iterdir()))}", **options).start()  # type: ignore[arg-type]
            stack.callback(adbd.stop)
            proxy = CuttingProxy("127.0.0.1", adbd.port).start()
            stack.callback(proxy.stop)
            if attached:
                own.attach(proxy.address)
            stack.callback(_disconnect, own, proxy.address)
            return SmallPhone(adbd, proxy, own, own.server.link(proxy.address))

        yield make


@pytest.fixture
def phone(make_phone: MakePhone) -> SmallPhone:
    return make_phone()


def _disconnect(own: OwnAdbServer, address: str) -> None:
    # The server may be gone already: some tests end it.
    with suppress(DeviceError):
        own.server.disconnect(address)
