"""How large a model file should be: its numbers, and little else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnas.layers import LayerSpec
from mnas.weights import weight_shape

_BYTES_PER_LAYER = 1024
"""Names, operators and shapes; a layer of ours takes about 340 in either format."""

_BYTES_PER_FILE = 8192
_FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class SizeReport:
    """Size of a file against what its layers need.

    Attributes:
        size_bytes: Of the file.
        least_bytes: All weights and biases, batch norms folded in.
        most_bytes: The same with names, operators, shapes and metadata.
    """

    size_bytes: int
    least_bytes: int
    most_bytes: int

    @property
    def ok(self) -> bool:
        """Whether the file is neither cut short nor carries what nobody put there."""
        return self.least_bytes <= self.size_bytes <= self.most_bytes


def check_size(
    size_bytes: int,
    layers: Sequence[LayerSpec],
    metadata: Mapping[str, str],
    *,
    weight_bytes: int = _FLOAT32_BYTES,
    overhead_bytes: int = 0,
) -> SizeReport:
    """Compare a file's size with what its layers come to.

    Args:
        size_bytes: Of the file.
        layers: As `mnas.layers` gives them.
        metadata: The texts that were stored in it.
        weight_bytes: Of each weight: 4 for float32, 1 for 8-bit integers. Biases have 4 in both.
        overhead_bytes: What else is allowed, e.g. for scales of quantised channels.
    """
    weighted = [layer for layer in layers if layer.op in ("conv", "linear")]
    numbers = sum(
        weight_bytes * math.prod(weight_shape(layer)) + _FLOAT32_BYTES * layer.out_shape_chw[0] for layer in weighted
    )
    texts = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    allowed = _BYTES_PER_FILE + _BYTES_PER_LAYER * len(layers) + texts + overhead_bytes
    return SizeReport(size_bytes, numbers, numbers + allowed)
