"""The entries of a table as CSV: columns to read and sort by, and one that says exactly which segment is meant."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping

from latency.importers.text import decoded
from latency.key import segment_to_json
from latency.table import LatencyTable, LutEntry
from latency.table_document import checked_entry, read_segment
from mnas.errors import LutError
from mnas.jsonio import canonical_json
from mnas.layers import layers_of_blocks
from mnas.segments import Segment

_NUMBERS = ("latency_ms", "low_ms", "high_ms", "samples")
_NEEDED = ("segment_json", *_NUMBERS, "verdict")
COLUMNS = ("label", "role", "in_chw", "out_chw", "op", "kernel_size", "stride", "mid_channels", "se_channels", *_NEEDED)
"""The choices are those of the segment's first block."""


def table_csv(table: LatencyTable) -> str:
    """Return the entries as CSV with the columns `COLUMNS`, sorted by label."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for segment, entry in sorted(table.entries.items(), key=lambda item: item[0].label()):
        block = segment.blocks[0]
        out = layers_of_blocks(segment.blocks, segment.in_shape_chw)[-1].out_shape_chw
        shapes = ("x".join(map(str, shape)) for shape in (segment.in_shape_chw, out))
        choices = (block.op, block.kernel_size, block.stride, block.mid_channels, block.se_channels)
        numbers = (entry.latency_ms, entry.low_ms, entry.high_ms, entry.samples, entry.verdict)
        what = canonical_json(segment_to_json(segment))
        writer.writerow((segment.label(), segment.role, *shapes, *choices, what, *numbers))
    return buffer.getvalue()


def read_csv(data: bytes) -> dict[Segment, LutEntry]:
    """Return the entries of a CSV file; only `segment_json`, the numbers and the verdict are read.

    Raises:
        LutError: ``LUT30`` not such a file, ``LUT32`` a row that is no entry; the message names the line.
    """
    reader = csv.DictReader(io.StringIO(decoded(data), newline=""), strict=True)
    entries: dict[Segment, LutEntry] = {}
    try:
        if not set(_NEEDED) <= set(reader.fieldnames or ()):
            raise LutError(
                "LUT30",
                "the file is no table as CSV",
                value=", ".join(map(str, reader.fieldnames or ()))[:200],
                why=f"it needs the columns {', '.join(_NEEDED)}",
                fix="export it anew: mnas lut export --to csv",
            )
        for row in reader:
            segment, entry = _entry(row, f"line {reader.line_num}")
            if segment in entries:
                raise _refuse(f"line {reader.line_num}: {segment.label()}", "the segment is there twice")
            entries[segment] = entry
    except csv.Error as error:
        raise LutError("LUT30", "the file is not CSV", why=str(error), fix="export it anew") from error
    if not entries:
        raise _refuse("no row", "there is nothing to import")
    return entries


def _refuse(value: str, why: str) -> LutError:
    return LutError("LUT32", "a row that is no entry", value=value[:300], why=why, fix="correct or remove it")


def _entry(row: Mapping[str, str | None], place: str) -> tuple[Segment, LutEntry]:
    texts = {name: row[name] or "" for name in _NEEDED}
    try:
        latency, low, high = (float(texts[name]) for name in _NUMBERS[:3])
        samples = int(texts["samples"])
        value = json.loads(texts["segment_json"])
    except (ValueError, RecursionError) as error:
        raise _refuse(place, str(error)[:200]) from error
    if not all(map(math.isfinite, (latency, low, high))):
        raise _refuse(place, "every latency is a finite number")
    if not isinstance(value, dict):
        raise _refuse(place, "segment_json is no object")
    return read_segment(value, place), checked_entry(LutEntry(latency, low, high, samples, texts["verdict"]), place)
