"""The latency tables of a study as parts of its page: errors and residuals, heat maps, what each block costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.number_format import significant
from mnas.cli.study_networks import part_costs, space_of
from mnas.errors import LutError, SpaceError
from mnas.report.page import Cell, Figure, KeyValues, Link, Paragraph, Part
from mnas.report.stacks import Slice, Stack, stacked_bars

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.space import SearchSpace
    from mnas.store import Store
    from search.result import FrontMember, StudyResult

_HEAT_BYTES = 400_000
"""What the heat maps of all tables may take of a page, which is to stay below two megabytes."""
_MOST_STACKS = 40
_FIXED = "fixed"


def table_parts(store: Store, result: StudyResult, tables: Sequence[LatencyTable], out: Path) -> list[Part]:
    """Return error, residuals and heat maps of every table.

    Args:
        store: Open.
        result: The study.
        tables: Of its devices in their order.
        out: Output folder: where a table has a page of its own, it is linked.
    """
    from latency.coverage import covered_space
    from mnas.cli.lut_report import lut_report_path

    parts: list[Part] = []
    for table in tables:
        rows = store.query("SELECT * FROM lut_network WHERE lut_id = ?", (table.lut_id,))
        space = covered_space(table)
        if len(tables) > 1:
            parts.append(Paragraph(f"Table {table.lut_id}, of {table.device.device_id}:"))
        parts += _error_parts(table, [dict(row) for row in rows], space)
        parts += _heat_parts(table, space, result, _HEAT_BYTES // len(tables))
        if lut_report_path(out, table.lut_id).is_file():
            page = Link(f"{table.lut_id}.html", f"{table.lut_id}.html")
            pairs: list[tuple[str, Cell]] = [("every entry, coverage, doubts", page)]
            parts.append(KeyValues(pairs))
    return parts


def _error_parts(table: LatencyTable, rows: list[dict[str, Any]], space: SearchSpace | None) -> list[Part]:
    """Return how a table predicts whole networks, without intervals where it lacks entries of them."""
    from mnas.cli.lut_report import error_parts

    try:
        return error_parts(table, rows, space)
    except (LutError, SpaceError):
        return error_parts(table, rows, None)


def _heat_parts(table: LatencyTable, space: SearchSpace | None, result: StudyResult, limit: int) -> list[Part]:
    """Return heat maps of as many resolutions as may be, those of the finalists first."""
    from latency.coverage import stages_of
    from mnas.cli.lut_heatmaps import heat_figures

    figures = heat_figures(table, stages_of(space) if space else {})
    used = _resolutions(result, space)
    ranked = sorted(figures, key=lambda one: one.caption.partition(" px")[0] not in used)
    kept: list[Figure] = []
    for figure in ranked:
        if sum(len(one.svg) for one in kept) + len(figure.svg) <= limit:
            kept.append(figure)
    shown: list[Part] = [figure for figure in figures if figure in kept]
    left = len(figures) - len(kept)
    if left:
        text = f"{left} further heat map(s) would make this page too large: mnas lut show {table.lut_id} --html FILE"
        shown.append(Paragraph(text))
    return shown


def _resolutions(result: StudyResult, space: SearchSpace | None) -> set[str]:
    """Return the resolutions of the finalists, as texts."""
    found = set()
    for member in result.members if space else ():
        try:
            found.add(str(space.decode(member.candidate.genome).input_shape_chw[1]))  # type: ignore[union-attr]
        except SpaceError:  # the table is of another space
            continue
    return found


def block_parts(store: Store, result: StudyResult, tables: Sequence[LatencyTable]) -> list[Part]:
    """Return what each block of each finalist costs by the tables, as stacked bars."""
    space = space_of(store, result.study_id, result.config)
    members = result.members[:_MOST_STACKS]
    if space is None or not tables:
        return [Paragraph("Without the study's space and a latency table nothing is known of single blocks.")]
    if not members:
        return [Paragraph("There are no finalists yet.")]
    parts: list[Part] = []
    for table in tables:
        stacks = [_stack(table, space, member, result) for member in members]
        kept = [stack for stack in stacks if stack is not None]
        if not kept:
            parts.append(Paragraph(f"Table {table.lut_id} lacks entries of every finalist."))
            continue
        title = f"Latency by block on {table.device.device_id}"
        caption = (
            f"What table {table.lut_id} says that stem, blocks and head add, from the input on the left to the head, "
            "calibrated. An entry at or below zero is not drawn. Point at a piece to read it."
        )
        parts.append(Figure(stacked_bars(kept, x_label="predicted (ms)", title=title), caption))
    if len(result.members) > len(members):
        parts.append(Paragraph(f"Shown are the {len(members)} fastest of {len(result.members)} finalists."))
    return parts


def _stack(table: LatencyTable, space: SearchSpace, member: FrontMember, result: StudyResult) -> Stack | None:
    """Return the bar of a finalist, or ``None`` where the table lacks some of its entries."""
    from mnas.segments import segments_of

    segments = segments_of(space.decode(member.candidate.genome))
    costs = part_costs(table, segments, result.config.missing)
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    fixed = table.calibration.intercept_ms
    slices = [
        Slice(cost, segment.blocks[0].op if segment.role == "block" else segment.role, label)
        for segment, cost in zip(segments, known, strict=True)
        for label in [f"{segment.label()}: {significant(cost)} ms"]
    ]
    slices.append(Slice(fixed, _FIXED, f"whatever the network: {significant(fixed)} ms"))
    name = member.arch_id[:12]
    return Stack(name, f"{significant(sum(known) + fixed, 4)} ms", slices, name)
