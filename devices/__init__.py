"""What a measurement is: devices, runtimes and the measuring protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.bench import Bench

__all__ = ["Bench"]


def __getattr__(name: str) -> Any:
    """Import the public name when it is first asked for."""
    if name == "Bench":
        from devices.bench import Bench

        return Bench
    raise AttributeError(f"module 'devices' has no attribute '{name}'")
