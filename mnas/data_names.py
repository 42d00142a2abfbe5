"""How data sets are named: by a word, or by the path of a folder of images with the side they are kept at."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ALIASES = {"fashion-mnist": "fashion", "cifar-10": "cifar10", "cifar-100": "cifar100"}
_SIDE = re.compile(r"(?P<path>.+)@(?P<px>[1-9][0-9]{0,3})$")


def is_image_folder(name: str) -> bool:
    """Return whether a data set's name is the path of a folder, e.g. ``./pets`` or ``/data/pets@64``."""
    separators = {"/", os.sep, os.altsep or os.sep}
    return any(one in name for one in separators) or name.startswith(("~", "."))


def folder_and_px(name: str) -> tuple[Path, int]:
    """Return the folder that a path names, and the side in px behind its ``@``, 0 where there is none."""
    found = _SIDE.match(name)
    if found is None or Path(name).is_dir():
        return Path(os.path.expanduser(name)), 0
    return Path(os.path.expanduser(found["path"])), int(found["px"])


def canonical_data(name: str) -> str:
    """Return the one form of a data set's name: a word of ours, or an absolute path with its side."""
    if not is_image_folder(name):
        return _ALIASES.get(name, name)
    folder, px = folder_and_px(name)
    # Not resolved: a link that is turned to other images must show as other data, not as another name.
    return os.path.normpath(folder.absolute()) + (f"@{px}" if px else "")
