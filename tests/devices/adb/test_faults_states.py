"""Phones that cannot be measured on, and old ones: 20 kinds; opening ends soon, with one line and its remedy.

=====================  ====================================================================================
kinds                  by whom
=====================  ====================================================================================
11 words of adb        a server that says the word: unauthorized, authorizing, connecting, no permissions,
                       offline, bootloader, recovery, rescue, sideload, host, a word of the future
a phone that is gone   the same server, with no phone
asks for a key         a small adbd behind the real server, likewise the next five
stays offline          it closes each connection at once
refuses services       it greets and opens nothing
dies as it is asked    the link breaks as the first service opens
talks nonsense         its shell sends bytes that are no packets
breaks off             the link breaks in the middle of the first answer
no shell v2 (2)        the real adbd, whose greeting loses that word on the way; it measures all the same,
                       also where the link is cut
=====================  ====================================================================================

What each word means and the states of the link below are in `test_states`, `test_failures`, `test_link`,
`test_server` and `test_recovery`.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_kit import assert_told, within
from software_phone.adb_server import OwnAdbServer
from software_phone.cutting_proxy import CuttingProxy
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.open_device import (
    DeviceBench,
    assert_each_once,
    assert_left_as_found,
    device_bench,
    pretended_models,
)
from software_phone.phone import SoftwarePhone
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone

from devices.adb.device import AdbDevice
from devices.adb.lease import holder_of
from devices.adb.server import AdbServer
from devices.measurement import Visit
from devices.spec import DeviceSpec
from mnas.errors import DeviceError

_SERIAL = "PHONE1"
_OPEN_S = 40.0
"""Above the sum of the deadlines that opening has: 10 s to be connected, 20 s for the first answer."""

_UDEV = "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools]"


@contextmanager
def _server_saying(word: str) -> Iterator[AdbServer]:
    """An adb server that knows one phone by one word, and nothing else."""
    row = f"{_SERIAL}\t{word}\n" if word else ""
    answers = {"host:version": "0029", "host:devices": row, "host:devices-l": row.replace("\t", "         ")}

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            text = self.rfile.read(int(self.rfile.read(4) or b"0", 16)).decode()
            data = answers.get(text, f"device '{_SERIAL}' not found").encode()
            self.wfile.write((b"OKAY" if text in answers else b"FAIL") + b"%04x" % len(data) + data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield AdbServer("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("word", "code", "remedy"),
    [
        ("unauthorized", "ADB30", "Allow USB debugging"),
        ("authorizing", "ADB30", "answer its question"),
        ("connecting", "ADB30", "wait a few seconds"),
        (_UDEV, "ADB30", "udev"),
        ("offline", "ADB30", "plug it in again"),
        ("bootloader", "ADB30", "fastboot reboot"),
        ("recovery", "ADB30", "adb reboot"),
        ("rescue", "ADB30", "adb reboot"),
        ("sideload", "ADB30", "adb reboot"),
        ("host", "ADB30", "unplug"),
        ("hibernating", "ADB30", "plug it in again"),
        ("", "ADB37", "plug"),
    ],
)
def test_a_phone_that_is_not_ready_is_told_at_once(word: str, code: str, remedy: str, tmp_path: Path) -> None:
    with _server_saying(word) as server, within(_OPEN_S, word), pytest.raises(DeviceError) as caught:
        AdbDevice(DeviceSpec("adb", "tflite", _SERIAL), server=server, folder=tmp_path)
    assert_told(caught.value, code)
    assert remedy in caught.value.fix and word in str(caught.value)
    assert holder_of(_SERIAL, folder=tmp_path) is None


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        (Faults(unauthorized=True), ("ADB12", "ADB30")),
        (Faults(refuses_links=True), ("ADB05", "ADB11", "ADB19", "ADB30")),
        (Faults(refuses_services=True), ("ADB15",)),
        (Faults(dies_on_open=True), ("ADB15", "ADB10", "ADB11")),
        (Faults(garbage=b"\x07 no packet at all"), ("ADB27", "ADB32")),
        (Faults(dies_after_out=200), ("ADB15", "ADB32")),
    ],
    ids=["asks for a key", "stays offline", "refuses services", "dies as it is asked", "nonsense", "breaks off"],
)
def test_a_phone_that_does_not_answer_as_one_is_told(
    faults: Faults, codes: tuple[str, ...], make_phone: MakePhone, tmp_path: Path
) -> None:
    # Each of these fails before the phone is touched, whose shell is this machine's.
    phone = make_phone(attached=False, faults=faults)
    spec = DeviceSpec("adb", "tflite", phone.link.serial)
    with within(_OPEN_S, "opening"), pytest.raises(DeviceError) as caught:
        AdbDevice(spec, server=phone.own.server, folder=tmp_path / "state", recovery_s=1.0)
    assert_told(caught.value, *codes)
    assert phone.files() == [] and not list(tmp_path.glob("state/leases/*"))


class _OldProxy(CuttingProxy):
    """Takes the word ``shell_v2`` out of an adbd's greeting, as if it were of Android 6."""

    def _one(self, target: object, data: bytes, direction: str) -> None:
        super()._one(target, data.replace(b"shell_v2", b"shell_xx"), direction)  # type: ignore[arg-type]


@pytest.fixture
def old_bench(
    clean_phone: SoftwarePhone,  # noqa: F811
    own_adb: OwnAdbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DeviceBench]:
    monkeypatch.setattr("software_phone.open_device.CuttingProxy", _OldProxy)
    with device_bench(clean_phone, own_adb, tmp_path) as bench:
        yield bench


@pytest.mark.software_phone
@pytest.mark.parametrize("strike", [None, CuttingProxy.cut])
def test_a_phone_without_shell_v2_is_measured_too(
    strike: Callable[[CuttingProxy], None] | None, old_bench: DeviceBench, tmp_path: Path
) -> None:
    visits = [Visit(model, 3, 0) for model in pretended_models(tmp_path, 3)]
    with old_bench.open("lying_runner", deadline_s=2.0, silence_s=3.0, recovery_s=20.0) as device:
        assert "shell_v2" not in device.phone.link.features
        old_bench.phone.lie("crash", once=True)
        assert_each_once(list(device.run(visits)), visits)
        assert device.rejections.failed == 1
        if strike is not None:
            old_bench.phone.lie("slow 1")
            old_bench.phone.play([(1.5, lambda: strike(old_bench.proxy))])
            assert_each_once(list(device.run(visits)), visits)
            assert device.phone.recovery.losses == 1
    assert_left_as_found(old_bench)
