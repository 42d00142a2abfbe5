"""Cheaper stand-ins for a network: smaller images, fewer channels."""

from __future__ import annotations

from dataclasses import replace

from mnas.architecture import Architecture, Block, Stage
from mnas.errors import ArchitectureError, TrainingError
from mnas.layers import layers_of
from mnas.rounding import make_divisible
from search.training.schedule import TrainingSchedule

_DIVISOR = 4


def reduced(architecture: Architecture, schedule: TrainingSchedule) -> Architecture:
    """Return the network that a schedule trains in the place of another: the same one, unless it says otherwise.

    Every channel count is multiplied by the schedule's width and rounded to a multiple of 4; equal counts stay equal,
    so that skips fit. Images never become larger than the network's own.

    Raises:
        TrainingError: ``TRN13``: the reduced network is none.
    """
    px = min(schedule.resolution_px or architecture.input_shape_chw[1], architecture.input_shape_chw[1])
    if px == architecture.input_shape_chw[1] and schedule.width == 1:
        return architecture
    shape = (architecture.input_shape_chw[0], px, px)
    try:
        network = _narrowed(replace(architecture, input_shape_chw=shape), schedule.width)
        layers_of(network)
    except ArchitectureError as failure:
        raise TrainingError(
            "TRN13",
            "the network cannot be reduced as the schedule says",
            value=f"{schedule.resolution_px} px, width {schedule.width}",
            why=str(failure),
            fix="use a larger proxy resolution or width",
        ) from failure
    return network


def _narrowed(architecture: Architecture, width: float) -> Architecture:
    if width == 1:
        return architecture
    # Behind the classifier of a fully convolutional head, every block holds the classes.
    first = next(i for i, block in enumerate(architecture.head) if _holds_classes(architecture, i))
    return replace(
        architecture,
        stem=tuple(_block(block, width) for block in architecture.stem),
        stages=tuple(Stage(tuple(_block(block, width) for block in stage.blocks)) for stage in architecture.stages),
        head=tuple(block if i >= first else _block(block, width) for i, block in enumerate(architecture.head)),
    )


def _holds_classes(architecture: Architecture, start: int) -> bool:
    return all(block.out_channels == architecture.classes for block in architecture.head[start:])


def _block(block: Block, width: float) -> Block:
    def scaled(channels: int) -> int:
        return make_divisible(channels * width, _DIVISOR) if channels else 0

    return replace(
        block,
        out_channels=scaled(block.out_channels),
        mid_channels=scaled(block.mid_channels),
        se_channels=scaled(block.se_channels),
    )
