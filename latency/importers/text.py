"""Files of tables as text, before anything in them is looked at."""

from __future__ import annotations

from pathlib import Path

from mnas.errors import LutError

MAX_BYTES = 16 * 1024 * 1024


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, but not more than tell that it is too large.

    Raises:
        LutError: ``LUT30``: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LutError(
            "LUT30", "the table file cannot be read", value=str(path), why=why, fix="name another file"
        ) from error


def decoded(data: bytes) -> str:
    """Return the text of a table file.

    Raises:
        LutError: ``LUT30``: too large, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise LutError(
            "LUT30",
            "the file is too large for a latency table",
            value=f"{len(data)} bytes",
            why=f"tables take less than {MAX_BYTES} bytes",
            fix="name the file of the table",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LutError(
            "LUT30", "the file is not a text in UTF-8", value=f"byte {error.start}", why=error.reason, fix="convert it"
        ) from error
