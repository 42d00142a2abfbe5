"""Tables of once-for-all and ProxylessNAS as files: entries in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt

from latency.importers.layout import LAYOUTS, Layout, detect_layout, key_of_segment, segment_of_key
from latency.importers.safe_yaml import read_rows
from latency.importers.text import decoded
from latency.table import LatencyTable, LutEntry
from mnas.errors import LutError
from mnas.segments import Segment

IMPORTED = "imported"
"""The verdict of an entry of which nobody here knows how it was measured."""
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table as a file of one of the layouts.

    Attributes:
        text: The YAML.
        entries: How many entries it has.
        left_out: Labels of the segments that no key of the layout stands for.
    """

    text: str
    entries: int
    left_out: tuple[str, ...]


def read_yaml_table(data: bytes, layout_name: str = "") -> tuple[Layout, dict[Segment, LutEntry]]:
    """Return the entries of a file.

    Args:
        data: The file.
        layout_name: ``ofa`` or ``proxylessnas``; "" tells by the keys.

    Raises:
        LutError: ``LUT30`` not YAML, ``LUT31`` YAML that no table has, ``LUT32`` a key of another layout or a value
            that is no latency; the message names the key.
    """
    rows = read_rows(decoded(data))
    layout = LAYOUTS[layout_name] if layout_name else detect_layout(list(rows))
    entries: dict[Segment, LutEntry] = {}
    for key, fields in rows.items():
        segment = segment_of_key(key, layout)
        if segment in entries:
            raise _refuse("two keys that stand for one layer", key, "nobody knows which of them is meant")
        entries[segment] = _entry(key, fields)
    if not entries:
        raise _refuse("a table without entries", "{}", "there is nothing to import")
    return layout, entries


def _refuse(what: str, value: str, why: str) -> LutError:
    return LutError("LUT32", what, value=value[:300], why=why, fix="correct or remove the entry")


def _entry(key: str, fields: Mapping[str, float]) -> LutEntry:
    spread = next((name for name in ("std", "var") if name in fields), "")
    if set(fields) != {"count", "mean", spread}:
        why = "an entry holds exactly count, mean, and std or var"
        raise _refuse("an entry with other fields", f"{key}: {', '.join(sorted(fields)) or 'none'}", why)
    mean, count, sd = fields["mean"], fields["count"], fields[spread]
    if not mean > 0:
        raise _refuse("a latency that is none", f"{key}: mean {mean:g}", "a layer takes more than 0 ms")
    if sd < 0:
        raise _refuse("a spread that is none", f"{key}: {spread} {sd:g}", "a spread is not negative")
    if not 1 <= count <= 1e12 or count != int(count):
        raise _refuse("a count that is none", f"{key}: count {count:g}", "an entry is the mean of one or more runs")
    half = _Z95 * (sqrt(sd) if spread == "var" else sd) / sqrt(count)
    if not isfinite(mean + half):
        raise _refuse("a latency beyond all numbers", f"{key}: mean {mean:g}", "no layer takes so long")
    return LutEntry(mean, mean - half, mean + half, int(count), IMPORTED)


def resolutions_px(table: LatencyTable) -> tuple[int, ...]:
    """Return the sides of the inputs that a table has stems of, ascending."""
    return tuple(sorted({segment.in_shape_chw[1] for segment in table.entries if segment.role == "stem"}))


def _sides(px: int) -> set[int]:
    """Return the sides of features that an input of ``px`` pixels can come to by strides of 2."""
    sides = {px}
    while px > 1:
        px = -(-px // 2)
        sides.add(px)
    return sides


def write_yaml_table(table: LatencyTable, layout: Layout, px: int | None = None) -> WrittenTable:
    """Write the entries that a layout has keys for.

    ``count`` is the number of runs; the spread is the one whose mean over so many runs has the entry's interval.

    Args:
        table: The table.
        layout: Of the file.
        px: Leave out what no network with an input of so many pixels has; ``None`` keeps everything.
    """
    import yaml

    rows, left_out, sides = {}, [], None if px is None else _sides(px)
    for segment, entry in table.entries.items():
        if sides is not None and segment.in_shape_chw[1] not in sides:
            continue
        key = key_of_segment(segment, layout)
        if key is None or not entry.latency_ms > 0:
            left_out.append(segment.label())
            continue
        sd = (entry.high_ms - entry.low_ms) / 2 / _Z95 * sqrt(max(1, entry.samples))
        spread = sd**2 if layout.spread == "var" else sd
        rows[key] = {"count": max(1, entry.samples), "mean": entry.latency_ms, layout.spread: spread}
    return WrittenTable(yaml.safe_dump(rows, sort_keys=True, width=1000), len(rows), tuple(sorted(left_out)))
