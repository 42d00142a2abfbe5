"""The bytes of a model file, and the one way of saying that they cannot be used."""

from __future__ import annotations

import stat
from pathlib import Path

from mnas.errors import ModelError

MAX_BYTES = 2**31 - 1
"""Both protobuf and flatbuffers count bytes with 31 bits."""


def read_model_file(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return a file's bytes.

    Raises:
        ModelError: ``MOD02``: it is missing, a folder, no regular file, empty, too large or not readable.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise unreadable(path, "it is a folder", "name a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise unreadable(path, "it is a pipe or a device", "name a regular file")
        if found.st_size > limit:
            raise unreadable(path, f"it has {found.st_size} bytes, and the limit is {limit}", "use a smaller model")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise unreadable(path, "there is no such file", "check the path") from error
    except OSError as error:
        raise unreadable(path, error.strerror or type(error).__name__, "make it readable") from error
    if not data:
        raise unreadable(path, "it is empty", "write or download it again")
    return data


def unreadable(path: Path, why: str, fix: str) -> ModelError:
    """Return the error for a file that gives no bytes."""
    return ModelError("MOD02", "the model file cannot be read", value=str(path), why=why, fix=fix)


def not_a_model(path: Path, model_format: str, why: str) -> ModelError:
    """Return the error for bytes that are no model of this format; ``why`` is cut to one line."""
    return ModelError(
        "MOD03",
        f"the file is not a {model_format} model, or it is damaged",
        value=str(path),
        why=one_line(why),
        fix="export or download it again",
    )


def one_line(text: object, limit: int = 200) -> str:
    """Return a foreign message as one line of at most ``limit`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
