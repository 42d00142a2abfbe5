"""``mnas bench``: how long models take on a device, and whether they still hold their limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.options import (
    AdbOption,
    FileOption,
    FormatOption,
    OutOption,
    PlanOption,
    QuietOption,
    output_folder,
    use_adb,
)
from mnas.cli.output import ConsoleReporter, Format, Result, emit, emit_all, say

if TYPE_CHECKING:
    from devices.contenders import Entrant
    from devices.gate import Gates
    from devices.run import BenchRun
    from devices.stopping import StoppingRule
    from mnas.cli.bench_request import DevicePlan
    from mnas.cli.bench_runs import BenchJob


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


def bench(
    models: Annotated[
        list[str], typer.Argument(help="Files (.onnx, .tflite, .pt2, architecture.json), networks, pkg.mod:factory.")
    ],
    device: Annotated[list[str] | None, _option("--device", text="Device spec, repeatable; or: all.")] = None,
    threads: Annotated[int | None, _option("--threads", text="Threads of the runtime (1).")] = None,
    rounds: Annotated[int | None, _option("--rounds", text="Make so many rounds, unless the budget ends.")] = None,
    budget: Annotated[str | None, _option("--budget", text="Time of a session, e.g. 30s (10s and 1s a model).")] = None,
    precision: Annotated[str | None, _option("--precision", text="Stop when all intervals are so narrow (1%).")] = None,
    against: Annotated[list[str] | None, _option("--against", text="Baseline: a file, a network or a run.")] = None,
    max_latency_ms: Annotated[float | None, _option("--max-latency-ms", text="Exit 3 if a model takes longer.")] = None,
    max_regression: Annotated[
        str | None, _option("--max-regression", text="Exit 3 if slower by more, e.g. 5%.")
    ] = None,
    min_delta_ms: Annotated[float, _option("--min-delta-ms", text="A regression of less passes.")] = 0.0,
    gate_raw: Annotated[str, _option("--gate-raw", text="Gate raw p50, p90 or p95; flakes on shared hosts.")] = "",
    per_op: Annotated[bool, typer.Option("--per-op", help="Profile each operator, in a run of its own.")] = False,
    sustained: Annotated[str | None, _option("--sustained", text="Then run each model for so long, e.g. 10m.")] = None,
    shape: Annotated[list[str] | None, _option("--shape", text="Sizes of an input, e.g. x=1,3,224,224.")] = None,
    fill: Annotated[list[str] | None, _option("--fill", text="Fill an input with a number, e.g. sr=8000.")] = None,
    allow_nan: Annotated[bool, typer.Option("--allow-nan", help="Measure models whose outputs are NaN.")] = False,
    seed: Annotated[int | None, _option("--seed", text="Seed of the order of the visits.")] = None,
    plan: PlanOption = False,
    adb: AdbOption = "",
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure models side by side on a device, relative to reference networks, and judge them by limits.

    Exit 3: a limit is broken beyond the interval; 5: the interval straddles it; 2 or 4: a model has no number.
    """
    from devices.contenders import Entrant
    from devices.long_work import refuse_beside_long_work
    from devices.models.shapes import parse_shapes
    from mnas.cli.bench_request import duration_s, fills, plan_devices
    from mnas.cli.bench_runs import BenchJob, measure_all

    use_adb(adb)
    named = [Entrant(text) for text in models]
    gates = _gates(max_latency_ms, max_regression, min_delta_ms, gate_raw, against)
    kind = "adb" if any(one.startswith("adb:") for one in device or []) else "host"
    rule = _rule(len(named) + len(against or []), kind, rounds, budget, precision)
    sustained_s = duration_s(sustained, "--sustained") if sustained else 0.0
    if plan:
        named += [Entrant(text, "baseline") for text in against or []]
        emit(_planned(plan_devices(named, device or [], threads), rule, sustained_s), output_format, output)
        return
    options = {
        "shapes": parse_shapes(shape or []),
        "fill": fills(fill or []),
        "allow_nan": allow_nan,
        "per_op": per_op,
        "sustained_s": sustained_s,
    }
    job = BenchJob(rule, gates, seed, options, {"against": against or [], "shape": shape or [], "seed": seed})
    folder = output_folder(out)
    plans = _plans(job, named, against or [], device or [], threads, folder)
    if any(one.spec.kind != "adb" for one in plans):
        refuse_beside_long_work()
    runs = measure_all(job, plans, folder, quiet)
    _emit_runs(runs, output_format, output)
    _say_next(runs, _write_files(runs, folder / "reports"), folder, quiet)
    raise typer.Exit(_exit_code(runs, job.lost))


