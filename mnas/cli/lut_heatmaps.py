"""The heat maps of a table: for each resolution, what stands where (rows) by which block is chosen (columns)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mnas.cli.number_format import significant, with_interval
from mnas.report.heatmap import HeatCell, HeatMap, heat_range, heatmap
from mnas.report.page import Figure

if TYPE_CHECKING:
    from latency.coverage import Place, StageAt
    from latency.table import LatencyTable, LutEntry
    from mnas.architecture import Block
    from mnas.segments import Segment

_MOST_COLUMNS = 24


def heat_figures(table: LatencyTable, stages: Mapping[Place, tuple[StageAt, ...]]) -> list[Figure]:
    """Return a figure for each resolution, smallest first.

    Args:
        table: The table.
        stages: Where each place occurs, as `latency.coverage.stages_of` gives it; what it does not name goes into a
            figure of its own.
    """
    from latency.coverage import Place

    by_px: dict[int | None, dict[tuple[str, Place], list[Segment]]] = {}
    for segment in table.entries:
        if segment.role == "block":
            place = Place.of(segment)
            for stage, px in stages.get(place) or (("", None),):
                by_px.setdefault(px, {}).setdefault((stage, place), []).append(segment)
    return [_figure(table, px, by_px[px]) for px in sorted(by_px, key=lambda px: (px is None, px or 0))]


def _figure(table: LatencyTable, px: int | None, rows: Mapping[tuple[str, Place], list[Segment]]) -> Figure:
    names = _column_names([segment for segments in rows.values() for segment in segments])
    columns = sorted(set(names.values()))[:_MOST_COLUMNS]
    ordered = sorted(rows, key=lambda row: (row[0], row[1].out_channels, -row[1].stride, row[1].in_shape_chw))
    cells: list[list[HeatCell | None]] = []
    for row in ordered:
        found = {names[segment]: segment for segment in rows[row]}
        cells.append([_cell(found[one], table.entries[found[one]]) if one in found else None for one in columns])
    labels = [" ".join(filter(None, (stage, place.label()))) for stage, place in ordered]
    shown = HeatMap(labels, [" ".join(column[2]) for column in columns], cells)
    where = "Other places" if px is None else f"{px} px"
    ends = heat_range(shown)
    scale = (
        f", from {significant(ends[0])} (faint) to {significant(ends[1])} ms (dark), by the logarithm" if ends else ""
    )
    left = len(set(names.values())) - len(columns)
    more = f" {left} kinds of blocks are left out." if left else ""
    caption = f"{where}: milliseconds that a block adds to a network{scale}.{more} k kernel, e expansion, SE squeeze."
    return Figure(heatmap(shown, title=f"Latency of blocks by place and kind, {where}"), caption)


_Column = tuple[tuple[str, int, float, int], str, tuple[str, ...]]
"""Sort key, and words of the head."""


def _column_names(segments: Iterable[Segment]) -> dict[Segment, _Column]:
    """Return the column of each segment; expansions are whole numbers unless that would put two into one cell."""
    from latency.coverage import Place

    segments = list(segments)
    for digits in (0, 2):
        names = {segment: _column(segment.blocks[0], segment.in_shape_chw[0], digits) for segment in segments}
        if len({(Place.of(segment), name) for segment, name in names.items()}) == len(segments):
            return names
    return {segment: (name[0], segment.label(), name[2]) for segment, name in names.items()}


def _column(block: Block, in_channels: int, digits: int) -> _Column:
    ratio = round(block.mid_channels / in_channels, digits)
    words = [f"k{block.kernel_size}"]
    words += [f"e{ratio:g}"] if block.mid_channels else [block.op]
    words += ["SE"] if block.se_channels else []
    return (block.op, block.kernel_size, ratio, int(block.se_channels > 0)), "", tuple(words)


def _cell(segment: Segment, entry: LutEntry) -> HeatCell:
    said = "" if entry.verdict == "ok" else f", {entry.verdict}"
    text = with_interval(entry.latency_ms, entry.low_ms, entry.high_ms)
    return HeatCell(entry.latency_ms, significant(entry.latency_ms), f"{segment.label()}: {text} ms{said}")
