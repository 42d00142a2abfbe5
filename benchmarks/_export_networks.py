"""What `export_speed.py` writes, here and in its peer's environment, which has no more of our needs than torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from mnas.architecture import Architecture, Block
from mnas.layers import Shape, layers_of
from mnas.named_networks import mobilenetv3_large

# Stage and position in MobileNetV3-Large: small and early, with squeeze-and-excitation, middle, and the largest.
PLACES = ((1, 0), (2, 1), (3, 1), (5, 1))
NETWORK = "mobilenetv3_large"


def network() -> Architecture:
    """Return MobileNetV3-Large at 224 px."""
    return mobilenetv3_large()


def representative_blocks() -> list[tuple[Block, Shape]]:
    """Return blocks of MobileNetV3-Large with the shapes of their inputs."""
    architecture = network()
    layers = layers_of(architecture)
    first = {place: next(layer for layer in layers if layer.block == place) for place in PLACES}
    return [(architecture.stages[s].blocks[p], first[s, p].in_shapes_chw[0]) for s, p in PLACES]


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Return the median duration of an action in milliseconds, after one run that is not counted."""
    action()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        durations.append((time.perf_counter() - start) * 1000)
    return statistics.median(durations)
