"""Text on its way into Markdown: words alone, whatever they are made of."""

from __future__ import annotations

import re

_MARKS = re.compile(r"[\\<|]|\](?=[(:])")
"""What begins HTML, ends a cell, or makes a link or an image; and what would take the mark before these away."""


def inline(value: object) -> str:
    """Return a value as a cell, a head or a line of Markdown: on one line, with nothing in it that ends the cell.

    Source: CommonMark 0.31, 2.4 "Backslash escapes"; GitHub Flavored Markdown, 4.10 "Tables".
    """
    return _MARKS.sub(r"\\\g<0>", " ".join(str(value).split()))
