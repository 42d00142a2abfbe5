"""Studies on tables of networks as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnas.cli.output import Result

if TYPE_CHECKING:
    from search.tabular_result import TabularResult


def tabular_result(found: TabularResult, status: str, *, every: bool = False) -> Result:
    """Return the front of a study on a table, or every evaluation in ask order."""
    objectives = [one["name"] for one in found.table["objectives"]]
    genes = list(found.table["gene_names"])
    columns = [*(["number", "generation"] if every else []), "genome", *objectives]
    rows: list[list[object]] = []
    for one in found.evaluations if every else found.front:
        place = [one["number"], one["generation"]] if every else []
        rows.append([*place, " ".join(map(str, one.get("labels", one["genome"]))), *one["values"]])
    return Result(
        columns,
        rows,
        {**found.to_json(), "status": status},
        f"{found.study_id} ({status}): {found.config.algorithm} on {found.table.get('name', 'a table')}",
        [] if every else [*_notes(found), f"genes: {' '.join(genes)}"],
    )


def _notes(found: TabularResult) -> list[str]:
    if not found.generations:
        return ["no generation is done yet"]
    last, whole = found.generations[-1], found.table["hypervolume"]
    share = f", {last['hypervolume'] / whole:.4f} of the whole table's" if whole else ""
    return [
        f"{last['evaluations']} of {found.table['networks']} networks evaluated; hypervolume "
        f"{last['hypervolume']:.6g}{share}; the whole table's front has {found.table['front_points']} points"
    ]
