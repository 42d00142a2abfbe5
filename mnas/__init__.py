"""What a network is: architecture, layers, counts, torch modules and model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnas.architecture import Architecture
    from mnas.modules import build_module

__all__ = ["Architecture", "build_module"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first asked for: torch must not delay ``mnas --help``."""
    if name == "Architecture":
        from mnas.architecture import Architecture

        return Architecture
    if name == "build_module":
        from mnas.modules import build_module

        return build_module
    raise AttributeError(f"module 'mnas' has no attribute '{name}'")
