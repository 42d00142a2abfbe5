from __future__ import annotations

import pickle

import pytest

from devices.adb.failures import (
    FileRefused,
    LinkStalled,
    PhoneForbidden,
    PhoneLost,
    ServerLost,
    failure_of,
    file_failure_of,
    link_failures,
)
from mnas.errors import DeviceError

# Words of adb 29 and 36 and of adbd 34.
_ANSWERS = [
    ("device 'R58' not found", PhoneLost, "ADB10"),
    ("no devices/emulators found", PhoneLost, "ADB10"),
    ("device offline", PhoneLost, "ADB11"),
    (
        "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\n"
        "Try 'adb kill-server' if that seems wrong.\nOtherwise check for a confirmation dialog on your device.",
        PhoneForbidden,
        "ADB12",
    ),
    ("failed to authenticate to 192.168.1.7:5555", PhoneForbidden, "ADB12"),
    ("device still authorizing", PhoneLost, "ADB13"),
    ("device still connecting", PhoneLost, "ADB13"),
    (
        "no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools/device.html]",
        PhoneForbidden,
        "ADB14",
    ),
    ("insufficient permissions for device: missing udev rules?", PhoneForbidden, "ADB14"),
    ("closed", PhoneLost, "ADB15"),
    ("", PhoneLost, "ADB15"),
    ("more than one device/emulator", DeviceError, "ADB16"),
    ("more than one device with serial R58", DeviceError, "ADB16"),
    ("device in recovery mode", DeviceError, "ADB17"),
    ("unknown host service", DeviceError, "ADB18"),
]


@pytest.mark.parametrize(("words", "kind", "code"), _ANSWERS)
def test_words_of_adb_become_their_failure(words: str, kind: type[DeviceError], code: str) -> None:
    failure = failure_of(words, "R58")
    assert type(failure) is kind
    assert failure.code == code
    assert failure.fix
    assert "R58" in str(failure)
    assert failure.exit_code == 4


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("write failed: No space left on device", "ADB20"),
        ("couldn't create file: Read-only file system", "ADB21"),
        ("couldn't create file: Permission denied", "ADB22"),
        ("fchmod failed: Operation not permitted", "ADB22"),
        ("open failed: No such file or directory", "ADB23"),
        ("read failed: Is a directory", "ADB28"),
        ("something of a vendor", "ADB24"),
    ],
)
def test_words_of_a_refused_file_become_their_failure(words: str, code: str) -> None:
    failure = file_failure_of(words, "/data/local/tmp/x")
    assert isinstance(failure, FileRefused)
    assert failure.code == code
    assert words in str(failure)


def test_a_refusal_without_words_is_a_lost_link() -> None:
    assert isinstance(file_failure_of("", "/x"), PhoneLost)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (TimeoutError("2 s are over"), LinkStalled, "ADB19"),
        (EOFError("ended"), PhoneLost, "ADB15"),
        (ConnectionResetError(104, "reset"), PhoneLost, "ADB15"),
        (BrokenPipeError(32, "pipe"), PhoneLost, "ADB15"),
    ],
)
def test_what_a_socket_raises_becomes_a_lost_phone(error: Exception, kind: type[PhoneLost], code: str) -> None:
    with pytest.raises(PhoneLost) as caught, link_failures("R58", "pushing"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.code == code


def test_a_lost_server_is_told_from_a_lost_phone() -> None:
    with pytest.raises(ServerLost, match="ADB03"), link_failures("adb server", "asking", ServerLost):
        raise EOFError


def test_failures_cross_processes_whole() -> None:
    failure = failure_of("device offline", "R58")
    again = pickle.loads(pickle.dumps(failure))
    assert type(again) is PhoneLost
    assert str(again) == str(failure)
