"""Text on its way into a page or a figure: escaped, free of characters no document may hold, cut to a width."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Replace what XML 1.0 forbids (control characters, lone surrogates) by U+FFFD; keep markup as markup.

    Source: XML 1.0 (fifth edition), production 2 ``Char``.
    """
    replaced = _FORBIDDEN.sub("\ufffd", str(text))
    return Markup(replaced) if isinstance(text, Markup) else replaced  # markup in, markup out: nothing is trusted anew


def escaped(text: str) -> Markup:
    """Return a text cleaned and escaped for an element or a quoted attribute, in HTML as in XML."""
    return escape(clean(str(text)))


def width_px(text: str, size_px: float = 12) -> float:
    """Return about how wide a text in a sans-serif font comes out."""
    ems = sum(1.0 if unicodedata.east_asian_width(char) in "WF" else 0.56 for char in text)
    return ems * size_px


def shortened(text: str, limit_px: float, size_px: float = 12) -> str:
    """Return the text on one line, cut with an ellipsis when it would be wider than ``limit_px``."""
    line = " ".join(text.split())
    if width_px(line, size_px) <= limit_px:
        return line
    while line and width_px(line + "…", size_px) > limit_px:
        line = line[:-1]
    return line.rstrip() + "…"
