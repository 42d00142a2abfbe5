"""A runner on a phone: brought there by content, its libraries beside it under their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devices.adb.link import WORK_DIR, AdbLink
from devices.adb.quoting import quote_word
from devices.adb.sending import Sending
from devices.adb.staging import CacheItem, stage
from devices.runners.dialect import RunnerDialect
from devices.runners.library import Runner
from mnas.errors import DeviceError

_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class RunnerPlace:
    """A runner that lies on a phone.

    Attributes:
        path: Of the program.
        library_path: Folder of its shared libraries, or "".
        dialect: Its command line.
    """

    path: str
    library_path: str
    dialect: RunnerDialect


def place_runner(
    link: AdbLink, runner: Runner, dialect: RunnerDialect, *, tell: Callable[[str], None] = lambda text: None
) -> RunnerPlace:
    """Bring a runner and its libraries to a phone; what lies there by content is not sent again.

    Args:
        link: To the phone.
        runner: Of the library.
        dialect: Its command line.
        tell: Told how far a long push is.

    Raises:
        PhoneLost: The link broke.
        DeviceError: ``ADB69``: the libraries cannot be put beside it; or the phone takes no files.
    """
    items = [CacheItem(runner.path, runner.sha256, is_executable=True)]
    items += [CacheItem(path) for path in runner.libraries]
    progress = Sending(f"the runner {runner.name}", tell)
    done = stage(link, items, deadline_s=_DEADLINE_S, on_progress=progress)
    if not runner.libraries:
        return RunnerPlace(done.paths[0], "", dialect)
    folder = f"{WORK_DIR}/libraries/{runner.sha256[:16]}"
    # Links, so that the cache stays one file a content.
    lines = [f"ln -sf {there} {folder}/{quote_word(here.name)}" for here, there in _pairs(runner, done.paths)]
    made = link.run_script(" && ".join([f"mkdir -p {folder}", *lines]), deadline_s=_DEADLINE_S)
    if made.rc != 0:
        raise DeviceError(
            "ADB69",
            "the runner's libraries cannot be put beside it",
            value=folder,
            why=made.stderr.strip()[-300:] or made.detail,
            fix="'mnas devices clean', then try again",
        )
    return RunnerPlace(done.paths[0], folder, dialect)


def _pairs(runner: Runner, paths: tuple[str, ...]) -> list[tuple[Path, str]]:
    return list(zip(runner.libraries, paths[1:], strict=True))
