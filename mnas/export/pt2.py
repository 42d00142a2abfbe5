"""Writes a network as a saved torch program, straight from its layers: batch 1, NCHW, float32, static shapes."""

from __future__ import annotations

import torch

from mnas.export.checks import flat_outputs, layer_weights
from mnas.export.program import module_of, write_program
from mnas.layers import LayerSpec
from mnas.weights import Weights


def write_pt2(layers: tuple[LayerSpec, ...], weights: Weights, *, name: str = "network") -> bytes:
    """Return a network as the bytes of a ``.pt2`` file; equal arguments give equal bytes, in every process.

    The input is float32 ``(1, C, H, W)``, the output ``(1, classes)`` behind a linear layer, else ``(1, C, H, W)``.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        name: Taken for the sake of the other writers; a program has no name.

    Raises:
        ExportError: ``EXP02``: the layers do not fit together, or weights are missing or of another shape.
    """
    del name
    flat_outputs(layers)
    for layer in layers:
        if layer.op in ("conv", "linear"):
            layer_weights(layer, weights)
    # Building a module draws weights that are replaced at once; the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        module = module_of(layers, weights)
    return write_program(module, (torch.zeros(1, *layers[0].in_shapes_chw[0]),))
