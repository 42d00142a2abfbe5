"""Figures for notebooks by plotly, which is an extra; the pages of `mnas report` need nothing but a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devices.run import BenchRun
from mnas.optional import optional_package
from mnas.report.text import escaped
from search.accuracy.estimator import SCORE
from search.api.rows import Rows

_MS = "latency, ms (95 % interval)"


def bench_figure(run: BenchRun) -> Any:
    """Return the latencies of a run's models as bars with their intervals.

    Raises:
        PackageError: ``PKG01``: plotly is not installed.
    """
    plotly = _plotly()
    models = [model for model in run.models if model.latency_ms is not None and model.measurement is not None]
    values = [model.latency_ms or 0.0 for model in models]
    ends = [model.measurement.interval_ms for model in models if model.measurement is not None]
    figure = plotly.Figure(
        plotly.Bar(x=[_text(model.label) for model in models], y=values, error_y=_error(values, ends))
    )
    simulated = "SIMULATED " if run.device.is_simulated else ""
    return _titled(figure, f"{simulated}{run.run_id} on {run.device.model}, {run.device.runtime}", "", _MS)


def table_figure(networks: Rows) -> Any:
    """Return what a table predicts of whole networks against what was measured, with the line where both are equal.

    Args:
        networks: As `search.api.table.LatencyTable.networks` gives them.

    Raises:
        PackageError: ``PKG01``: plotly is not installed.
    """
    plotly = _plotly()
    figure = plotly.Figure()
    for purpose in ("calibration", "validation"):
        own = [one for one in networks if one["purpose"] == purpose]
        measured = [one["measured_ms"] for one in own]
        figure.add_trace(
            plotly.Scatter(
                x=[one["predicted_ms"] for one in own],
                y=measured,
                error_y=_error(measured, [(one["low_ms"], one["high_ms"]) for one in own]),
                mode="markers",
                name=purpose,
                text=[one["arch_id"][:12] for one in own],
            )
        )
    ends = [extreme(one["measured_ms"] for one in networks) for extreme in (min, max)] if networks else []
    figure.add_trace(plotly.Scatter(x=ends, y=ends, mode="lines", name="equal", hoverinfo="skip"))
    return _titled(figure, networks.title, "predicted, ms", "measured, ms (95 % interval)")


def front_figure(candidates: Rows, front: Rows) -> Any:
    """Return the candidates of a study, and its finalists with measured latencies and their intervals.

    Args:
        candidates: As `search.api.study.Study.candidates` gives them.
        front: As `search.api.study.Study.front` gives them.

    Raises:
        PackageError: ``PKG01``: plotly is not installed.
    """
    plotly = _plotly()
    # What a score ranks has no accuracy to be drawn at.
    done = [
        one for one in candidates if one["error"] is not None and not one.get("accuracy_source", "").startswith(SCORE)
    ]
    figure = plotly.Figure(
        plotly.Scatter(
            x=[one["predicted_ms"] for one in done],
            y=[1 - one["error"] for one in done],
            mode="markers",
            opacity=0.4,
            name="candidates, predicted",
            text=[one["network"] for one in done],
        )
    )
    final = [one for one in front if one["measured_ms"] is not None and one["val_error"] is not None]
    for name, is_front in (("front, measured", True), ("other finalists", False)):
        figure.add_trace(_finalists(plotly, [one for one in final if one["recommended"] is is_front], name))
    return _titled(figure, front.title, _MS, "top-1 accuracy")


def _finalists(plotly: Any, members: Sequence[Mapping[str, Any]], name: str) -> Any:
    measured = [one["measured_ms"] for one in members]
    return plotly.Scatter(
        x=measured,
        y=[1 - one["val_error"] for one in members],
        error_x=_error(measured, [(one["low_ms"], one["high_ms"]) for one in members]),
        mode="lines+markers" if name.startswith("front") else "markers",
        name=name,
        text=[one["network"] for one in members],
    )


def _plotly() -> Any:
    return optional_package("plotly.graph_objects", "a plot", "viz")


def _error(values: Sequence[float], ends: Sequence[tuple[float | None, float | None] | None]) -> Any:
    """Return error bars; a value without an interval has none."""
    known = [pair if pair and None not in pair else (value, value) for value, pair in zip(values, ends, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [(high or value) - value for value, (_, high) in zip(values, known, strict=True)],
        "arrayminus": [value - (low or value) for value, (low, _) in zip(values, known, strict=True)],
    }


def _text(text: str) -> str:
    """Return a text as plotly shows it as it is: it reads a few tags of HTML in labels."""
    return str(escaped(text))


def _titled(figure: Any, title: str, x: str, y: str) -> Any:
    figure.update_layout(title={"text": _text(title)}, xaxis_title=x, yaxis_title=y, template="plotly_white")
    return figure
