"""``mnas arch sample``: distinct networks of a space that meet constraints."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnas.cli.options import FileOption, FormatOption, OutOption, QuietOption, output_folder
from mnas.cli.output import Format, Result, emit, say

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.architecture import Architecture
    from mnas.constraint import Constraint
    from mnas.genome_counts import GenomeCounts
    from mnas.space import Genome, SearchSpace

_COUNT = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)([kMG]?)")
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


def count_of(text: str) -> float:
    """Read a number of operations or parameters such as ``300M``, ``1.5G``, ``250k`` or ``3e6``."""
    found = _COUNT.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no number; write e.g. 300M, 1.5G, 250k or 3000000")
    return float(found[1]) * _FACTORS[found[2]]


_Count = Annotated[float | None, typer.Option(parser=count_of, metavar="NUMBER", help="E.g. 300M.")]
_Milliseconds = Annotated[float | None, typer.Option(min=0.0, help="By the table.")]


def sample(
    space: Annotated[str, typer.Option("--space", help="Search space, or a .toml file of yours.")] = "mobilenetv3",
    preset: Annotated[str, typer.Option("--preset", help="fashion, digits or imagenet (default).")] = "",
    resolution: Annotated[list[int] | None, typer.Option("--resolution", help="Only these pixels (repeat).")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=100_000, help="How many networks.")] = 10,
    min_macs: _Count = None,
    max_macs: _Count = None,
    min_params: _Count = None,
    max_params: _Count = None,
    min_latency_ms: _Milliseconds = None,
    max_latency_ms: _Milliseconds = None,
    lut: Annotated[str, typer.Option("--lut", help="Id of a latency table of the output folder.")] = "",
    missing: Annotated[str, typer.Option("--missing", help="Entries that it lacks: refuse, interpolate.")] = "refuse",
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same networks.")] = 0,
    tries: Annotated[int, typer.Option("--tries", min=1, max=10_000_000, help="Look at no more networks.")] = 100_000,
    uniform: Annotated[
        bool, typer.Option("--uniform", help="Only a uniform sample of what meets the constraints, however rare it is.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write FOLDER/ID/architecture.json of each.", metavar="FOLDER")
    ] = None,
    out: OutOption = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Draw distinct networks of a space that meet constraints on MACs, parameters and latency.

    All networks that meet them are equally likely. Where they are too rare to be found by drawing, those found so far
    are mutated towards them, which a note then says; --uniform forbids it.
    """
    from mnas.candidates import CandidateGenerator
    from mnas.cli.sample_table import table_about, table_notes
    from mnas.genome_counts import GenomeCounts
    from mnas.seeding import named_rng
    from mnas.spaces.presets import chosen_space
    from mnas.spaces.toml_file import is_space_file

    preset = preset or ("" if is_space_file(space) else "imagenet")
    opened = chosen_space(space, preset, tuple(resolution or ()))
    counts, ranges = GenomeCounts(opened), (min_macs, max_macs, min_params, max_params)
    constraints = _count_constraints(counts, *ranges)
    table = _table(opened, lut, missing, (min_latency_ms, max_latency_ms), out)
    latency = _latency_constraint(table, opened, (min_latency_ms, max_latency_ms)) if table else None
    constraints += [latency] if latency else []
    rng = named_rng(seed, "arch sample", opened.name)
    generator = CandidateGenerator(opened, constraints, rng, max_tries=tries, uniform=uniform)
    genomes = generator.generate(number)
    members = _members(opened, counts, genomes, table, latency)
    if save:
        _write(save, [opened.decode(genome) for genome in genomes])
        say(f"wrote {len(genomes)} files {save / '*' / 'architecture.json'}", quiet=quiet)
    notes = [] if generator.is_uniform else ["found by mutation: not a uniform sample of what meets the constraints"]
    notes += table_notes(table, opened) if table else []
    head = {"space": opened.name, "space_size": opened.size(), "seed": seed, "is_uniform": generator.is_uniform}
    head |= {"lut": table_about(table) if table else None}
    records = [{name: value for name, value in one.items() if name != "genome"} for one in members]
    columns = [name for name in records[0] if name != "lut_marks"]  # which is below the table for people
    rows = [[one["arch_id"][:12], *(one[name] for name in columns[1:])] for one in records]
    title = f"{len(members)} of the {opened.size():,} networks of {opened.name}"
    emit(Result(columns, rows, {**head, "members": members}, title, notes, records), output_format, output)


def _ends(low: float | None, high: float | None) -> tuple[float, float]:
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _count_constraints(
    counts: GenomeCounts,
    min_macs: float | None,
    max_macs: float | None,
    min_params: float | None,
    max_params: float | None,
) -> list[Constraint]:
    from mnas.constraint import macs_between, params_between

    wanted = ((macs_between, min_macs, max_macs), (params_between, min_params, max_params))
    return [make(counts, *_ends(low, high)) for make, low, high in wanted if (low, high) != (None, None)]


def _table(
    space: SearchSpace, lut: str, missing: str, ends: tuple[float | None, float | None], out: Path | None
) -> LatencyTable | None:
    """Return the table that was asked for, complete; ``None`` where none is named and no latency asked for."""
    from mnas.errors import ConfigError

    if missing not in ("refuse", "interpolate"):
        raise ConfigError(
            "CFG01", "no such --missing", value=missing, why="known are refuse, interpolate", fix="use one"
        )
    if not lut and ends == (None, None):
        return None
    if not lut:
        raise ConfigError(
            "CFG01",
            "a latency is asked for without a table",
            why="the latency of a network depends on the device",
            fix="name a table with --lut (mnas lut show lists them), or build one: mnas lut build",
        )
    from latency.schema import LATENCY
    from latency.table import load_table
    from mnas.store import FILE_NAME, Store

    with Store(output_folder(out) / FILE_NAME, (LATENCY,), must_exist=True) as store:
        table, segments = load_table(store, lut), list(space.segments())
    if missing == "interpolate":
        table = table.completed(segments)
    table.require(segments)
    return table


def _latency_constraint(table: LatencyTable, space: SearchSpace, ends: tuple[float | None, float | None]) -> Constraint:
    """Return the constraint on latency, which without ends is what shows the latency."""
    from latency.constraint import latency_between

    return latency_between(table, space, *_ends(*ends))


def _members(
    space: SearchSpace,
    counts: GenomeCounts,
    genomes: list[Genome],
    table: LatencyTable | None,
    latency: Constraint | None,
) -> list[dict[str, Any]]:
    from mnas.cli.sample_table import figures_of

    found = []
    ms = latency.measure(genomes) if latency else None
    for at, (genome, macs, params) in enumerate(
        zip(genomes, counts.macs(genomes), counts.params(genomes), strict=True)
    ):
        network = space.decode(genome)
        found.append(
            {
                "arch_id": network.arch_id,
                "px": network.input_shape_chw[1],
                "blocks": len(network.blocks),
                "macs": int(macs),
                "params": int(params),
                **({} if table is None or ms is None else figures_of(table, network, float(ms[at]))),
                "genome": list(genome),
            }
        )
    return found


def _write(folder: Path, networks: list[Architecture]) -> None:
    from mnas.errors import ConfigError
    from mnas.jsonio import write_json_atomic

    for network in networks:
        file = folder / network.arch_id[:12] / "architecture.json"
        try:
            write_json_atomic(file, network.to_json())
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigError(
                "CFG07", "the networks cannot be written there", value=str(file), why=why, fix="name another folder"
            ) from error
