"""Where a table comes from that was not built in its store: from a file, or from other tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Source:
    """A table that another was made of.

    Attributes:
        lut_id: Its id where it came from.
        space: Name of its space.
        created_at_utc: ISO 8601.
        entries: How many it had.
        origin: Where it had come from itself; ``None``: it was built there.
    """

    lut_id: str
    space: str
    created_at_utc: str
    entries: int
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """How a table came into the store.

    Attributes:
        kind: ``imported`` from a file, or ``merged`` from tables of the store.
        at_utc: When; ISO 8601.
        layout: Of the file: ``json``, ``csv``, ``ofa`` or ``proxylessnas``; "" for a merged one.
        file_name: Name of the file, without its folder.
        sha256: Of the file.
        sources: What it was made of, as far as that is known.
    """

    kind: Literal["imported", "merged"]
    at_utc: str
    layout: str = ""
    file_name: str = ""
    sha256: str = ""
    sources: tuple[Source, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Origin:
        """Read what `to_json` wrote."""
        sources = tuple(
            Source(**{**source, "origin": cls.from_json(source["origin"]) if source["origin"] else None})
            for source in value["sources"]
        )
        return cls(**{**value, "sources": sources})

    @property
    def layouts(self) -> frozenset[str]:
        """Every layout of a file on the way that the table came."""
        own = {self.layout} if self.layout else set()
        return frozenset(own.union(*(source.origin.layouts for source in self.sources if source.origin)))

    @property
    def ancestors(self) -> frozenset[tuple[str, str]]:
        """Id and date of every table that it was made of, and that these were made of; hash and "" of every file.

        Ids alone do not tell: the same plan has the same one on every machine.
        """
        own = {(source.lut_id, source.created_at_utc) for source in self.sources}
        own |= {(self.sha256, "")} if self.sha256 else set()
        return frozenset(own.union(*(source.origin.ancestors for source in self.sources if source.origin)))

    def text(self) -> str:
        """Return it for people, in one line."""
        if self.kind == "imported":
            return f"IMPORTED from {self.file_name or 'a file'} ({self.layout})"
        parts = [
            source.lut_id + (f" ({source.origin.text()})" if source.origin and source.origin.layouts else "")
            for source in self.sources
        ]
        return f"merged from {', '.join(parts)}"
