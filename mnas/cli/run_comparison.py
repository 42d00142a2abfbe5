"""Runs of ``mnas bench`` beside each other, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mnas.cli.column_fit import Column, fitting, line_width
from mnas.cli.number_format import significant, with_interval
from mnas.cli.output import Result
from mnas.cli.run_view import latency_text

if TYPE_CHECKING:
    from devices.comparison import Comparison, Difference, Ratio
    from devices.run import BenchedModel

_OTHER_DEVICE = "!"


def comparison_result(found: Comparison, width: int | None = None) -> Result:
    """Return runs beside each other: latencies, and ratios to the first of them.

    Args:
        found: The comparison.
        width: Characters that a line may have; to stay within, latencies lose their intervals. ``None``: no limit.
    """
    columns = _columns(found, with_intervals=True)
    notes = list(_notes(found))
    if width is not None and line_width(columns) > width:
        columns = _columns(found, with_intervals=False)
        notes.append(f"intervals of latencies are left out to fit {width} characters; --format md has them")
    columns, _ = fitting(columns, width, (), "model")
    is_simulated = any(run.device.is_simulated for run in found.runs)
    title = ("SIMULATED " if is_simulated else "") + "runs compared: " + ", ".join(run.run_id for run in found.runs)
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return Result([column.name for column in columns], rows, _document(found), title, notes, list(_records(found)))


def _columns(found: Comparison, *, with_intervals: bool) -> list[Column]:
    columns = [Column("model", [one.label for one in found.models])]
    for place, run in enumerate(found.runs):
        models = [one.models[place] for one in found.models]
        columns.append(Column(f"{run.run_id} ms", [_latency(model, with_intervals) for model in models]))
        if place:
            ratios = [_ratio_text(one.ratios[place], found.same_device[place]) for one in found.models]
            columns.append(Column("ratio", ratios))
    return columns


def _latency(model: BenchedModel | None, with_interval: bool) -> str | None:
    if model is None:
        return None
    text = latency_text(model) or "none"
    return text if with_interval else text.partition(" ")[0]


def _ratio_text(ratio: Ratio | None, same_device: bool) -> str | None:
    if ratio is None:
        return None
    has_interval = ratio.low is not None and ratio.high is not None
    text = with_interval(ratio.value, ratio.low or 0, ratio.high or 0) if has_interval else significant(ratio.value)
    return f"{text} x" + ("" if same_device else f" {_OTHER_DEVICE}")


def _notes(found: Comparison) -> Iterator[str]:
    first = found.runs[0].run_id
    yield f"ratio: latency over that of {first}, with the 95 % interval that the two intervals give if independent"
    for place, run in enumerate(found.runs):
        if not found.same_device[place]:
            yield (
                f"WARNING: {run.run_id} is of another device or runtime than {first}: ratios marked {_OTHER_DEVICE} "
                "compare devices, not models"
            )
    yield from _differences(found)
    for run in found.runs:
        verdict = run.session.get("verdict", "")
        if run.status != "done" or verdict not in ("", "ok"):
            yield f"WARNING: {run.run_id} is {run.status}, its session {verdict or 'without a verdict'}"
    others = [one.label for one in found.models if not one.is_one_file]
    if others:
        yield f"not the same file in all runs: {', '.join(others)}"
    yield (
        "two sessions may differ by more than their intervals say; to compare models in one session, measure them side "
        f"by side: mnas bench MODEL --against {first}"
    )


def _differences(found: Comparison) -> Iterator[str]:
    """Name what differs; the nominals of different devices always do, and say nothing."""
    told = [one for one in found.differences if all(found.same_device) or not _is_nominal(one)]
    if any(_is_nominal(one) for one in told):
        yield "WARNING: the device was calibrated anew in between, so the scales of these runs differ"
    if told:
        yield "WARNING: these should be equal in all runs, and are not:"
    yield from (f"  {_difference_text(one)}{' (device key)' * (one.field in found.key_fields)}" for one in told)


def _is_nominal(difference: Difference) -> bool:
    return difference.field.startswith("nominal.")


def _difference_text(difference: Difference) -> str:
    return f"{difference.field}: {' / '.join(_value_text(value) for value in difference.values)}"


def _value_text(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, float):
        return significant(value, 4)
    return str(value) if value != "" else "none"


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "runs": [
            {
                "run_id": run.run_id,
                "started_at_utc": run.started_at_utc,
                "status": run.status,
                "device": run.device.to_json(),
                "device_key": run.device.device_key,
                "same_device": same,
                "session_verdict": run.session.get("verdict"),
            }
            for run, same in zip(found.runs, found.same_device, strict=True)
        ],
        "differences": [one.to_json() for one in found.differences],
        "models": list(_records(found)),
    }


def _records(found: Comparison) -> Iterator[dict[str, object]]:
    """Yield one flat record for each model and run that holds it."""
    for one in found.models:
        for place, model in enumerate(one.models):
            if model is None:
                continue
            ratio, measured = one.ratios[place], model.measurement
            low, high = measured.interval_ms if measured and measured.interval_ms else (None, None)
            yield {
                "model": one.label,
                "run_id": found.runs[place].run_id,
                "label": model.label,
                "sha256": model.sha256,
                "latency_ms": model.latency_ms,
                "low_ms": low,
                "high_ms": high,
                "verdict": measured.verdict if measured else None,
                "ratio": ratio.value if ratio else None,
                "ratio_low": ratio.low if ratio else None,
                "ratio_high": ratio.high if ratio else None,
                "same_device": found.same_device[place],
            }
