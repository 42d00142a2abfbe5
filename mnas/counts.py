"""Counts that need no weights: MACs and parameters of a tuple of layers."""

from __future__ import annotations

from collections.abc import Iterable

from mnas.layers import LayerSpec


def total_macs(layers: Iterable[LayerSpec]) -> int:
    """Return the multiply-accumulates of one forward pass at batch 1 (convolutions and fully connected layers)."""
    return sum(layer.macs for layer in layers)


def total_params(layers: Iterable[LayerSpec]) -> int:
    """Return the trainable parameters; equal to the sum of ``numel()`` over the torch module's parameters."""
    return sum(layer.params for layer in layers)
