"""JSON in its canonical form, content hashes, and files written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces and no NaN: equal values give equal text.

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def without_nan(value: Any) -> Any:
    """Return a value of JSON with ``None`` for each number that is not finite, since JSON has no such numbers."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_SHOWN = 100


def shown(value: Any) -> str:
    """Return a value that was read from elsewhere, in at most some hundred characters that any terminal can print."""
    if isinstance(value, str):
        return (value if value.isprintable() else ascii(value))[:_SHOWN]
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list | tuple):
        is_short = len(value) <= 5 and not any(isinstance(part, dict | list | tuple) for part in value)
        return f"[{', '.join(map(shown, value))}]"[: 2 * _SHOWN] if is_short else f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:_SHOWN]


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return sha256_text(canonical_json(value))


def write_bytes_atomic(path: Path, data: bytes, *, outlasts_power: bool = True) -> None:
    """Write a file through a temporary name in the same folder, so that no reader sees half of it.

    Args:
        path: The file; its folder is made when missing.
        data: All of it.
        outlasts_power: Wait until the disk has it. Files that are made anew at any time need not wait.

    Raises:
        OSError: The folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if outlasts_power:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_unfinished(path: Path) -> None:
    """Remove what writers of a file left beside it when they were killed; nobody else may be writing it just now."""
    for left in path.parent.glob(f".{path.name}.????????"):
        left.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Write indented JSON whole or not at all; NaN is refused."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
