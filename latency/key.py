"""Keys of latency tables: the whole segment in its place, never independent factors."""

from __future__ import annotations

from typing import Any

from mnas.architecture import block_from_json, block_to_json
from mnas.jsonio import sha256_json
from mnas.segments import Segment


def segment_to_json(segment: Segment) -> dict[str, Any]:
    """Return a segment as JSON: role, input shape and the fields of its blocks."""
    return {
        "role": segment.role,
        "in_shape_chw": list(segment.in_shape_chw),
        "blocks": [block_to_json(block) for block in segment.blocks],
    }


def segment_from_json(value: dict[str, Any]) -> Segment:
    """Read what `segment_to_json` wrote.

    Raises:
        ArchitectureError: A block is not one.
    """
    channels, height, width = value["in_shape_chw"]
    blocks = tuple(block_from_json(block, f"blocks[{i}]") for i, block in enumerate(value["blocks"]))
    return Segment(value["role"], blocks, (channels, height, width))


def segment_key(segment: Segment) -> str:
    """Return the SHA-256 that names a segment in a table; dtype, batch and device belong to the table."""
    return sha256_json(segment_to_json(segment))
