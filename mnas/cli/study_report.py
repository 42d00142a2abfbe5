"""The page of a study: front, search, predictions, measuring session, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.study_changes import changes_parts
from mnas.cli.study_view import front_result, further_columns, notes_of
from mnas.constraint import figure_text
from mnas.jsonio import write_text_atomic
from mnas.objectives import UNITS, is_reward
from mnas.report.page import Cell, Figure, KeyValues, Link, Paragraph, Part, RowClass, Section, Table, render_page
from mnas.report.svg import Axes, Series, scatter

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.store import Store
    from search.candidate import Candidate
    from search.result import FrontMember, StudyResult


def report_path(out: Path, study_id: str) -> Path:
    """Return where the report of a study lies."""
    return out / "reports" / f"{study_id}.html"


def write_report(store: Store, result: StudyResult, out: Path) -> Path:
    """Write ``reports/<study>.html`` below the output folder and return its path."""
    from latency.table import load_table

    table = load_table(store, result.lut_id) if result.lut_id else None
    networks = store.query("SELECT * FROM lut_network WHERE lut_id = ?", (result.lut_id or "",))
    page = render_page(
        f"Pareto front of {result.config.data} on {' and '.join(result.config.devices)}",
        [
            Section("Front", _front_parts(result)),
            Section("Search", _search_parts(result)),
            *([Section("Latency table", _table_parts(table, [dict(row) for row in networks]))] if table else []),
            Section("Measuring session", _session_parts(result)),
            Section("Provenance", _provenance_parts(result, table)),
        ],
        subtitle=f"{result.study_id}, {result.created_at_utc}, {result.status}",
        notices=[*(["SIMULATED device"] if table and table.device.is_simulated else []), *result.notices],
    )
    path = report_path(out, result.study_id)
    write_text_atomic(path, page)
    return path


def _measured(result: StudyResult) -> list[FrontMember]:
    return [member for member in result.members if member.measured_ms is not None and member.val_error is not None]


def _front_series(result: StudyResult) -> list[Series]:
    done = [candidate for candidate in result.candidates if candidate.error is not None]
    finals = _measured(result)
    best = [member for member in finals if member.is_recommended]
    place = {member.arch_id: i for i, member in enumerate(finals)}
    ties = [
        (place[member.arch_id], place[other])
        for member in finals
        for other in {*member.ties_with, *member.same_latency_as}
        if other in place and place[member.arch_id] < place[other]
    ]
    return [
        Series(
            f"candidates, short training, {_ranked_by(result)} ms",
            [candidate.latency_ms for candidate in done],
            [1 - candidate.error for candidate in done if candidate.error is not None],
            style="muted",
            labels=[f"{c.arch_id[:12]}: {c.latency_ms:.4g} ms{_others(c)}, generation {c.generation}" for c in done],
        ),
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


def _ranked_by(result: StudyResult) -> str:
    """Return where the latency comes from that candidates were ranked by."""
    is_measured = any(one.key == "latency" and one.source == "measured" for one in result.config.sought)
    return "measured" if is_measured else "predicted"


def _front_words(result: StudyResult) -> str:
    others = [one.key for one in result.config.sought if one.key not in ("error", "latency")]
    return ", ".join(["val accuracy", *others]) + " and measured ms" if others else "val accuracy and measured ms"


def _others(candidate: Candidate) -> str:
    """Return the objectives beside error and latency in words."""
    values = [one for one in candidate.values if one.key not in ("error", "latency") and one.value is not None]
    return "".join(f", {one.key} {figure_text(one.value)}" for one in values if one.value is not None)


def _front_parts(result: StudyResult) -> list[Part]:
    marks = [(result.goal.target_ms, f"target {result.goal.target_ms:.3g} ms")] if result.goal else []
    axes = Axes("latency (ms)", "top-1 accuracy on val", x_log=True, vertical_marks=marks)
    caption = (
        "Horizontal bars: 95 % interval of the measurement. Vertical bars: the seeds. Networks that share a halo tie: "
        "their seeds or their intervals cannot tell them apart. Candidates were ranked on another split (rank-val) "
        "after short training."
    )
    parts: list[Part] = [
        Figure(scatter(_front_series(result), axes, title="Pareto front"), caption),
        _members_table(result),
    ]
    return [*parts, *(Paragraph(note) for note in notes_of(result) if note not in result.notices)]


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


def _search_parts(result: StudyResult) -> list[Part]:
    evaluations = [generation["evaluations"] for generation in result.generations]
    volume = [generation["hypervolume"] for generation in result.generations]
    caption = "Volume dominated by the candidates so far"
    if result.goal:
        pairs = zip(result.config.sought, result.goal.reference_point, strict=True)
        point = ", ".join(
            f"{one.key} {figure_text(one.minimised(value))} {UNITS[one.name]}".strip() for one, value in pairs
        )
        caption += f", reference point: {point}"
    caption += "."
    figure = scatter(
        [Series(result.config.algorithm, evaluations, volume, style="line")],
        Axes("evaluations", "hypervolume", height=300),
        title="Hypervolume over evaluations",
    )
    failed = [candidate for candidate in result.candidates if candidate.status == "failed"]
    rows: list[list[Cell]] = [[candidate.arch_id[:12], candidate.reason] for candidate in failed]
    lost = [Table(["network", "why it failed"], rows, align="ll", caption="Failed candidates")] if failed else []
    return [Figure(figure, caption), *lost]


_JUDGED = (
    "No entry was built from these networks. The calibration was judged by validation networks that it had not been "
    "fitted on; the one in use may be fitted on both."
)


def _table_parts(table: LatencyTable, networks: list[dict[str, Any]]) -> list[Part]:
    series = []
    for purpose, style in (("calibration", "hollow"), ("validation", "points")):
        chosen = [row for row in networks if row["purpose"] == purpose]
        series.append(
            Series(
                f"{purpose} networks",
                [table.calibration.apply(row["sum_ms"], row["block_params"]) for row in chosen],
                [row["measured_ms"] for row in chosen],
                y_intervals=[(row["low_ms"], row["high_ms"]) for row in chosen],
                labels=[row["arch_id"][:12] for row in chosen],
                style="hollow" if style == "hollow" else "points",
            )
        )
    axes = Axes("predicted (ms)", "measured (ms)", diagonal=True, x_log=True, y_log=True)
    figure = scatter(series, axes, title="Predicted against measured latency")
    parts: list[Part] = [
        Paragraph(
            f"Table {table.lut_id}: {len(table.entries)} segments of {table.space}; "
            f"prediction = {table.calibration.formula()}."
        ),
        Figure(figure, _JUDGED),
    ]
    if table.validation is None:
        return [*parts, Paragraph("UNVALIDATED: do not rely on these predictions.")]
    names = (
        ("this table", "table"),
        ("its plain sum", "plain_sum"),
        ("constant", "constant"),
        ("MACs-linear", "macs_linear"),
    )
    rows: list[list[Cell]] = []
    for label, name in names:
        e = getattr(table.validation, name)
        rows.append([label, e.mape, e.within_5, e.within_10, e.bias, e.kendall_tau])
    columns = ["prediction", "MAPE", "within 5 %", "within 10 %", "bias", "Kendall tau"]
    formats = ["", ".2%", ".0%", ".0%", "+.2%", ".3f"]
    caption = f"Validation on {table.validation.networks} other networks"
    return [*parts, Table(columns, rows, formats=formats, caption=caption)]


def _session_parts(result: StudyResult) -> list[Part]:
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
    session = result.session
    pairs: list[tuple[str, Cell]] = [
        ("started (UTC)", session["started_at_utc"]),
        ("verdict", session["verdict"] + "".join(f"; {reason}" for reason in session["reasons"])),
        ("reference networks, raw ms", ", ".join(f"{k} {v:.4g}" for k, v in session["reference_ms"].items())),
        ("their stored nominals, ms", _nominals(session)),
        ("rounds", session["protocol"]["rounds"]),
        ("load average before, after", f"{_load(session['conditions_before'])}, {_load(session['conditions_after'])}"),
    ]
    shown = Figure(figure, "Exported files, measured interleaved in one session.")
    return [shown, *changes_parts(result), KeyValues(pairs)]


def _load(conditions: dict[str, object]) -> str:
    found = conditions.get("load_average")
    return f"{found[0]:.2f}" if isinstance(found, list) and found else "unknown"


def _provenance_parts(result: StudyResult, table: LatencyTable | None) -> list[Part]:
    pairs: list[tuple[str, Cell]] = [("study", result.study_id), ("latency table", ", ".join(result.lut_ids) or None)]
    if table is not None:
        info = table.device
        foreign = result.foreign_lut
        pairs += [
            ("device of the table" + (" (FOREIGN)" if foreign else ""), f"{info.model}, {info.os_build}"),
            ("runtime", f"{info.runtime} {info.runtime_version}, {info.threads} thread(s), {info.delegate}"),
            ("device key", table.device_key[:16]),
        ]
    pairs += [(f"version of {name}", number) for name, number in result.versions.items()]
    pairs += [(key, str(value)) for key, value in result.config.model_dump().items()]
    return [KeyValues(pairs)]


def _nominals(session: Mapping[str, Any]) -> str:
    """Return the nominals of a session; before references had groups, their geometric mean alone was kept."""
    nominals = session.get("reference_nominals_ms")
    if nominals is None:
        return f"{session['reference_nominal_ms']:.4g} (geometric mean)"
    return ", ".join(f"{name} {value:.4g}" for name, value in nominals.items())
