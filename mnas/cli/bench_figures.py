"""The figures of a bench run's page: latencies, raw runs, the course of the session, a sustained run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnas.cli.number_format import significant
from mnas.cli.run_view import latency_text
from mnas.report.histogram import draw_histogram, extent, histogram, quantile
from mnas.report.page import Figure, Gallery
from mnas.report.svg import Axes, Series, scatter

if TYPE_CHECKING:
    from devices.run import BenchedModel, BenchRun

_LOG_FROM = 10.0
_SHARED_UP_TO = 1.5
_MOST_NAMED = 4
_MOST_POINTS = 120

Level = dict[int, float]
"""Round -> a model's median in it over the model's median of the whole session."""


def latency_or_none(model: BenchedModel) -> str:
    """Return the latency with its interval, or that there is none."""
    return latency_text(model) or "no number"


def by_latency(models: Sequence[BenchedModel]) -> list[BenchedModel]:
    """Return the models, fastest first and those without a number at the end."""
    return sorted(models, key=lambda model: math.inf if model.latency_ms is None else model.latency_ms)


def _is_wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM


def _dots(name: str, models: Sequence[tuple[int, BenchedModel]], style: str, place: int) -> Series:
    return Series(
        name,
        [model.latency_ms for _, model in models],
        [row for row, _ in models],
        x_intervals=[model.measurement.interval_ms if model.measurement else None for _, model in models],
        labels=[f"{model.label}: {latency_or_none(model)} ms, {verdict_of(model)}" for _, model in models],
        ids=[row_id(place, model) for _, model in models],
        style="hollow" if style == "hollow" else "points",
    )


def verdict_of(model: BenchedModel) -> str:
    """Return the verdict on a model; one that was never measured is ``invalid``."""
    return model.measurement.verdict if model.measurement else "invalid"


def row_id(place: int, model: BenchedModel) -> str:
    """Return what ties a model's row to its dot; ``place`` is that of its run on the page."""
    return f"{place}/{model.label}"


def latency_figure(run: BenchRun, place: int) -> Figure:
    """Return one row for each model of a run: its latency and the 95 % interval, fastest on top."""
    models = by_latency(run.models)
    known = [(row, model) for row, model in enumerate(models) if model.latency_ms is not None]
    kinds = (
        ("ok", "points", [(r, m) for r, m in known if m.role == "model" and verdict_of(m) == "ok"]),
        ("verdict not ok", "hollow", [(r, m) for r, m in known if m.role == "model" and verdict_of(m) != "ok"]),
        ("baseline", "points", [(r, m) for r, m in known if m.role == "baseline"]),
    )
    latencies = [model.latency_ms for _, model in known if model.latency_ms is not None]
    limits = {gate.limit for gate in run.gates if gate.gate == "max-latency-ms" and gate.limit > 0}
    axes = Axes(
        "latency_ms (ms)",
        "",
        x_log=_is_wide([*latencies, *limits]),
        vertical_marks=[(limit, f"limit {limit:g} ms") for limit in sorted(limits)],
        rows=[(model.label, latency_or_none(model)) for model in models],
        height=160,
    )
    series = [_dots(name, found, style, place) for name, style, found in kinds if found]
    caption = (
        "latency_ms with its 95 % interval (bootstrap over rounds); where no bar is seen it is narrower than the dot."
    )
    return Figure(scatter(series, axes, title="Latency of each model"), caption)


