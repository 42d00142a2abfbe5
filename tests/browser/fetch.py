"""A Chromium to test pages in: the machine's own, else Debian's, unpacked into a private folder.

Nothing is installed: a private apt folder is used with the machine's own sources, and the libraries that the machine
lacks are unpacked beside the browser. The packages are verified by apt against Debian's own keys.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import platformdirs

PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")
_DEADLINE_S = 60.0
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


class BrowserUnavailable(RuntimeError):
    """No Chromium can be had on this machine; the text says why."""


@dataclass(frozen=True)
class Browser:
    """A browser and its driver.

    Attributes:
        binary: Chromium.
        driver: Its WebDriver.
        root: Folder that they were unpacked into, or ``None`` where they are the machine's own.
    """

    binary: Path
    driver: Path
    root: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment that both need: where libraries and fonts lie."""
        if self.root is None:
            return dict(os.environ)
        folders = sorted({file.parent for file in (self.root / _LIBRARIES).rglob("*.so*")})
        libraries = [*map(str, folders), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            "FONTCONFIG_FILE": str(self.root / "fonts.conf"),
        }


def find_browser() -> Browser:
    """Return a browser that starts; download it where it is missing.

    Raises:
        BrowserUnavailable: There is none, and none can be had.
    """
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    found = Browser(Path(binary), Path(driver)) if binary and driver else _unpacked()
    for program in (found.binary, found.driver):
        _call([str(program), "--version"], found.environment())
    return found


def _unpacked() -> Browser:
    if os.geteuid() != 0 or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise BrowserUnavailable("there is no chromium with chromedriver; apt install chromium chromium-driver")
    named = os.environ.get("MNAS_TEST_BROWSER")
    cache = Path(named) if named else Path(platformdirs.user_cache_dir("mnas")) / "browser"
    root = cache / "root"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrowserUnavailable(f"a browser would be kept in {cache}, which cannot be made: {error}") from error
    with (cache / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not root.is_dir():
            _fetch(cache / "fetching", root)
    return Browser(root / "usr/lib/chromium/chromium", root / "usr/bin/chromedriver", root)


def _fetch(work: Path, root: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    try:
        archives = _download(work)
        unpacked = work / "root"
        unpacked.mkdir()
        for archive in archives:
            _call(["dpkg-deb", "--extract", str(archive), str(unpacked)])
        (unpacked / "fonts.conf").write_text(
            f"<fontconfig><dir>{root}/usr/share/fonts</dir><dir>/usr/share/fonts</dir>"
            f"<cachedir>{root}/fonts-cache</cachedir>"
            "<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias></fontconfig>"
        )
        unpacked.rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(work: Path) -> list[Path]:
    archives = work / "cache" / "archives"
    for part in (archives / "partial", work / "lists" / "partial"):
        part.mkdir(parents=True)
    options = {
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    _call([*apt, "update"])
    _call([*apt, "--download-only", "--yes", "--no-install-recommends", "install", *PACKAGES])
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise BrowserUnavailable("apt downloaded no package")
    return found


def _call(command: list[str], environment: dict[str, str] | None = None) -> None:
    plain = {**(environment or os.environ), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_DEADLINE_S, env=plain, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BrowserUnavailable(f"{command[0]} did not end within {_DEADLINE_S:.0f} s") from error
    except OSError as error:
        raise BrowserUnavailable(f"{command[0]} does not start: {error}") from error
    if done.returncode != 0:
        last = " ".join((done.stderr or done.stdout).split())[-400:]
        raise BrowserUnavailable(f"{command[0]} {command[-1]} failed with {done.returncode}: {last}")
