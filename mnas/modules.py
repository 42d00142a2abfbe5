"""The torch module of a network: it interprets the same layers that the writers write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from mnas.architecture import Architecture
from mnas.layers import NETWORK_INPUT, LayerSpec, layers_of
from mnas.weights import LayerWeights

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hswish": functional.hardswish,
    "hsigmoid": functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "swish": functional.silu,
}


def _make_layer(layer: LayerSpec) -> nn.Module:
    channels, out = layer.in_shapes_chw[0][0], layer.out_shape_chw[0]
    if layer.op == "linear":
        return nn.Linear(channels, out)
    conv = nn.Conv2d(
        channels,
        out,
        layer.kernel_size,
        layer.stride,
        padding=layer.padding_tlbr[:2],
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.has_bias,
    )
    return nn.Sequential(conv, nn.BatchNorm2d(out)) if layer.norm == "batch" else conv


class LayerRunner(ABC):
    """Runs layers one after the other; what holds their weights says what a layer with weights does.

    Attributes:
        layers: As `mnas.layers` gives them.
    """

    layers: tuple[LayerSpec, ...]

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output of the last layer for an input NCHW."""
        last_use = {source: layer.index for layer in self.layers for source in layer.inputs}
        values: dict[int, torch.Tensor] = {NETWORK_INPUT: images}
        for layer in self.layers:
            values[layer.index] = self.run_layer(layer, [values[source] for source in layer.inputs])
            for source in layer.inputs:
                if last_use[source] == layer.index:
                    values.pop(source, None)
        return values[len(self.layers) - 1]

    def run_layer(self, layer: LayerSpec, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Return the output of one layer, its activation included, for these inputs."""
        value = self._run(layer, inputs)
        return value if layer.activation == "none" else _ACTIVATIONS[layer.activation](value)

    @abstractmethod
    def _weighted(self, layer: LayerSpec, first: torch.Tensor) -> torch.Tensor:
        """Return what a convolution with its norm, or a linear layer of a flat input, gives."""

    def _run(self, layer: LayerSpec, inputs: list[torch.Tensor]) -> torch.Tensor:
        first = inputs[0]
        match layer.op:
            case "conv":
                return self._weighted(layer, first)
            case "linear":
                return self._weighted(layer, first.flatten(1))
            case "pool":
                return first.mean((2, 3), keepdim=True)
            case "maxpool":
                return functional.max_pool2d(first, layer.kernel_size, layer.stride, layer.padding_tlbr[0])
            case "avgpool":
                return functional.avg_pool2d(first, layer.kernel_size, layer.stride, layer.padding_tlbr[0])
            case "flatten":
                return first.flatten(1)
            case "add":
                return first + inputs[1]
            case "scale":
                return first * inputs[1]
            case "concat":
                return torch.cat(inputs, 1)
            case "slice":
                return first[:, layer.channel_range[0] : layer.channel_range[1]]
            case "shuffle":
                return functional.channel_shuffle(first, layer.groups)
            case _:
                raise NotImplementedError(layer.op)


class LayerModule(nn.Module, LayerRunner):
    """Runs a tuple of layers; input NCHW, output ``(batch, classes)`` behind a linear layer, else NCHW.

    Args:
        layers: As `mnas.layers` gives them.
        dropout: Probability before the last linear layer, in training only.
    """

    def __init__(self, layers: tuple[LayerSpec, ...], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = layers
        self.dropout = dropout
        self.parts = nn.ModuleDict(
            {part_name(layer): _make_layer(layer) for layer in layers if layer.op in ("conv", "linear")}
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output of the last layer."""
        return self.run(images)

    def part(self, layer: LayerSpec) -> nn.Module | None:
        """Return what holds a layer's weights (a convolution with its batch norm, a linear layer); None without any."""
        return self.parts[part_name(layer)] if layer.op in ("conv", "linear") else None

    def _weighted(self, layer: LayerSpec, first: torch.Tensor) -> torch.Tensor:
        if layer.op == "linear" and self.dropout and layer.index == len(self.layers) - 1:
            first = functional.dropout(first, self.dropout, self.training)
        return cast(torch.Tensor, self.parts[part_name(layer)](first))


def part_name(layer: LayerSpec) -> str:
    """Return the name that a layer's weights have in the module."""
    return layer.name.replace(".", "_")


def build_module(architecture: Architecture, *, seed: int = 0, dropout: float = 0.0) -> LayerModule:
    """Build the torch module of an architecture with freshly drawn weights.

    Weights are He-normal (fan-out) for convolutions and N(0, 0.01) for linear layers, as the MobileNets' authors
    initialise them; the draw depends on ``seed`` alone and leaves torch's global generator as it was.

    Raises:
        ArchitectureError: A block does not fit the one before it.
    """
    with torch.random.fork_rng(devices=[]):  # torch's own draws, all of which are replaced
        module = LayerModule(layers_of(architecture), dropout)
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.01, generator=generator)
            nn.init.zeros_(part.bias)
    return module


def folded_weights(module: LayerModule) -> dict[int, LayerWeights]:
    """Return the module's weights with every batch norm (running statistics) folded into its convolution."""
    weights: dict[int, LayerWeights] = {}
    for layer in module.layers:
        if layer.op not in ("conv", "linear"):
            continue
        part = module.parts[part_name(layer)]
        if isinstance(part, nn.Sequential):
            weights[layer.index] = _fold(cast(nn.Conv2d, part[0]), cast(nn.BatchNorm2d, part[1]))
        else:
            plain = cast(nn.Linear, part)
            weights[layer.index] = _as_weights(plain.weight, plain.bias)
    return weights


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> LayerWeights:
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    factor = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    weight = conv.weight.double() * factor[:, None, None, None]
    bias = norm.bias.double() - mean.double() * factor
    if conv.bias is not None:
        bias = bias + conv.bias.double() * factor
    return _as_weights(weight, bias)


def _as_weights(weight: torch.Tensor, bias: torch.Tensor) -> LayerWeights:
    # Copies: an array that shares the module's memory would change when the module trains on.
    return LayerWeights(
        weight.detach().float().cpu().contiguous().numpy().copy(),
        bias.detach().float().cpu().contiguous().numpy().copy(),
    )
