"""Data in a page: JSON within a script element, which no text in it can leave, and what a script is allowed by."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mnas.report.text import clean

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters that begin a tag, a comment or an entity, or end a line of JavaScript; JSON has them in texts alone."""


def embedded_json(value: Any) -> Markup:
    """Return a value as JSON for the inside of a script element, ready to be put into a page.

    Numbers that JSON does not have (NaN, infinite ones) become ``null``; characters that no document may hold become
    U+FFFD.

    Raises:
        TypeError: Something is neither a mapping, a sequence, a text, a number, a boolean nor ``None``.
    """
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # nothing that a parser of HTML looks at is left in it


def script_hash(script: str) -> str:
    """Return the source expression that allows exactly this inline script.

    Source: Content Security Policy Level 3, section 2.3.1 ``hash-source``.
    """
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii") + "'"


def _plain(value: Any) -> Any:
    """Return a value with texts cleaned and numbers that JSON does not have taken out."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None  # false for NaN as well
    if isinstance(value, str):
        return clean(str(value))
    if isinstance(value, Mapping):
        return {clean(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [_plain(one) for one in value]
    raise TypeError(f"{type(value).__name__} cannot be put into a page")