def _gates(
    max_latency_ms: float | None,
    max_regression: str | None,
    min_delta_ms: float,
    gate_raw: str,
    against: Sequence[str] | None,
) -> Gates:
    from devices.gate import Gates
    from mnas.cli.bench_request import raw_percentile, share
    from mnas.errors import ConfigError

    if max_regression is not None and not against:
        raise ConfigError(
            "CFG14",
            "a regression against what",
            value=f"--max-regression {max_regression}",
            why="it needs a baseline that is measured in the same session",
            fix="name one with --against FILE, NETWORK or RUN",
        )
    limit = None if max_regression is None else share(max_regression, "--max-regression")
    return Gates(max_latency_ms, limit, min_delta_ms, raw_percentile(gate_raw))


def _rule(models: int, kind: str, rounds: int | None, budget: str | None, precision: str | None) -> StoppingRule | None:
    """Return the stopping rule that was asked for, or ``None`` for what a bench does by itself."""
    from devices.stopping import asked_rule
    from mnas.cli.bench_request import duration_s, share

    budget_s = None if budget is None else duration_s(budget, "--budget")
    within = None if precision is None else share(precision, "--precision")
    return asked_rule(models, kind, rounds=rounds, budget_s=budget_s, precision=within)


def _plans(
    job: BenchJob,
    named: Sequence[Entrant],
    against: Sequence[str],
    device: Sequence[str],
    threads: int | None,
    folder: Path,
) -> list[DevicePlan]:
    """Return the devices and who is measured on each; a baseline may be a run of the store."""
    from devices.bench import BENCH_COMPONENTS
    from devices.gate import RAW_WARNING
    from mnas.cli.bench_request import baseline_entrants, plan_devices
    from mnas.store import FILE_NAME, Store

    if job.gates.raw_percentile:
        ConsoleReporter().warn(RAW_WARNING)
    plan_devices(named, device, threads)  # so that a wrong spec is told before a folder is made
    with Store(folder / FILE_NAME, BENCH_COMPONENTS) as store:
        return plan_devices([*named, *baseline_entrants(against, store)], device, threads)


def _planned(plans: Sequence[DevicePlan], rule: StoppingRule | None, sustained_s: float) -> Result:
    from devices.stopping import default_rule

    rows = []
    for plan in plans:
        models = len(plan.entrants)
        chosen = rule or default_rule(models, plan.spec.kind)
        limit_s = f"{chosen.budget_s:g}" if chosen.budget_s < 1e6 else "none"
        rows.append([str(plan.spec), models, chosen.max_rounds, limit_s, models * sustained_s / 60])
    columns = ("device", "models", "rounds at most", "session s at most", "sustained min")
    notes = [
        "a device that was never measured on is calibrated first, about 10 s; a run takes some 10 KB a round on disk"
    ]
    return Result(columns, rows, title="plan; nothing was started", notes=notes)


def _write_files(runs: Sequence[BenchRun], folder: Path) -> list[Path]:
    """Write the page of these runs, named by the first of them, and traces; what cannot be written only warns."""
    from mnas.cli.bench_extras import write_traces
    from mnas.cli.bench_report import bench_page
    from mnas.jsonio import write_text_atomic

    path = folder / f"{runs[0].run_id}.html"
    extras = {
        name: {
            f"{label} on {run.device.device_id}" if len(runs) > 1 else label: part
            for run in runs
            for label, part in run.extras.get(name, {}).items()
        }
        for name in ("per_op", "sustained")
    }
    try:
        write_text_atomic(path, bench_page(runs, per_op=extras["per_op"], sustained=extras["sustained"]))
        return [path, *write_traces(runs, folder)]
    except OSError as error:
        say(f"warning: the page was not written: {error}")
        return []


def _emit_runs(runs: Sequence[BenchRun], output_format: Format, output: Path | None) -> None:
    from mnas.cli.bench_extras import extra_results
    from mnas.cli.column_fit import terminal_width
    from mnas.cli.run_view import run_result

    width = terminal_width() if output_format is Format.table else None
    results = [run_result(run, width) for run in runs]
    if output_format in (Format.table, Format.md):  # the others hold the extras within their runs
        results += extra_results(runs)
    emit_all(results, output_format, output)


def _say_next(runs: Sequence[BenchRun], files: Sequence[Path], folder: Path, quiet: bool) -> None:
    from mnas.cli.bench_runs import offsets

    out = "" if str(folder) == "mnas-out" else f" --out {quote(str(folder))}"
    for run in runs:
        say(f"run {run.run_id}; next: mnas runs show {run.run_id}{out}", quiet=quiet)
    for text in offsets(runs):
        say(text, quiet=quiet)
    for path in files:
        say(f"{'page' if path.suffix == '.html' else 'trace'}: {path}", quiet=quiet)


def _exit_code(runs: Sequence[BenchRun], lost: Sequence[int]) -> int:
    from devices.gate import exit_code

    problems = [model.problem.exit_code for run in runs for model in run.models if model.problem]
    return exit_code([gate for run in runs for gate in run.gates], [*problems, *lost])
