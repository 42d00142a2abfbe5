"""The page of a latency table: how far it errs, what it covers, heat maps, doubts, and how it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.cli.lut_heatmaps import heat_figures
from mnas.cli.lut_view import ERRORS, UNVALIDATED, consistency_notes, coverage_text, non_monotone_rows, title_of
from mnas.cli.number_format import with_interval
from mnas.jsonio import write_text_atomic
from mnas.report.page import Cell, Figure, KeyValues, Paragraph, Part, Quantity, Section, Table, render_page
from mnas.report.svg import Axes, Series, scatter

if TYPE_CHECKING:
    from latency.additivity import Additivity
    from latency.coverage import Coverage
    from latency.table import LatencyTable
    from mnas.space import SearchSpace
    from mnas.store import Store

_FORMATS = ("", ".2%", ".4f", ".0%", ".0%", "+.2%", ".3f", ".3f")
_PURPOSES = (("calibration", "hollow"), ("validation", "points"))
_MOST_ROWS = 200
_Rows = Sequence[Mapping[str, Any]]


def lut_report_path(out: Path, lut_id: str) -> Path:
    """Return where the page of a table lies."""
    return out / "reports" / f"{lut_id}.html"


def write_lut_report(store: Store, table: LatencyTable, path: Path) -> Path:
    """Write the page of a table and return its path.

    Raises:
        OSError: The file cannot be written.
    """
    from latency.additivity import stored_additivity
    from latency.consistency import load_consistency

    networks = [dict(row) for row in store.query("SELECT * FROM lut_network WHERE lut_id = ?", (table.lut_id,))]
    sittings = [dict(row) for row in store.query("SELECT * FROM lut_sitting WHERE lut_id = ?", (table.lut_id,))]
    consistency, additivity = load_consistency(store, table.lut_id), stored_additivity(store, table)
    write_text_atomic(path, lut_page(table, networks, sittings, consistency, additivity))
    return path


def lut_page(
    table: LatencyTable,
    networks: _Rows,
    sittings: _Rows,
    consistency: Mapping[str, Any] | None = None,
    additivity: Additivity | None = None,
) -> str:
    """Return one self-contained HTML page of a table.

    Args:
        table: The table.
        networks: Rows of ``lut_network``.
        sittings: Rows of ``lut_sitting``.
        consistency: How the devices that shared the table agree.
        additivity: Whether sums tell the latency of whole networks on its device.
    """
    from latency.coverage import coverage_of, covered_space, stages_of

    space = covered_space(table)
    coverage = coverage_of(table, space) if space else None
    sections = [
        Section("Error", [*error_parts(table, networks, space), *_additivity_parts(additivity)]),
        Section("Coverage", _coverage_parts(table, coverage)),
        Section("Heat maps", heat_figures(table, stages_of(space) if space else {}) or [Paragraph("No blocks.")]),
        Section("Stem and head", [_ends_table(table)]),
        Section("Entries in doubt", _doubt_parts(table)),
    ]
    if consistency is not None:
        sections.append(Section("Devices", _device_parts(consistency)))
    sections.append(Section("Provenance", [KeyValues(_provenance(table, sittings))]))
    info = table.device
    title = f"Latency table of {table.space} on {info.model}, {info.runtime}"
    subtitle = f"{table.lut_id}, {table.created_at_utc}, {info.device_id}"
    return render_page(title, sections, subtitle=subtitle, notices=_notices(table, coverage, consistency, additivity))


def _notices(
    table: LatencyTable,
    coverage: Coverage | None,
    consistency: Mapping[str, Any] | None,
    additivity: Additivity | None,
) -> list[str]:
    notices = ["SIMULATED device: the numbers are made up."] if table.device.is_simulated else []
    if table.origin is not None:
        notices.append(f"This table was not built here: {table.origin.text()}.")
    if table.validation is None:
        notices.append(f"{UNVALIDATED}: nothing says how far this table's predictions are off.")
    if coverage is not None and coverage.present < coverage.reached:
        notices.append(f"Not complete: {coverage_text(coverage, table)}.")
    if additivity is not None and additivity.verdict == "not additive":
        notices.append(f"Not additive here: {additivity.advice()}.")
    if consistency is not None and consistency["verdict"] != "ok":
        notices.append("; ".join(consistency_notes(consistency)))
    return notices


def error_parts(table: LatencyTable, networks: _Rows, space: SearchSpace | None) -> list[Part]:
    """Return how a table predicts whole networks: against what was measured, what is left over, error by baseline.

    Args:
        table: The table.
        networks: Rows of ``lut_network``.
        space: That the networks are of, or ``None`` where it is not known; then predictions have no intervals.
    """
    parts: list[Part] = [Paragraph(f"{title_of(table)}. Prediction = {table.calibration.formula()}.")]
    if networks:
        predicted = _predicted(table, networks, space)
        parts += [_scatter_figure(networks, predicted), _residual_figure(networks, predicted)]
    if table.validation is None:
        return [*parts, Paragraph(f"{UNVALIDATED}: do not rely on these predictions.")]
    rows: list[list[Cell]] = []
    for name, label in ERRORS:
        e = getattr(table.validation, name)
        rows.append([label, e.mape, e.rmse_ms, e.within_5, e.within_10, e.bias, e.kendall_tau, e.spearman])
    columns = ["prediction", "MAPE", "RMSE (ms)", "within 5 %", "within 10 %", "bias", "Kendall tau", "Spearman"]
    caption = (
        f"On {table.validation.networks} other networks; the calibration that is judged, and the baselines, are fitted "
        f"on the calibration networks alone; {table.validation.intervals_text()}."
    )
    return [*parts, Table(columns, rows, formats=_FORMATS, caption=caption, sortable=False)]


def _additivity_parts(additivity: Additivity | None) -> list[Part]:
    return [Paragraph(f"Do sums of blocks tell whole networks? {additivity.sentence()}.")] if additivity else []


_Predicted = Mapping[str, tuple[float, float, float]]
"""arch_id -> predicted milliseconds and the ends of their interval."""


def _predicted(table: LatencyTable, networks: _Rows, space: SearchSpace | None) -> _Predicted:
    if space is None:
        plain = ((row["arch_id"], table.calibration.apply(row["sum_ms"], row["block_params"])) for row in networks)
        return {arch_id: (ms, ms, ms) for arch_id, ms in plain}
    decoded = [space.decode(tuple(json.loads(row["genome_json"]))) for row in networks]
    return {
        row["arch_id"]: (one.ms, one.low_ms, one.high_ms)
        for row, one in zip(networks, table.estimate(decoded), strict=True)
    }


def _scatter_figure(networks: _Rows, predicted: _Predicted) -> Figure:
    series = []
    for purpose, style in _PURPOSES:
        chosen = [row for row in networks if row["purpose"] == purpose]
        series.append(
            Series(
                f"{purpose} networks",
                [predicted[row["arch_id"]][0] for row in chosen],
                [row["measured_ms"] for row in chosen],
                x_intervals=[predicted[row["arch_id"]][1:] for row in chosen],
                y_intervals=[(row["low_ms"], row["high_ms"]) for row in chosen],
                labels=[_network_label(row, predicted) for row in chosen],
                style="hollow" if style == "hollow" else "points",
            )
        )
    axes = Axes("predicted (ms)", "measured (ms)", diagonal=True, x_log=True, y_log=True)
    caption = (
        "Bars are 95 % intervals. No entry was built from these networks. The calibration was judged by validation "
        "networks that it had not been fitted on; the one in use may be fitted on both."
    )
    return Figure(scatter(series, axes, title="Predicted against measured latency"), caption)


def _residual_figure(networks: _Rows, predicted: _Predicted) -> Figure:
    series = []
    for purpose, style in _PURPOSES:
        chosen = [row for row in networks if row["purpose"] == purpose]
        measured = [row["measured_ms"] for row in chosen]
        ends = [tuple(100 * (ms / row["measured_ms"] - 1) for ms in predicted[row["arch_id"]]) for row in chosen]
        series.append(
            Series(
                f"{purpose} networks",
                measured,
                [end[0] for end in ends],
                y_intervals=[(end[1], end[2]) for end in ends],
                labels=[_network_label(row, predicted) for row in chosen],
                style="hollow" if style == "hollow" else "points",
            )
        )
    axes = Axes("measured (ms)", "prediction off by (%)", x_log=True, height=300)
    return Figure(
        scatter(series, axes, title="Residuals"), "Above zero: predicted too long. Bars: the prediction's interval."
    )


def _network_label(row: Mapping[str, Any], predicted: _Predicted) -> str:
    ms = predicted[row["arch_id"]][0]
    off = ms / row["measured_ms"] - 1
    return f"{row['arch_id'][:12]}: predicted {ms:.4g} ms, measured {row['measured_ms']:.4g} ms ({off:+.1%})"


def _coverage_parts(table: LatencyTable, coverage: Coverage | None) -> list[Part]:
    parts: list[Part] = [Paragraph(f"{coverage_text(coverage, table)}.")]
    if coverage is None:
        return parts
    sides = sorted({one.resolution_px for one in coverage.stages})
    names = list(dict.fromkeys(one.stage for one in coverage.stages))
    counts = {(one.stage, one.resolution_px): one for one in coverage.stages}
    rows: list[list[Cell]] = [[name, *(_count(counts.get((name, px))) for px in sides)] for name in names]
    heads = ["stage", *(f"{px} px" for px in sides)]
    caption = "Segments that the table has, of those that the space reaches; one may occur at several resolutions."
    parts.append(Table(heads, rows, align="l" + "r" * len(sides), caption=caption))
    missing: list[list[Cell]] = [[label] for label in coverage.missing[:_MOST_ROWS]]
    return (
        [*parts, Table(["missing segment"], missing, caption=f"{len(coverage.missing)} are missing.")]
        if missing
        else parts
    )


def _count(found: Any) -> Cell:
    return None if found is None else Quantity(f"{found.present} of {found.reached}", float(found.present))


def _ends_table(table: LatencyTable) -> Table:
    found = [(segment, entry) for segment, entry in table.entries.items() if segment.role != "block"]
    rows: list[list[Cell]] = [
        [
            segment.label(),
            Quantity(with_interval(entry.latency_ms, entry.low_ms, entry.high_ms), entry.latency_ms),
            entry.verdict,
        ]
        for segment, entry in sorted(found, key=lambda one: (one[0].role != "stem", one[0].in_shape_chw))
    ]
    return Table(["segment", "ms [95 %]", "verdict"], rows, align="lrl")


def _doubt_parts(table: LatencyTable) -> list[Part]:
    doubted = [(segment, entry) for segment, entry in table.entries.items() if entry.verdict != "ok"]
    doubted.sort(key=lambda one: (one[1].verdict, one[0].label()))
    rows: list[list[Cell]] = [
        [segment.label(), Quantity(with_interval(one.latency_ms, one.low_ms, one.high_ms), one.latency_ms), one.verdict]
        for segment, one in doubted[:_MOST_ROWS]
    ]
    parts: list[Part] = [Paragraph(f"{len(doubted)} of {len(table.entries)} entries have a verdict other than ok.")]
    parts += [Table(["segment", "ms [95 %]", "verdict"], rows, align="lrl")] if rows else []
    falling = non_monotone_rows(table)
    parts.append(Paragraph(f"{len(falling)} entries fall where they should rise with kernel, channels or pixels."))
    lines: list[list[Cell]] = [[text] for text in falling[:_MOST_ROWS]]
    parts += [Table(["non-monotone"], lines)] if lines else []
    return parts


def _device_parts(consistency: Mapping[str, Any]) -> list[Part]:
    rows: list[list[Cell]] = []
    for one in consistency["devices"]:
        ends = one["interval"]
        interval = f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else None
        rows.append(
            [one["device_id"], one["visits"], one["probes"], one["ratio"], interval, one["spread"], one["level"]]
        )
    columns = ["device", "visits", "common probes", "against the others", "95 % interval", "spread", "references"]
    caption = "Against the others: latencies of the common probes, normalised. References: raw, over their nominals."
    table = Table(columns, rows, formats=["", ",", ",", ".3f", "", ".1%", ".2f"], caption=caption)
    return [table, *(Paragraph(reason) for reason in consistency["reasons"])]


def _provenance(table: LatencyTable, sittings: _Rows) -> list[tuple[str, Cell]]:
    info, settings = table.device, dict(table.settings)
    protocol = settings.pop("protocol", {})
    settings.pop("space_definition", None)
    pairs: list[tuple[str, Cell]] = [
        ("table", table.lut_id),
        ("space", table.space),
        ("begun (UTC)", table.created_at_utc),
        ("device", f"{info.model}, {info.os_build}"),
        ("runtime", f"{info.runtime} {info.runtime_version}, {info.threads} thread(s), {info.delegate}"),
        ("pinned to", f"mask {info.cpu_mask}" if info.cpu_mask else "nothing"),
        ("device key", table.device_key[:16]),
        ("element type, batch", f"{table.dtype}, {table.batch}"),
        ("sittings", f"{len(sittings)}" + (f", the last begun {sittings[-1]['started_at_utc']}" if sittings else "")),
    ]
    pairs += [(name, str(value)) for name, value in settings.items()]
    pairs += [(f"protocol: {name}", str(value)) for name, value in dict(protocol).items()]
    if sittings:
        nominals = json.loads(sittings[-1]["nominals_json"])
        pairs += [(f"nominal of {name} (ms)", float(ms)) for name, ms in nominals.items()]
    return pairs