def devices_figure(runs: Sequence[BenchRun], names: Sequence[str]) -> Figure:
    """Return one row for each label, with a dot for each device that measured it."""
    fastest: dict[str, float] = {}
    for run in runs:
        for model in run.models:
            here = math.inf if model.latency_ms is None else model.latency_ms
            fastest[model.label] = min(here, fastest.get(model.label, math.inf))
    labels = sorted(fastest, key=lambda label: fastest[label])
    step = min(0.2, 0.6 / len(runs))
    series = []
    for place, (run, name) in enumerate(zip(runs, names, strict=True)):
        offset = step * (place - (len(runs) - 1) / 2)
        rows = [(labels.index(model.label) + offset, model) for model in run.models if model.latency_ms is not None]
        dots = Series(
            name,
            [model.latency_ms for _, model in rows],
            [row for row, _ in rows],
            x_intervals=[model.measurement.interval_ms if model.measurement else None for _, model in rows],
            labels=[f"{model.label} on {name}: {latency_or_none(model)} ms" for _, model in rows],
            ids=[row_id(place, model) for _, model in rows],
        )
        series.append(dots)
    latencies = [model.latency_ms for run in runs for model in run.models if model.latency_ms is not None]
    axes = Axes("latency_ms (ms)", "", x_log=_is_wide(latencies), rows=[(label, "") for label in labels], height=160)
    caption = (
        "latency_ms with its 95 % interval on each device, ordered by the fastest. Each device has a scale of its own."
    )
    return Figure(scatter(series, axes, title="Latency of each model on each device"), caption)


def raw_gallery(run: BenchRun) -> tuple[Gallery, bool]:
    """Return a histogram of each model's timed runs as they were, and whether they share one axis."""
    shown = []
    for model in by_latency(run.models):
        samples = sorted(v for v in (model.measurement.samples_ms if model.measurement else ()) if math.isfinite(v))
        if samples:
            shown.append((model, samples, histogram(samples)))
    medians = [quantile(samples, 0.5) for _, samples, _ in shown]
    shared = len(shown) > 1 and min(medians) > 0 and max(medians) / min(medians) <= _SHARED_UP_TO
    x_range = extent([found for *_, found in shown]) if shared else None
    low = float(run.session.get("protocol", {}).get("quantile", 0.2))
    figures = []
    for model, samples, found in shown:
        marks = [(quantile(samples, low), f"q{100 * low:.0f}"), (quantile(samples, 0.5), "median")]
        svg = draw_histogram(found, "raw (ms)", title=f"Raw runs of {model.label}", marks=marks, x_range=x_range)
        tail = f"; {found.beyond} beyond, slowest {significant(found.largest)} ms" if found.beyond else ""
        caption = f"{model.label}: {len(samples):,} runs, {', '.join(f'{n} {significant(v)}' for v, n in marks)}{tail}"
        figures.append(Figure(svg, caption))
    return Gallery(figures), shared


def levels(samples_ms: Sequence[float], rounds: Sequence[int]) -> Level:
    """Return the median of each round over the median of all runs; runs that are no time are left out."""
    by_round: dict[int, list[float]] = {}
    for value, number in zip(samples_ms, rounds, strict=True):
        if math.isfinite(value) and value > 0:
            by_round.setdefault(number, []).append(value)
    everything = [value for values in by_round.values() for value in values]
    whole = statistics.median(everything) if everything else math.nan
    return {number: statistics.median(values) / whole for number, values in sorted(by_round.items())}


def reference_levels(session: Mapping[str, Any]) -> dict[str, Level]:
    """Return the common level of each group of references in each round; empty where the session does not keep it.

    It is read from ``reference_rounds_ms``: name -> round -> median of the round's runs in milliseconds.
    """
    from devices.references import group_of

    groups: dict[str, list[Level]] = {}
    for name, rounds in (session.get("reference_rounds_ms") or {}).items():
        level = levels([float(value) for value in rounds.values()], [int(number) for number in rounds])
        groups.setdefault(group_of(name), []).append(level)
    found = {}
    for group, each in groups.items():
        shared = set.intersection(*(set(one) for one in each))
        if shared:
            found[group] = {n: _geometric_mean([one[n] for one in each]) for n in sorted(shared)}
    return found


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))


