"""What a study on a table has found, read from its log alone: the table need not be there any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnas.store import Store
from search.events import EventLog
from search.tabular_config import TabularConfig, make_tabular_config


@dataclass(frozen=True, slots=True)
class TabularResult:
    """A study on a table as far as it has come.

    Attributes:
        study_id: Its id.
        config: Its configuration.
        table: Name, networks, gene_names, objectives, front_points and hypervolume of the table.
        evaluations: In ask order: number, generation, genome, values as the table has them.
        generations: Evaluations, hypervolume and front size after each.
        front: Members by the last objective: genome, values, and labels once the study is finished.
    """

    study_id: str
    config: TabularConfig
    table: dict[str, Any]
    evaluations: tuple[dict[str, Any], ...]
    generations: tuple[dict[str, Any], ...]
    front: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "study_id": self.study_id,
            "config": self.config.model_dump(mode="json"),
            "table": self.table,
            "generations": list(self.generations),
            "front": list(self.front),
            "evaluations": list(self.evaluations),
        }


def load_tabular(store: Store, row: Mapping[str, Any]) -> TabularResult:
    """Read a study on a table.

    Args:
        store: Open.
        row: Of the study; see `search.result.study_row`.
    """
    log = EventLog(store, row["study_id"])
    table = log.payload("table") or {"objectives": [], "gene_names": []}
    found = [
        {**value, "genome": [int(gene) for gene in key.split("-")]} for key, value in log.payloads("evaluated").items()
    ]
    evaluations = sorted(found, key=lambda one: int(one["number"]))
    kept = log.payload("front")
    front = kept["members"] if kept is not None else _front_so_far(evaluations, table)
    return TabularResult(
        study_id=row["study_id"],
        config=make_tabular_config(json.loads(row["config_json"])),
        table=table,
        evaluations=tuple(evaluations),
        generations=tuple(sorted(log.payloads("generation").values(), key=lambda one: int(one["evaluations"]))),
        front=tuple(front),
    )


def _front_so_far(evaluations: list[dict[str, Any]], table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the front of an unfinished study; directions alone matter for that."""
    if not evaluations:
        return []
    import moocore

    signs = np.asarray([-1.0 if one["direction"] == "max" else 1.0 for one in table["objectives"]])
    values = np.asarray([one["values"] for one in evaluations], dtype=float) * signs
    members = [evaluations[place] for place in np.flatnonzero(moocore.is_nondominated(values, keep_weakly=True))]
    ordered = sorted(members, key=lambda one: (one["values"][-1] * signs[-1], one["genome"]))
    return [{"genome": one["genome"], "values": one["values"]} for one in ordered]
