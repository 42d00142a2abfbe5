"""What adb, adbd or a cut connection said, as errors of the one tree with a code and a remedy.

::

    DeviceError
    ├── PhoneLost         ADB10 ADB11 ADB13 ADB15 ADB27   may come back: wait, check serial and boot, try again
    │   ├── ServerLost    ADB03                           the adb server itself does not answer
    │   └── LinkStalled   ADB19                           no answer within the deadline
    ├── PhoneForbidden    ADB12 ADB14                     only a person can mend it: never try again
    ├── FileRefused       ADB20 .. ADB26 ADB28            the phone did not take or give a file
    └── DeviceError       ADB04 ADB05 ADB16 ADB17 ADB18   the rest
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mnas.errors import DeviceError


class PhoneLost(DeviceError):
    """The link to a phone is gone; it may come back."""


class ServerLost(PhoneLost):
    """The adb server does not answer."""


class LinkStalled(PhoneLost):
    """The link gave no answer within the deadline."""


class PhoneForbidden(DeviceError):
    """A phone or the system does not let us in until a person allows it."""


class FileRefused(DeviceError):
    """A phone did not take or give a file."""


_UNAUTHORIZED_FIX = (
    "unlock the phone and allow USB debugging for this computer; if no question shows, revoke USB debugging "
    "authorizations in its developer options and plug it in again"
)
_PERMISSION_FIX = (
    "install the udev rules for Android (Debian: `apt install android-sdk-platform-tools-common`), join the group "
    "plugdev, plug the phone in again, then `adb kill-server`"
)

# Word in the text -> error class, code, what is wrong, how to mend it. The first that fits counts.
_WORDS: tuple[tuple[tuple[str, ...], type[DeviceError], str, str, str], ...] = (
    (
        ("unauthorized", "failed to authenticate"),
        PhoneForbidden,
        "ADB12",
        "the phone has not authorized this computer",
        _UNAUTHORIZED_FIX,
    ),
    (
        ("no permissions", "insufficient permissions"),
        PhoneForbidden,
        "ADB14",
        "this user may not open the phone's USB device",
        _PERMISSION_FIX,
    ),
    (
        ("authorizing", "connecting", "detached"),
        PhoneLost,
        "ADB13",
        "the phone is still connecting",
        "wait a moment; if a question shows on the phone, allow it",
    ),
    (
        ("offline",),
        PhoneLost,
        "ADB11",
        "the phone is offline",
        "check the cable or Wi-Fi and wake the phone; then `adb reconnect offline`",
    ),
    (
        ("more than one",),
        DeviceError,
        "ADB16",
        "more than one device answers to this serial",
        "unplug one, or name the other address of the phone",
    ),
    (
        ("not found", "no devices", "no such device", "unknown device"),
        PhoneLost,
        "ADB10",
        "the adb server knows no such phone",
        "plug it in, or `adb connect HOST:PORT`; `mnas devices list` shows who is there",
    ),
    (
        ("recovery", "sideload", "bootloader", "rescue"),
        DeviceError,
        "ADB17",
        "the phone has not started Android",
        "start it normally: `adb reboot`",
    ),
    (("closed", "eof", "connection reset"), PhoneLost, "ADB15", "the link to the phone broke", "check cable or Wi-Fi"),
)

# Text of errno in a sync failure -> code, what is wrong, how to mend it.
_FILE_WORDS: tuple[tuple[str, str, str, str], ...] = (
    (
        "no space left",
        "ADB20",
        "the phone's storage is full",
        "free space on it; `mnas devices clean` removes our files",
    ),
    ("disk quota", "ADB20", "the phone's storage is full", "free space on it; `mnas devices clean` removes our files"),
    ("read-only", "ADB21", "the phone's file system is read-only", "use a folder below /data/local/tmp"),
    ("permission denied", "ADB22", "the phone's shell user may not do that", "use a folder below /data/local/tmp"),
    (
        "operation not permitted",
        "ADB22",
        "the phone's shell user may not do that",
        "use a folder below /data/local/tmp",
    ),
    ("no such file", "ADB23", "there is no such file on the phone", "check the path"),
    ("is a directory", "ADB28", "this path is a folder on the phone", "name a file"),
    ("not a directory", "ADB28", "a part of this path is no folder on the phone", "name another path"),
)


def failure_of(text: str, subject: str) -> DeviceError:
    """Return the error for what an adb server or an adbd answered instead of OKAY; not raised yet.

    Args:
        text: The words, as they came; may be empty, as when adbd dies.
        subject: Serial or address that was asked for.
    """
    words = text.strip().lower()
    seen = f"{subject}: {text.strip()}" if words else f"{subject}: an empty failure"
    if not words:
        return PhoneLost("ADB15", "the link to the phone broke", value=seen, fix="check cable or Wi-Fi")
    for needles, kind, code, what, fix in _WORDS:
        if any(needle in words for needle in needles):
            return kind(code, what, value=seen, fix=fix)
    return DeviceError("ADB18", "adb refused", value=seen, fix="look up these words in `adb help` or docs/phones.md")


def file_failure_of(text: str, path: str) -> DeviceError:
    """Return the error for the words with which a phone refused a file; not raised yet.

    Args:
        text: Text of the sync protocol's FAIL, or of a shell's stderr.
        path: The file on the phone.
    """
    words = text.strip().lower()
    if not words:
        return PhoneLost("ADB15", "the link to the phone broke", value=f"{path}: an empty failure")
    for needle, code, what, fix in _FILE_WORDS:
        if needle in words:
            return FileRefused(code, what, value=f"{path}: {text.strip()}", fix=fix)
    return FileRefused("ADB24", "the phone refused a file", value=f"{path}: {text.strip()}", fix="read its words")


def broken_protocol(subject: str, seen: object) -> PhoneLost:
    """Return the error for bytes that do not follow adb's protocol; not raised yet."""
    return PhoneLost(
        "ADB27", "the phone's answer does not follow adb's protocol", value=f"{subject}: {seen}", fix="restart adbd"
    )


@contextmanager
def link_failures(subject: str, doing: str, lost: type[PhoneLost] = PhoneLost) -> Iterator[None]:
    """Turn what a socket raises into `PhoneLost` or `LinkStalled`.

    Only for blocks that touch no local file, whose errors would look the same.

    Args:
        subject: Serial or address.
        doing: What was under way, e.g. ``pushing 3 files``.
        lost: `ServerLost` where the server itself was asked.

    Raises:
        LinkStalled: ``ADB19``: the deadline passed.
        PhoneLost: ``ADB15``: the connection ended; ``ADB03`` for a server.
    """
    try:
        yield
    except TimeoutError as error:
        raise LinkStalled(
            "ADB19",
            f"no answer within the deadline while {doing}",
            value=subject,
            why="the link is stalled, or the phone is slower than the deadline allows",
            fix="check the link; a longer deadline if the phone is only slow",
        ) from error
    except (EOFError, OSError) as error:
        words = str(error) or type(error).__name__
        is_server = issubclass(lost, ServerLost)
        raise lost(
            "ADB03" if is_server else "ADB15",
            f"the {'adb server' if is_server else 'link to the phone'} broke off while {doing}",
            value=f"{subject}: {words}",
            fix="check that it runs" if is_server else "check cable or Wi-Fi; what was under way has to be done again",
        ) from error
