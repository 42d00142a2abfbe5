"""What is worth having: accuracy, search algorithms, studies and Pareto fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.study import Study

__all__ = ["Study"]


def __getattr__(name: str) -> Any:
    """Import the public name when it is first asked for."""
    if name == "Study":
        from search.study import Study

        return Study
    raise AttributeError(f"module 'search' has no attribute '{name}'")
