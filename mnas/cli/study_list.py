"""Studies of an output folder as rows: who drives them, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnas.cli.output import Result

if TYPE_CHECKING:
    from mnas.store import Store

_COLUMNS = (
    "study_id",
    "created (UTC)",
    "kind",
    "algorithm",
    "seed",
    "status",
    "evaluations",
    "front",
    "hypervolume",
    "why",
)


def status_text(row: Mapping[str, Any]) -> str:
    """Return ``running``, ``interrupted``, ``finished`` or ``refused`` for the row of a study."""
    from search.listing import state_of

    return state_of(row["status"], row["driver"], row["heartbeat_s"])


def list_result(store: Store, only: Sequence[str] | None = None) -> Result:
    """Return the studies, newest first.

    Args:
        store: Open.
        only: Ids of those to list, in this order; all of them for ``None``.
    """
    from search.listing import study_lines

    lines = study_lines(store)
    if only is not None:
        by_id = {line.study_id: line for line in lines}
        lines = [by_id[one] for one in only]
    rows = [
        [
            line.study_id,
            line.created_at_utc[:16].replace("T", " "),
            line.kind + (" (simulated)" if line.is_simulated else ""),
            line.algorithm,
            line.seed,
            line.status,
            line.evaluations,
            line.front,
            line.hypervolume,
            line.why,
        ]
        for line in lines
    ]
    records = [line.to_json() for line in lines]
    flat: list[dict[str, object]] = [{**one, "driver": json.dumps(one["driver"])} for one in records]
    return Result(_COLUMNS, rows, {"rows": records}, title="studies", records=flat)
