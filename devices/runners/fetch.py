"""Runners from the places where they are published, checked by sha256, into the library."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from devices.runners.dialect import dialect_of
from devices.runners.download import download
from devices.runners.elf import read_elf
from devices.runners.library import Runner, RunnerLibrary
from devices.runners.published import LATEST, is_moving, published_url
from mnas.download import Progress
from mnas.errors import ConfigError, DeviceError


def fetch_runner(
    library: RunnerLibrary,
    name: str,
    abi: str,
    version: str = LATEST,
    *,
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Runner:
    """Download a runner and add it to the library. What fails a check leaves nothing behind.

    A checksum that is given must hold. Without one the first download from an address is trusted and remembered, and
    each later one must be the same, unless the address is meant to change (``latest``): then a change is told.

    Args:
        library: Where to add it.
        name: ``tflite``, ``litert`` or ``ortperf``.
        abi: Of the phone.
        version: ``latest`` or one that is published.
        url: Instead of the documented address.
        sha256: 64 hexadecimal digits that the content must have.
        progress: Is told bytes that have come and bytes in all.
        say: Is told how far the content can be trusted.

    Raises:
        ConfigError: ``RNR08`` what came is another runner, ``RNR13`` no such name, ``RNR14`` none is published,
            ``RNR20`` the checksum given is none.
        DeviceError: ``RNR01`` .. ``RNR07`` what came is no program for that ABI, ``RNR15`` the library cannot be
            written, ``RNR19`` the download failed, ``RNR21`` the content is not the expected one.
    """
    dialect_of(name)
    expected = _checksum(sha256)
    address = url or published_url(name, abi, version)
    with tempfile.TemporaryDirectory(prefix="mnas-fetch-") as folder:
        path = Path(folder) / "benchmark_model" if name != "ortperf" else Path(folder) / "onnxruntime_perf_test"
        seen = download(address, path, progress=progress)
        said = _check_content(library, address, seen, expected)
        found = read_elf(path)
        if found.abi != abi:
            raise DeviceError(
                "RNR05",
                "the program that was downloaded is for another ABI",
                value=found.abi,
                why=f"{abi} was asked for",
                fix="check --abi and --url",
            )
        runner = library.add(path, name, source=address)
    library.pin(address, seen)
    if say:
        say(said)
    return runner


def _checksum(sha256: str | None) -> str:
    text = (sha256 or "").strip().lower()
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ConfigError("RNR20", "that is no sha256", value=sha256, fix="give its 64 hexadecimal digits")
    return text


def _check_content(library: RunnerLibrary, address: str, seen: str, expected: str) -> str:
    """Return how far a content can be trusted.

    Raises:
        DeviceError: ``RNR21``: it is not the one that is expected.
    """
    if expected:
        if seen != expected:
            raise _mismatch(address, seen, f"--sha256 says {expected}", "check the address and the checksum")
        return f"sha256 {seen} as given"
    pin = library.pin_of(address)
    if pin is None:
        return f"sha256 {seen}, trusted on first use: no checksum was given, and none was known for this address"
    if pin.sha256 == seen:
        return f"sha256 {seen}, the same as on {pin.seen_at_utc}"
    if is_moving(address):
        return f"sha256 {seen}, a newer build than that of {pin.seen_at_utc} ({pin.sha256})"
    why = f"on {pin.seen_at_utc} it was {pin.sha256}, and what lies behind this address should not change"
    raise _mismatch(address, seen, why, "find out why; if it is meant to be, give its --sha256")


def _mismatch(address: str, seen: str, why: str, fix: str) -> DeviceError:
    return DeviceError(
        "RNR21", "the download is not the program that was expected", value=f"{address}: {seen}", why=why, fix=fix
    )
