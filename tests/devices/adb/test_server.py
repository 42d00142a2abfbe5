from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from software_phone.adb_server import OwnAdbServer, free_port, server_environment, wait_until
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone, SmallPhone

from devices.adb.failures import LinkStalled, PhoneForbidden, PhoneLost, ServerLost
from devices.adb.server import AdbServer, TransportRow, _parse_row, _parse_states
from mnas.errors import ConfigError, DeviceError

_VARIABLES = ("MNAS_ADB", "ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


# ---- where it is


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("", {}, ("127.0.0.1", 5037)),
        ("box", {}, ("box", 5037)),
        ("box:6000", {}, ("box", 6000)),
        ("[::1]:6000", {}, ("::1", 6000)),
        ("[::1]", {}, ("::1", 5037)),
        ("", {"ANDROID_ADB_SERVER_PORT": "6001"}, ("127.0.0.1", 6001)),
        ("", {"ANDROID_ADB_SERVER_ADDRESS": "box", "ANDROID_ADB_SERVER_PORT": "6001"}, ("box", 6001)),
        ("", {"ADB_SERVER_SOCKET": "tcp:box:6002", "ANDROID_ADB_SERVER_PORT": "6001"}, ("box", 6002)),
        ("", {"ADB_SERVER_SOCKET": "tcp:6002"}, ("127.0.0.1", 6002)),
        ("", {"ADB_SERVER_SOCKET": "", "ANDROID_ADB_SERVER_PORT": ""}, ("127.0.0.1", 5037)),
        ("box:6000", {"ADB_SERVER_SOCKET": "tcp:other:6002"}, ("box", 6000)),
        ("", {"MNAS_ADB": "ours:6003", "ADB_SERVER_SOCKET": "tcp:other:6002"}, ("ours", 6003)),
        ("box", {"MNAS_ADB": "none"}, ("box", 5037)),
    ],
)
def test_the_server_is_found_in_adbs_own_order(
    monkeypatch: pytest.MonkeyPatch, text: str, variables: dict[str, str], expected: tuple[str, int]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = AdbServer.find(text)
    assert (server.host, server.port) == expected


@pytest.mark.parametrize(
    "text", [":5037", "box:", "box:0", "box:65536", "box:x", "::1", "[::1", "[::1]5", "a b:1", "http://x:1"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ADB02") as caught:
        AdbServer.find(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("text", "variable"), [("none", ""), ("", "none")])
def test_phones_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, text: str, variable: str) -> None:
    monkeypatch.setenv("MNAS_ADB", variable)
    with pytest.raises(DeviceError, match="ADB09"):
        AdbServer.find(text)


def test_a_variable_that_names_no_server_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", "localfilesystem:/tmp/adb")
    with pytest.raises(ConfigError, match="ADB_SERVER_SOCKET"):
        AdbServer.find()


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), st.integers(1, 65535))
def test_an_address_is_read_back_as_written(host: str, port: int) -> None:
    server = AdbServer(host, port)
    assert AdbServer.find(server.address) == server


# ---- what it says


def test_states_with_spaces_are_kept_whole() -> None:
    text = f"R58\t{_NO_PERMISSION}\n127.0.0.1:7601\tdevice\n"
    assert _parse_states(text) == {"R58": _NO_PERMISSION, "127.0.0.1:7601": "device"}


_NO_PERMISSION = "no permissions (user in plugdev group); see [http://developer.android.com/x]"
_ROWS = [
    (
        "R58M123                device usb:1-4 product:a52 model:SM_A525F device:a52q transport_id:3",
        TransportRow("R58M123", "device", "1-4", "a52", "SM_A525F", "a52q", 3),
    ),
    ("127.0.0.1:7601         offline transport_id:1", TransportRow("127.0.0.1:7601", "offline", transport_id=1)),
    (
        f"R58                    {_NO_PERMISSION} usb:2-1 transport_id:2",
        TransportRow("R58", _NO_PERMISSION, "2-1", transport_id=2),
    ),
    (
        "adb-R58-x._adb-tls-connect._tcp device product:p model:m device:d transport_id:9",
        TransportRow("adb-R58-x._adb-tls-connect._tcp", "device", "", "p", "m", "d", 9),
    ),
    ("(no serial number)     unauthorized usb:1-2", TransportRow("(no serial number)", "unauthorized", "1-2")),
]


@pytest.mark.parametrize(("line", "row"), _ROWS)
def test_a_row_of_devices_is_read(line: str, row: TransportRow) -> None:
    assert _parse_row(line) == row


def test_a_phone_is_listed_with_its_names(phone: SmallPhone) -> None:
    rows = {row.serial: row for row in phone.own.server.details()}
    row = rows[phone.link.serial]
    assert (row.state, row.product, row.model, row.device) == ("device", "small", "Python_adbd", "small")
    assert row.transport_id is not None
    assert phone.own.server.states()[phone.link.serial] == "device"


def test_a_connection_that_nobody_takes_is_an_error_though_adb_says_okay(own_adb: OwnAdbServer) -> None:
    with pytest.raises(DeviceError, match="ADB05") as caught:
        own_adb.server.connect(f"127.0.0.1:{free_port()}", 20.0)
    assert "failed to connect" in str(caught.value) or "cannot connect" in str(caught.value)
    assert not isinstance(caught.value, PhoneLost)


