"""The page of a study: front, comparison, latency by block, search, tables, conditions, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnas.cli.study_conditions import condition_parts
from mnas.cli.study_data import page_data
from mnas.cli.study_front import comparison_parts, front_parts, measured_parts, search_parts
from mnas.cli.study_luts import block_parts, table_parts
from mnas.cli.study_provenance import provenance_parts, public_result
from mnas.jsonio import write_text_atomic
from mnas.report.page import Section, render_page

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.store import Store
    from search.result import StudyResult


def report_path(out: Path, study_id: str) -> Path:
    """Return where the report of a study lies."""
    return out / "reports" / f"{study_id}.html"


def write_report(store: Store, result: StudyResult, out: Path) -> Path:
    """Write ``reports/<study>.html`` below the output folder and return its path."""
    path = report_path(out, result.study_id)
    write_text_atomic(path, study_page(store, result, out))
    return path


def study_page(store: Store, result: StudyResult, out: Path) -> str:
    """Return one self-contained HTML page of a study.

    Args:
        store: Open.
        result: The study.
        out: Output folder, where pages of the tables may lie.
    """
    result = public_result(result)
    tables = _tables(store, result)
    sections = [
        Section("Front", front_parts(result)),
        Section("Compare", comparison_parts()),
        Section("Latency by block", block_parts(store, result, tables)),
        Section("Measured", measured_parts(result)),
        Section("Search", search_parts(store, result)),
        *([Section("Latency table", table_parts(store, result, tables, out))] if tables else []),
        Section("Measuring conditions", condition_parts(store, result)),
        Section("Provenance", provenance_parts(store, result, tables)),
    ]
    is_simulated = any(table.device.is_simulated for table in tables)
    return render_page(
        f"Pareto front of {result.config.data} on {' and '.join(result.config.devices)}",
        sections,
        subtitle=f"{result.study_id}, {result.created_at_utc}, {result.status}",
        notices=[*(["SIMULATED device"] if is_simulated else []), *result.notices],
        data=page_data(store, result, tables),
    )


def _tables(store: Store, result: StudyResult) -> Sequence[LatencyTable]:
    """Return the tables of the devices, none where the search has not come so far."""
    from latency.table import load_table

    return [load_table(store, lut_id) for lut_id in result.lut_ids]
