"""``mnas study run``: searches on a table of networks, for research."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import ConsoleReporter, Format, emit, say

if TYPE_CHECKING:
    from mnas.store import Store
    from search.tabular_study import TabularStudy


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


def run(
    table: Annotated[Path | None, _option("--table", text="CSV or JSON of networks with known objectives.")] = None,
    objectives: Annotated[
        str | None, _option("--objectives", text="Such as top1:max,latency_ms:min; the cheap one last.")
    ] = None,
    genes: Annotated[str | None, _option("--genes", text="Columns of genes, joined by commas.")] = None,
    algorithm: Annotated[str | None, _option("--algorithm", text="nsga2 (default) or another by name.")] = None,
    budget: Annotated[str | None, _option("--budget", text="Networks (200), or time such as 30m; or both.")] = None,
    seeds: Annotated[str | None, _option("--seeds", text="Such as 0-9 or 0,3,5 (0): one study each.")] = None,
    population: Annotated[int | None, _option("--population", text="Networks of a generation (20).")] = None,
    oversample: Annotated[int | None, _option("--oversample", text="Candidates seen for each (1).")] = None,
    patience: Annotated[int | None, _option("--patience", text="Generations without gain before stopping.")] = None,
    target: Annotated[float | None, _option("--target", text="T of the reward (median of the table).")] = None,
    alpha: Annotated[float | None, _option("--alpha", text="Exponent at or below T (-0.07).")] = None,
    beta: Annotated[float | None, _option("--beta", text="Exponent above T (-0.07).")] = None,
    reference_point: Annotated[
        str | None, _option("--reference-point", text="Minimised, joined by commas (the worst of the table).")
    ] = None,
    resume: Annotated[str | None, _option("--resume", text="Go on with what is unfinished, or with one ID.")] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search on a table whose every network is known: to judge algorithms. One study for each seed.

    Kill it whenever you like; the same command with --resume goes on, and comes to the same front.
    """
    named = dict(locals())
    from mnas.cli.study_list import list_result
    from mnas.store import FILE_NAME, Store
    from search.schema import SEARCH

    given = _given(named)
    folder = output_folder(out)
    with Store(folder / FILE_NAME, (SEARCH,), must_exist=resume is not None) as store:
        studies = _studies(store, given, read_seeds(seeds or "0"), resume)
        reporter = ConsoleReporter(quiet)
        what = "one study" if len(studies) == 1 else f"{len(studies)} studies"
        reporter.line(f"{what} in {folder}; if interrupted: mnas study run --resume --out {quote(str(folder))}")
        for study in studies:
            reporter.line(f"study {study.study_id}: {study.config.algorithm}, seed {study.config.seed}")
            study.run(reporter)
        emit(list_result(store, [study.study_id for study in studies]), output_format, output)
    say(f"next:    mnas study compare --out {quote(str(folder))}", quiet=quiet)


def _given(named: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration's keys that were given."""
    plain = ("objectives", "algorithm", "budget", "population", "oversample", "patience", "target", "alpha", "beta")
    given = {name: named[name] for name in plain if named[name] is not None}
    if named["genes"] is not None:
        given["genes"] = tuple(filter(None, named["genes"].split(",")))
    if named["reference_point"] is not None:
        given["reference_point"] = tuple(named["reference_point"].split(","))
    if named["table"] is not None:
        from search.tabular_study import table_sha256

        given |= {"table": str(named["table"].resolve()), "table_sha256": table_sha256(named["table"])}
    return given


def read_seeds(text: str) -> list[int]:
    """Read ``0-9``, ``0,3,5`` or a mixture.

    Raises:
        BadParameter: It is none.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < 10_000:
            raise typer.BadParameter(f"{part!r} are no seeds; write --seeds 0-9 or 0,3,5")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def _studies(store: Store, given: dict[str, Any], seeds: list[int], resume: str | None) -> list[TabularStudy]:
    from search.algorithms.registry import require_algorithm
    from search.table_objective import parse_objectives
    from search.tabular_config import make_tabular_config
    from search.tabular_study import TabularStudy

    if resume is not None:
        return TabularStudy.resume(store, resume, given)
    if "table" not in given or "objectives" not in given:
        raise typer.BadParameter("a study needs --table FILE and --objectives such as top1:max,latency_ms:min")
    configs = [make_tabular_config({**given, "seed": seed}) for seed in seeds]
    objectives = parse_objectives(configs[0].objectives)
    if configs[0].reference_point and len(configs[0].reference_point) != len(objectives):
        raise typer.BadParameter(f"--reference-point needs {len(objectives)} numbers, one an objective")
    require_algorithm(configs[0].algorithm)
    return TabularStudy.create(store, configs)
