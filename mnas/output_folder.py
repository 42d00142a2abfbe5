"""The folder that measurements, tables and studies are kept in."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MNAS_OUT"
DEFAULT = "mnas-out"


def output_folder(out: str | Path | None = None) -> Path:
    """Return the folder that is meant: the one named, else ``$MNAS_OUT``, else ``mnas-out`` where the process runs."""
    return Path(out) if out else Path(os.environ.get(VARIABLE) or DEFAULT)
