"""A text of many commands' outputs, one section each, as one script on the phone printed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MARK = "@@mnas"
"""Begins a line that opens a section: ``@@mnas NAME``."""

END = "end"
"""Name of the last section, without which the text was cut off."""


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections of a text.

    Attributes:
        texts: Name -> what stood below it; a name that comes twice is joined.
        is_whole: The last section was reached.
    """

    texts: Mapping[str, str]
    is_whole: bool

    def __getitem__(self, name: str) -> str:
        """Return a section, "" when there is none."""
        return self.texts.get(name, "")

    def line(self, name: str) -> str:
        """Return the first line of a section that is not empty, without space around it; "" when there is none."""
        return next((line.strip() for line in self[name].splitlines() if line.strip()), "")


def split_sections(text: str) -> Sections:
    """Split what a script printed at its marks; what stands before the first belongs to nobody.

    Of a text that was cut off the last section is dropped: half a section may read as another value than the whole.
    """
    texts: dict[str, list[str]] = {}
    name, is_whole = "", False
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith(f"{MARK} "):
            name = line[len(MARK) :].strip()
            is_whole = is_whole or name == END
            texts.setdefault(name, [])
        elif name:
            texts[name].append(line)
    if not is_whole:
        texts.pop(name, None)
    return Sections({one: "\n".join(lines) for one, lines in texts.items() if one != END}, is_whole)