def test_connecting_twice_is_fine(phone: SmallPhone) -> None:
    assert "already connected" in phone.own.server.connect(phone.link.serial, 20.0)


def test_disconnecting_is_fine_also_when_nothing_is_connected(phone: SmallPhone) -> None:
    phone.own.server.disconnect(phone.link.serial)
    assert phone.state == ""
    phone.own.server.disconnect(phone.link.serial)


def test_an_unauthorized_phone_says_so(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(unauthorized=True), attached=False)
    with pytest.raises(PhoneForbidden, match="ADB12"):
        phone.own.server.connect(phone.link.serial, 20.0)
    wait_until(lambda: phone.state == "unauthorized", 20.0, "never unauthorized")
    with pytest.raises(PhoneForbidden, match="ADB12") as caught:
        phone.link.run(["true"], deadline_s=10)
    assert "allow USB debugging" in caught.value.fix


def test_changes_are_tracked_until_the_deadline(phone: SmallPhone) -> None:
    seen = []
    for states in phone.own.server.track(5.0):
        seen.append(states.get(phone.link.serial))
        if len(seen) == 1:
            phone.own.server.disconnect(phone.link.serial)
        if seen[-1] is None:
            break
    assert seen[0] == "device"
    assert seen[-1] is None
    assert list(phone.own.server.track(0.2))[-1].get(phone.link.serial) is None


# ---- starting it, and not starting it


@contextmanager
def _silent_server() -> Iterator[AdbServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield AdbServer("127.0.0.1", listener.getsockname()[1])


def test_a_remote_server_is_never_started_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    fake = tmp_path / "adb"
    fake.write_text(f"#!/bin/sh\necho started >>{started}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(fake))
    # 127.0.0.2 is loopback, and yet none of the names of this machine that a server is started for.
    remote = AdbServer("127.0.0.2", free_port())
    assert not remote.is_local
    for step in (remote.ensure_running, remote.states, lambda: remote.link("R58").run(["true"], deadline_s=5)):
        with pytest.raises(ServerLost, match="ADB03") as caught:
            step()
        assert remote.address in str(caught.value)
    assert not started.exists()


def test_a_remote_server_that_runs_is_used(own_adb: OwnAdbServer) -> None:
    own_adb.server.ensure_running()
    assert own_adb.server.version() >= 39


def test_asking_starts_nothing_on_this_machine_either() -> None:
    server = AdbServer("127.0.0.1", free_port())
    with pytest.raises(ServerLost, match="ADB03"):
        server.states()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((server.host, server.port), timeout=1):
        pass


def test_a_local_server_is_started_once_and_on_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    server = AdbServer("127.0.0.1", free_port())
    server.ensure_running(30.0)
    try:
        assert server.version() >= 39
        server.ensure_running(30.0)
    finally:
        server_pid = _listening_pid(server.port)
        os.kill(server_pid, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{server_pid}").exists() or _is_zombie(server_pid), 10.0, "it did not end")


def _listening_pid(port: int) -> int:
    """Find the process that listens on a port, among those that run adb with that port."""
    found = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if f"tcp:{port}".encode() in _command_line(folder) or f"tcp:localhost:{port}".encode() in _command_line(folder)
    ]
    assert len(found) == 1, found
    return found[0]


def _command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_server_that_cannot_be_started_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "adb"
    fake.write_text("#!/bin/sh\necho 'cannot bind: no luck' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(fake))
    with pytest.raises(DeviceError, match=r"ADB04.*no luck"):
        AdbServer("127.0.0.1", free_port()).ensure_running(0.5)


def test_a_server_that_hangs_as_it_starts_does_not_hang_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "adb"
    fake.write_text("#!/bin/sh\nexec sleep 30\n")
    fake.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(fake))
    with pytest.raises(DeviceError, match="ADB04"):
        AdbServer("127.0.0.1", free_port()).ensure_running(0.5)


def test_a_server_that_takes_connections_and_says_nothing_stalls_nobody() -> None:
    with _silent_server() as server:
        with pytest.raises(LinkStalled, match="ADB19"):
            server.version(0.3)
        with pytest.raises(LinkStalled, match="ADB19"):
            server.link("R58").run(["true"], deadline_s=0.3)


@pytest.mark.parametrize("answer", [b"", b"OKAYzzzz", b"HTTP/1.1 400 Bad\r\n", b"OKAY0004zzzz", b"FAIL"])
def test_something_that_is_no_adb_server_is_told(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(PhoneLost):
            AdbServer("127.0.0.1", listener.getsockname()[1]).version(5.0)
        thread.join()


def test_a_server_that_ends_while_it_is_tracked_is_lost(tmp_path: Path) -> None:
    own = OwnAdbServer(tmp_path).start()
    states = own.server.track(20.0)
    next(states)
    own.stop()
    with pytest.raises(ServerLost, match="ADB03"):
        list(states)


def test_importing_the_transport_does_not_import_adbutils() -> None:
    code = (
        "import sys, devices.adb.staging, devices.adb.server; print('adbutils' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
