"""The front of a study and the course of its search, as parts of its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnas.cli.study_view import front_result, further_columns, notes_of
from mnas.constraint import figure_text
from mnas.objectives import UNITS, is_reward
from mnas.report.page import Cell, Figure, Link, Mount, Paragraph, Part, RowClass, Table
from mnas.report.svg import Axes, Series, scatter

if TYPE_CHECKING:
    from mnas.store import Store
    from search.result import FrontMember, StudyResult

_MOST_FAILED = 50


def front_parts(result: StudyResult) -> list[Part]:
    """Return the explorer, which stands in for a still figure, the finalists, and what a reader must know."""
    marks = [(result.goal.target_ms, f"target {result.goal.target_ms:.3g} ms")] if result.goal else []
    axes = Axes("latency (ms)", "top-1 accuracy on val", x_log=True, vertical_marks=marks)
    caption = (
        "Horizontal bars: 95 % interval of the measurement. Vertical bars: the seeds. Networks that share a halo tie: "
        f"their seeds or their intervals cannot tell them apart. {_ranked_how(result)}"
    )
    still = Figure(scatter(_front_series(result), axes, title="Pareto front"), caption)
    parts: list[Part] = [Mount("explorer", still), _members_table(result)]
    return [*parts, *(Paragraph(note) for note in notes_of(result) if note not in result.notices)]


def comparison_parts() -> list[Part]:
    """Return the place where two networks are set beside each other."""
    return [Mount("compare", Paragraph("Two networks are compared block by block here where scripts may run."))]


def _measured(result: StudyResult) -> list[FrontMember]:
    return [member for member in result.members if member.measured_ms is not None and member.val_error is not None]


def _front_series(result: StudyResult) -> list[Series]:
    """Return candidates, front and finalists; candidates without texts, which the explorer has.

    Candidates that a score ranked have no accuracy, and so no place here.
    """
    done = [candidate for candidate in result.candidates if candidate.error is not None and not candidate.score]
    finals = _measured(result)
    best = [member for member in finals if member.is_recommended]
    place = {member.arch_id: i for i, member in enumerate(finals)}
    ties = [
        (place[member.arch_id], place[other])
        for member in finals
        for other in {*member.ties_with, *member.same_latency_as}
        if other in place and place[member.arch_id] < place[other]
    ]
    cloud = Series(
        f"candidates, short training, {_ranked_by(result)} ms",
        [candidate.latency_ms for candidate in done],
        [1 - candidate.error for candidate in done if candidate.error is not None],
        style="cloud",
    )
    return [
        *([cloud] if done else []),
        Series(
            f"front by {_front_words(result)}",
            [member.measured_ms for member in best],
            [1 - (member.val_error or 0.0) for member in best],
            style="steps" if is_reward(result.config.sought) else "hollow",
        ),
        Series(
            "finalists, longer training, measured ms",
            [member.measured_ms for member in finals],
            [1 - (member.val_error or 0.0) for member in finals],
            x_intervals=[member.interval_ms for member in finals],
            y_intervals=[(1 - max(member.val_errors), 1 - min(member.val_errors)) for member in finals],
            labels=[f"{m.arch_id[:12]}: {m.measured_ms:.4g} ms measured" for m in finals],
            ids=[member.arch_id[:12] for member in finals],
            ties=ties,
        ),
    ]


def _ranked_how(result: StudyResult) -> str:
    score = next((one.score for one in result.candidates if one.score), "")
    if score:
        return f"Candidates were ranked by {score}, a score of untrained networks, and have no accuracy to be drawn at."
    return "Candidates were ranked on another split (rank-val) after short training."


def _ranked_by(result: StudyResult) -> str:
    """Return where the latency comes from that candidates were ranked by."""
    is_measured = any(one.key == "latency" and one.source == "measured" for one in result.config.sought)
    return "measured" if is_measured else "predicted"


def _front_words(result: StudyResult) -> str:
    others = [one.key for one in result.config.sought if one.key not in ("error", "latency")]
    return ", ".join(["val accuracy", *others]) + " and measured ms" if others else "val accuracy and measured ms"


def _members_table(result: StudyResult) -> Table:
    shown, further = front_result(result), further_columns(result)
    rows: list[list[Cell]] = []
    for member, row in zip(result.members, shown.rows, strict=True):
        name: Cell = Link(member.arch_id[:12], f"../{member.export}/card.md") if member.export else member.arch_id[:12]
        cells = [cell if isinstance(cell, str | int | float) else None for cell in row[1:]]
        rows.append([name, *cells])
    classes: list[RowClass] = [
        "best" if member.arch_id == result.best_under_target else "" if member.is_recommended else "muted"
        for member in result.members
    ]
    return Table(
        list(shown.columns),
        rows,
        align=f"lrrrrrr{'r' * len(further)}l",
        formats=["", ".4f", ".4f", ".4f", ".2f", ".2f", ".4f", *(_format(name) for name in further), ""],
        row_ids=[member.arch_id[:12] for member in result.members],
        row_classes=classes,
        caption=f"Finalists, fastest first. Grey ones are dominated by {_front_words(result)}.",
    )


def _format(column: str) -> str:
    return ".4f" if column.endswith(" ms") else ",.0f"


def search_parts(store: Store, result: StudyResult) -> list[Part]:
    """Return the hypervolume over the evaluations, beside that of like studies, and the candidates that failed."""
    from search.study_curves import curves_beside

    curves = curves_beside(store, result.study_id)
    series = [
        Series(
            f"this study, {curve.method['algorithm']}" if curve.study_id == result.study_id else "",
            list(curve.evaluations),
            list(curve.volumes),
            labels=[f"{curve.study_id}: {curve.method['algorithm']}, seed {curve.seed}"] * len(curve.volumes),
            style="line" if curve.study_id == result.study_id else "faint",
        )
        for curve in curves
    ]
    axes = Axes("evaluations", "hypervolume", height=300)
    # The study's own curve lies on top.
    figure = Figure(
        scatter(series[::-1], axes, title="Hypervolume over evaluations"),
        _volume_caption(result, curves[0].reference_point if curves else None, len(curves) - 1),
    )
    return [figure, *_failed_parts(result)]


def _volume_caption(result: StudyResult, point: tuple[float, ...] | None, others: int) -> str:
    caption = "Volume dominated by the candidates so far"
    if point is not None:
        pairs = zip(result.config.sought, point, strict=True)
        words = [f"{one.key} {figure_text(one.minimised(value))} {UNITS[one.name]}".strip() for one, value in pairs]
        caption += f", reference point: {', '.join(words)}"
    if others > 0:
        studies = "study" if others == 1 else "studies"
        caption += f". Grey: {others} finished {studies} of the same space, data and devices, from the same point"
    return caption + "."


def _failed_parts(result: StudyResult) -> list[Part]:
    failed = [candidate for candidate in result.candidates if candidate.status == "failed"]
    if not failed:
        return []
    rows: list[list[Cell]] = [[candidate.arch_id[:12], candidate.reason] for candidate in failed[:_MOST_FAILED]]
    more = f", the first {len(rows)} of {len(failed)}" if len(rows) < len(failed) else ""
    return [Table(["network", "why it failed"], rows, align="ll", caption=f"Failed candidates{more}")]


def measured_parts(result: StudyResult) -> list[Part]:
    """Return what the tables predicted of the finalists against what was measured, and what that changed."""
    from mnas.cli.study_changes import changes_parts

    finals = [member for member in result.members if member.measured_ms is not None]
    if not finals or result.session is None:
        return [Paragraph("The finalists have not been measured yet.")]
    figure = scatter(
        [
            Series(
                "finalists",
                [member.candidate.predicted_ms for member in finals],
                [member.measured_ms for member in finals],
                y_intervals=[member.interval_ms for member in finals],
                labels=[member.arch_id[:12] for member in finals],
                ids=[member.arch_id[:12] for member in finals],
            )
        ],
        Axes("predicted (ms)", "measured (ms)", diagonal=True, x_log=True, y_log=True),
        title="Finalists: predicted against measured latency",
    )
    return [Figure(figure, "Exported files, measured interleaved in one session a device."), *changes_parts(result)]