def level_for(samples_ms: Sequence[float], session: Mapping[str, Any]) -> Level:
    """Return the references' level in each round as it counts for one model.

    A model is compared with the cached references when it is as short as they are, with the streaming ones when it is
    as long, and in between with both, by where its time lies between theirs on a logarithmic scale
    (docs/contracts.md).
    """
    from devices.references import group_of

    found = reference_levels(session)
    if len(found) < 2:
        return next(iter(found.values()), {})
    times: dict[str, list[float]] = {}
    for name, value in (session.get("reference_ms") or {}).items():
        times.setdefault(group_of(name), []).append(float(value))
    short, long = (math.log(_geometric_mean(times[group])) for group in ("cached", "streaming"))
    part = float((session.get("protocol") or {}).get("quantile", 0.2))
    own = quantile(sorted(value for value in samples_ms if math.isfinite(value) and value > 0), part)
    share = min(max((math.log(own) - short) / (long - short), 0.0), 1.0) if long > short else 0.5
    cached, streaming = found["cached"], found["streaming"]
    return {n: cached[n] ** (1 - share) * streaming[n] ** share for n in cached if n in streaming}


def _thinned(level: Level) -> tuple[list[float], list[float]]:
    """Return rounds and values of a line, neighbouring rounds joined by their median where there are too many."""
    numbers = sorted(level)
    size = math.ceil(len(numbers) / _MOST_POINTS) or 1
    groups = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return [statistics.fmean(g) + 1 for g in groups], [statistics.median(level[n] for n in g) for g in groups]


def _lines(named: Sequence[tuple[str, Level]]) -> list[Series]:
    few = len(named) <= _MOST_NAMED
    series = []
    for label, level in named:
        xs, ys = _thinned(level)
        style: Any = "trace" if few else "faint"
        series.append(Series(label if few else "", xs, ys, labels=[label] * len(xs), style=style))
    return series


def course_figures(run: BenchRun) -> list[Figure]:
    """Return the session over its rounds: raw medians beside the references' level, and what the ratio leaves."""
    named, left = [], []
    for model in by_latency(run.models):
        samples, rounds = (model.measurement.samples_ms, model.measurement.rounds) if model.measurement else ((), ())
        level = levels(samples, rounds)
        if level:
            named.append((model.label, level))
            reference = level_for(samples, run.session)
            left.append((model.label, {n: level[n] / reference[n] for n in level if n in reference}))
    if not named:
        return []
    first = []
    for group, level in reference_levels(run.session).items():
        xs, ys = _thinned(level)
        name = f"{group} reference networks"
        first.append(Series(name, xs, ys, labels=[name] * len(xs), style="line"))
    note = "" if len(named) <= _MOST_NAMED else " Each thin line is a model; point at one to read its name."
    axes = Axes("round", "over own median", height=300)
    caption = "Raw: each model's median in a round over its median of the whole session." + note
    lines = _lines(named)
    # The references take the first colours, but lie above lines that have none.
    series = [*first, *lines] if len(named) <= _MOST_NAMED else [*lines, *first]
    figures = [Figure(scatter(series, axes, title="Raw medians over the rounds"), caption)]
    if any(level for _, level in left):
        axes = Axes("round", "the same, corrected", height=300)
        caption = (
            "The same lines divided by the level of the reference networks. What is left did not hit model and "
            "references alike: a disturbance shorter than a round is one such."
        )
        same_colours = [Series("", [], [], style="line") for _ in first]
        figure = scatter([*same_colours, *_lines(left)], axes, title="Medians over the rounds, corrected")
        figures.append(Figure(figure, caption))
    return figures


def sustained_figure(windows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return latency over time of a model that ran back to back."""
    middles = [(float(one["start_s"]) + float(one["end_s"])) / 2 for one in windows]
    series = [
        Series("median (p50)", middles, [one.get("p50_ms") for one in windows], style="line"),
        Series("low quantile (q20)", middles, [one.get("q20_ms") for one in windows], style="trace"),
    ]
    figure = scatter(series, Axes("seconds since the start", "raw (ms)", height=320), title="Latency over time")
    return Figure(figure, f"Raw runs in {len(windows)} windows of time, not corrected by the references.")
