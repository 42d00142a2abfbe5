"""Reads the list of real networks that were measured on phones: a JSON line for each, with layers and latencies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.operators import Operator, OperatorKind

_KINDS: dict[str, OperatorKind] = {
    "depthwise_conv_2d": "depthwise",
    "conv_2d_group": "grouped",
    "fully_connected": "linear",
    "average_pool_2d": "average_pool",
    "max_pool_2d": "max_pool",
    "concatenation": "concat",
}


@dataclass(frozen=True)
class MeasuredNetwork:
    """One network of the list.

    Attributes:
        name: Unique.
        family: Of networks that were designed together.
        operators: As the phone ran them; element-wise ones are not in the list.
        macs: Multiply-accumulates.
        latency_ms: By device, e.g. ``phone|1large|float``.
    """

    name: str
    family: str
    operators: tuple[Operator, ...]
    macs: int
    latency_ms: dict[str, float]


def read_networks(path: Path) -> list[MeasuredNetwork]:
    """Return the networks of a file, in its order."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [
        MeasuredNetwork(
            row["network"], row["family"], tuple(map(_operator, row["layers"])), row["macs"], row["latency_ms"]
        )
        for row in rows
    ]


def _kind(layer: Mapping[str, Any]) -> OperatorKind:
    if layer["op"] == "conv_2d":
        return "pointwise" if layer["kernel"] == 1 else "conv"
    if layer["op"] == "mean":  # one that keeps its dimensions is that of a gate
        return "squeeze" if layer["kernel"] == 1 else "global_pool"
    return _KINDS[layer["op"]]


def _operator(layer: Mapping[str, Any]) -> Operator:
    kind, channels = _kind(layer), layer["in_channels"]
    in_px = layer["in_px"] or 1
    out_px = 1 if kind in ("global_pool", "squeeze") else layer["out_px"] or 1  # there it holds the channels
    is_depthwise = kind == "depthwise"  # whose rows hold 1 as output channels and as groups
    is_weighted = kind in ("conv", "grouped", "pointwise", "linear")
    return Operator(
        kind=kind,
        in_pixels=in_px**2,
        out_pixels=out_px**2,
        in_channels=channels,
        out_channels=layer["out_channels"] if is_weighted or kind == "concat" else channels,
        kernel_size=max(1, layer["kernel"] or 1) if kind not in ("concat", "squeeze") else 1,
        stride=layer["stride"] or 1,
        groups=channels if is_depthwise else layer["groups"] or 1,
    )
