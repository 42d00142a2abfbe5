"""A comparison of studies as a table and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mnas.cli.number_format import significant
from mnas.cli.output import Result

if TYPE_CHECKING:
    from mnas.report.page import Cell
    from mnas.report.svg import Series
    from search.comparison import Comparison, Difference

_COLUMNS = ("method", "seeds", "evaluations", "hypervolume", "low", "high", "share of all")


def comparison_result(found: Comparison) -> Result:
    """Return the methods, best first, with the tests below."""
    rows: list[list[object]] = []
    for one in found.methods:
        summary = found.summaries[one.name][-1]
        share = None if not found.whole else summary.mean / found.whole
        rows.append(
            [
                one.name,
                len(one.curves),
                found.evaluations,
                *(
                    None if value is None else significant(value, 6)
                    for value in (summary.mean, summary.low, summary.high)
                ),
                None if share is None else f"{share:.4f}",
            ]
        )
    title = f"hypervolume after {found.evaluations} evaluations"
    return Result(_COLUMNS, rows, found.to_json(), title, notes_of(found), _records(found))


def notes_of(found: Comparison) -> list[str]:
    """Return the tests in words, and how they were made."""
    notes = [_difference_text(one) for one in found.differences]
    notes.append("low and high: 95 % interval of the mean over seeds (Student's t)")
    if len(found.differences) > 1:
        notes.append(f"Holm: corrected for {len(found.differences)} pairs")
    point = ", ".join(f"{value:.5g}" for value in found.reference_point)
    return [*notes, f"reference point (minimised): {point}"]


def _difference_text(one: Difference) -> str:
    text = f"{one.first} over {one.second}: +{one.difference:.4g}"
    if one.p is None or one.p_holm is None:
        return f"{text}; not tested, that needs two seeds or more of each"
    return f"{text}, p = {one.p:.2g}, Holm {one.p_holm:.2g} ({one.test}, {one.pairs} seeds)"


def _records(found: Comparison) -> list[dict[str, object]]:
    return [
        {
            "method": one.name,
            "study_id": curve.study_id,
            "seed": curve.seed,
            "evaluations": found.evaluations,
            "hypervolume": curve.at(found.evaluations),
        }
        for one in found.methods
        for curve in one.curves
    ]


def write_comparison(found: Comparison, out: Path) -> Path:
    """Write ``reports/compare-<hash>.html`` below the output folder and return its path."""
    from mnas.jsonio import sha256_json, write_text_atomic
    from mnas.report.page import Figure, Paragraph, Section, Table, render_page
    from mnas.report.svg import Axes, scatter

    caption = f"Mean over seeds, with the 95 % interval of the mean. n = {', '.join(_counts(found))}."
    figure = scatter(_series(found), Axes("evaluations", "hypervolume"), title="Hypervolume over evaluations")
    shown = comparison_result(found)
    cells: list[list[Cell]] = [[c if isinstance(c, str | int | float) else None for c in row] for row in shown.rows]
    pairs: list[list[Cell]] = [
        [one.first, one.second, one.difference, one.p, one.p_holm, one.test] for one in found.differences
    ]
    studies: list[list[Cell]] = [
        [one.name, curve.seed, curve.study_id, curve.at(found.evaluations)]
        for one in found.methods
        for curve in one.curves
    ]
    columns = ["better", "than", "by", "p", "p (Holm)", "test"]
    page = render_page(
        f"Studies beside each other after {found.evaluations} evaluations",
        [
            Section("Hypervolume", [Figure(figure, caption), Table(list(shown.columns), cells, align="lrrrrrr")]),
            Section(
                "Differences",
                [Table(columns, pairs, align="llrrrl", formats=["", "", ".4g", ".2g", ".2g", ""])]
                + [Paragraph(note) for note in notes_of(found)[len(found.differences) :]],
            ),
            Section(
                "Studies", [Table(["method", "seed", "study", "hypervolume"], studies, formats=["", "", "", ".6g"])]
            ),
        ],
        subtitle=", ".join(one.name for one in found.methods),
    )
    path = out / "reports" / f"compare-{sha256_json(found.to_json())[:8]}.html"
    write_text_atomic(path, page)
    return path


def _counts(found: Comparison) -> list[str]:
    return [f"{len(one.curves)} for {one.name}" for one in found.methods]


def _series(found: Comparison) -> list[Series]:
    from mnas.report.svg import Series

    series = []
    for one in found.methods:
        summaries = found.summaries[one.name]
        intervals = [None if s.low is None or s.high is None else (s.low, s.high) for s in summaries]
        means = [summary.mean for summary in summaries]
        series.append(Series(one.name, list(found.checkpoints), means, y_intervals=intervals, style="line"))
    return series
