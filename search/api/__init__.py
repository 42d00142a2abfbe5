"""What notebooks and scripts use: benches, latency tables and studies of an output folder, ready to be looked at.

    from search.api import Bench, LatencyTable, Study

Thin covers over `devices.bench`, `latency.table` and `search.study`: stores and devices are opened when they are needed
and closed at once. Like `mnas.cli` this package may import all the others, and nobody imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api.bench import Bench, BenchReport
    from search.api.rows import Rows
    from search.api.study import Study
    from search.api.table import LatencyTable

__all__ = ["Bench", "BenchReport", "LatencyTable", "Rows", "Study"]

_HOMES = {"Bench": "bench", "BenchReport": "bench", "LatencyTable": "table", "Rows": "rows", "Study": "study"}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first asked for."""
    if name in _HOMES:
        return getattr(import_module(f"search.api.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'search.api' has no attribute '{name}'")
