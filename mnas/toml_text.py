"""TOML of others: read within limits of size, depth and numbers, so that whatever it holds can be told of."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 18
_MOST_DOTS = 100
"""In one line: the time that a dotted key takes grows with the square of its parts."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the keys of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no TOML, or none that can be held; the message is one line for people.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
        _require_shallow(text)
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8: byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML: {error}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _require_shallow(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_DOTS:
            raise ValueError(f"line {number} is nested too deeply: more than {_MOST_DOTS} dots")
