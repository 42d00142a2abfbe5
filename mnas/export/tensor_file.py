"""Files that ``torch.save`` wrote: read without running what may be in them, and without letting them grow."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

_BEGIN = b"PK"


def load_tensors(path: Path) -> Any:
    """Return what a file holds: tensors, numbers, texts and containers of these, on the CPU.

    ``torch.save`` packs and shares nothing between the parts of its archive. One whose parts are larger than itself was
    made to fill the memory, and is refused before any of it is read.

    Raises:
        OSError: It cannot be read.
        ValueError: It is such an archive, or a damaged one.
        Exception: Whatever else torch's reader makes of junk; code is never run.
    """
    _require_no_growth(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _require_no_growth(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_BEGIN)) != _BEGIN:
            return  # an older form, whose numbers stand in it one by one
        try:
            with zipfile.ZipFile(file) as archive:
                parts = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise ValueError(f"its archive is damaged: {error}") from error
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("parts of its archive are compressed, which torch never does")
    whole, size = sum(part.file_size for part in parts), path.stat().st_size
    if whole > size:
        raise ValueError(f"the parts of its archive have {whole:,} bytes, and the whole file {size:,}")
