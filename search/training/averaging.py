"""A moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import nn


class MovingAverage:
    """Moving average of a module's parameters, its decay ramped up so that it forgets the initial weights.

    Args:
        module: Whose parameters are averaged.
        decay: A step; 0 keeps no average.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._parameters = list(module.parameters())
        self._averages = [p.detach().clone() for p in self._parameters] if decay else []

    @torch.no_grad()
    def update(self) -> None:
        """Take the current weights in."""
        self._steps += 1
        share = 1 - min(self._decay, self._steps / (self._steps + 10))
        for average, parameter in zip(self._averages, self._parameters, strict=False):
            average.lerp_(parameter, share)

    @torch.no_grad()
    def apply(self) -> None:
        """Write the average into the module."""
        for average, parameter in zip(self._averages, self._parameters, strict=False):
            parameter.copy_(average)

    def state(self) -> tuple[int, list[torch.Tensor]]:
        """Return the steps so far and the averages."""
        return self._steps, self._averages

    @torch.no_grad()
    def restore(self, steps: int, averages: list[torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self._steps = steps
        for own, kept in zip(self._averages, averages, strict=True):
            own.copy_(kept)
