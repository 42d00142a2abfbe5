"""What a network will cost: latency tables, their calibration and validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latency.table import LatencyTable

__all__ = ["LatencyTable"]


def __getattr__(name: str) -> Any:
    """Import the public name when it is first asked for."""
    if name == "LatencyTable":
        from latency.table import LatencyTable

        return LatencyTable
    raise AttributeError(f"module 'latency' has no attribute '{name}'")
