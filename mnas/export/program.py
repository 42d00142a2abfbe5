"""Writes a torch module as a saved program (``.pt2``), the form in which torch itself runs a model."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mnas.layers import LayerSpec
from mnas.modules import LayerModule
from mnas.weights import Weights, weight_shape

_WHERE_FROM = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node")


def module_of(layers: tuple[LayerSpec, ...], weights: Weights) -> LayerModule:
    """Return the torch module that computes what the writers write: batch norms are folded into the convolutions.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
    """
    plain = tuple(
        replace(layer, norm="none", has_bias=True) if layer.op in ("conv", "linear") else layer for layer in layers
    )
    module = LayerModule(plain).eval()
    weighted = [layer for layer in plain if layer.op in ("conv", "linear")]
    for layer, part in zip(weighted, module.parts.values(), strict=True):
        found = weights[layer.index]
        state = {
            "weight": torch.from_numpy(found.weight.reshape(weight_shape(layer))),
            "bias": torch.from_numpy(found.bias),
        }
        part.load_state_dict(state)
    return module


def write_program(module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any] | None = None) -> bytes:
    """Return a module, exported for inputs of these shapes, as the bytes of a ``.pt2`` file.

    Where the code came from (file names, lines) is left out, so the same module gives the same bytes anywhere.

    Args:
        module: In the state in which it is to run.
        inputs: Tensors for ``forward``, by place.
        named: Tensors for ``forward``, by name.

    Raises:
        Exception: Whatever torch raises for a module that it cannot export.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, inputs, dict(named or {}))
        for part in program.graph_module.modules():
            for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
                for key in _WHERE_FROM:
                    node.meta.pop(key, None)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    return buffer.getvalue()
