"""What ``mnas arch sample`` says of the table behind its latencies: whose device, what marks, what was filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnas.segments import segments_of

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from mnas.architecture import Architecture
    from mnas.space import SearchSpace


def table_about(table: LatencyTable) -> dict[str, Any]:
    """Return the table for the document."""
    return {
        "lut_id": table.lut_id,
        "device": table.device.to_json(),
        "device_key": table.device_key,
        "dtype": table.dtype,
        "marks": table.marks(),
        "filled_in": len(table.filled_in),
    }


def table_notes(table: LatencyTable, space: SearchSpace) -> list[str]:
    """Return what must be known of the latencies: no device is at hand here that the table could be held against."""
    from mnas.cli.lut_view import title_of

    info = table.device
    notes = [
        f"latencies by {title_of(table)}",
        f"they speak of that device alone, with {info.threads} thread(s), {info.delegate}, {table.dtype}; "
        "whether yours is that one is not looked at here",
    ]
    if table.filled_in:
        notes.append(
            f"the table lacks {len(table.filled_in)} of the {len(list(space.segments()))} segments that {space.name} "
            "reaches; they are predicted from the others, and so is a latency that needs one (latency_source)"
        )
    return notes


def figures_of(table: LatencyTable, network: Architecture, ms: float) -> dict[str, Any]:
    """Return a network's latency with its source, the segments that were filled in, and the table's marks."""
    filled = sum(segment in table.filled_in for segment in segments_of(network)) if table.filled_in else 0
    return {
        "latency_ms": ms,
        "latency_source": "predicted" if filled else "lut",
        "interpolated": filled,
        "lut_marks": "; ".join([table.lut_id, *table.marks()]),
    }
