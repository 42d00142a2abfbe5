"""Debian's adbd, mksh, toybox and busybox, unpacked into a private folder.

A private apt folder with one source is used, so that neither this machine's package lists nor its packages change. The
packages are verified by apt against Debian's own keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import platformdirs

PACKAGES = ("adbd", "mksh", "toybox", "busybox")
SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NEEDED = ("apt-get", "dpkg-deb", "unshare", "mount", "chroot", "gcc")
_DEADLINE_S = 240.0


class PhoneUnavailable(RuntimeError):
    """The software phone cannot be had on this machine; the text says why."""


def cache_folder() -> Path:
    """Return the folder that keeps packages and images: ``$MNAS_SOFTWARE_PHONE``, else below the user's cache."""
    named = os.environ.get("MNAS_SOFTWARE_PHONE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("mnas")) / "software-phone"


def check_machine() -> None:
    """Refuse a machine on which no software phone can run.

    Raises:
        PhoneUnavailable: Not root, not Debian on x86_64, or a program is missing.
    """
    if os.geteuid() != 0:
        raise PhoneUnavailable("the software phone needs root: it makes namespaces and mounts")
    if platform.machine() != "x86_64" or not _KEYS.is_file():
        raise PhoneUnavailable(f"the software phone needs Debian on x86_64 with {_KEYS}; this is {platform.platform()}")
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        raise PhoneUnavailable(f"the software phone needs {', '.join(missing)}: apt install gcc libc6-dev util-linux")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time build in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fetch_packages() -> Path:
    """Return a folder with the unpacked packages and their dependencies; download them where they are missing.

    Raises:
        PhoneUnavailable: apt could not get them; the text holds what it said.
    """
    folder = cache_folder() / "packages"
    if folder.is_dir():
        return folder
    with locked(cache_folder()):
        if folder.is_dir():
            return folder
        work = cache_folder() / "fetching"
        shutil.rmtree(work, ignore_errors=True)
        try:
            _unpack(_download(work), work / "root")
            (work / "root").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _download(work: Path) -> list[Path]:
    archives = work / "cache" / "archives"
    for part in (archives / "partial", work / "lists" / "partial", work / "state"):
        part.mkdir(parents=True)
    (work / "sources.list").write_text(SOURCE)
    (work / "status").touch()
    options = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Dir::State": work / "state",
        "Dir::State::lists": work / "lists",
        # No package counts as installed, so the dependencies come as well, whatever this machine has.
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    _call([*apt, "update"])
    _call([*apt, "--download-only", "--yes", "--no-install-recommends", "install", *PACKAGES])
    return sorted(archives.glob("*.deb"))


def _unpack(archives: list[Path], root: Path) -> None:
    if not archives:
        raise PhoneUnavailable("apt downloaded no package")
    root.mkdir(parents=True)
    for archive in archives:
        _call(["dpkg-deb", "--extract", str(archive), str(root)])


def _call(command: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_DEADLINE_S, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise PhoneUnavailable(f"{command[0]} did not end within {_DEADLINE_S:.0f} s") from error
    if done.returncode != 0:
        last = " ".join(done.stderr.split())[-400:]
        raise PhoneUnavailable(f"{command[0]} {command[-1]} failed with {done.returncode}: {last}")
