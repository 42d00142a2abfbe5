"""Weights that networks of different sizes share: each takes the first channels and the centre of the kernels."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from mnas.errors import SpaceError
from mnas.layers import LayerSpec
from search.supernet.shapes import LargestWeights

EPS = nn.BatchNorm2d(1).eps
MOMENTUM = 0.1
"""Of the running statistics; torch's own, which an extracted network goes on with."""


class ElasticConv(nn.Module):
    """A convolution with its norm.

    The kernel of a smaller size is the centre of the next larger one, times a learned square matrix that all channels
    share and that begins as the identity. Source: Cai et al. 2020 (arXiv 1908.09791), section 3.2, "elastic kernel
    size".

    Args:
        largest: What to hold.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, largest: LargestWeights) -> None:
        super().__init__()
        self.kernels = tuple(sorted(largest.kernels, reverse=True))
        side, out = self.kernels[0], largest.out_channels
        self.weight = nn.Parameter(torch.zeros(out, largest.in_channels, side, side))
        self.bias = nn.Parameter(torch.zeros(out)) if largest.has_bias else None
        self.transforms = nn.ParameterDict(
            {_name(big, small): nn.Parameter(torch.eye(small**2)) for big, small in pairwise(self.kernels)}
        )
        self.scale = nn.Parameter(torch.ones(out)) if largest.has_norm else None
        self.shift = nn.Parameter(torch.zeros(out)) if largest.has_norm else None
        # Statistics are those of the network that was calibrated last, so they are no part of a checkpoint.
        self.register_buffer("running_mean", torch.zeros(out), persistent=False)
        self.register_buffer("running_var", torch.ones(out), persistent=False)

    def weight_of(self, layer: LayerSpec) -> torch.Tensor:
        """Return the filters of a layer, a tensor of its own in channels-last memory.

        Raises:
            SpaceError: ``SPC03``: there is no such kernel, or there are not so many channels.
        """
        out, channels, side = layer.out_shape_chw[0], layer.in_shapes_chw[0][0] // layer.groups, layer.kernel_size
        if side not in self.kernels or out > self.weight.shape[0] or channels > self.weight.shape[1]:
            raise _foreign(layer)
        weight = self.weight[:out, :channels]
        for big, small in pairwise(self.kernels):
            if big == side:
                break
            cut = (big - small) // 2
            centre = weight[:, :, cut : cut + small, cut : cut + small].reshape(out, channels, small**2)
            weight = functional.linear(centre, self.transforms[_name(big, small)]).view(out, channels, small, small)
        return weight.contiguous(memory_format=torch.channels_last)

    def forward(self, inputs: torch.Tensor, layer: LayerSpec, average: float | None) -> torch.Tensor:
        """Return what a network's layer gives, but for its activation.

        Args:
            inputs: NCHW.
            layer: The layer.
            average: Share of this batch in the running statistics when in training mode; None leaves them alone.
        """
        out = layer.out_shape_chw[0]
        outputs = functional.conv2d(
            inputs,
            self.weight_of(layer),
            self.bias[:out] if self.bias is not None and layer.has_bias else None,
            layer.stride,
            layer.padding_tlbr[:2],
            layer.dilation,
            layer.groups,
        )
        if layer.norm != "batch" or self.scale is None or self.shift is None:
            return outputs
        is_kept = average is not None or not self.training
        return functional.batch_norm(
            outputs,
            self.running_mean[:out] if is_kept else None,
            self.running_var[:out] if is_kept else None,
            self.scale[:out],
            self.shift[:out],
            self.training,
            MOMENTUM if average is None else average,
            EPS,
        )

    def state_of(self, layer: LayerSpec) -> dict[str, torch.Tensor]:
        """Return the layer's own weights under the names that `mnas.modules` gives them, copied."""
        out, has_norm = layer.out_shape_chw[0], layer.norm == "batch"
        prefix = "0." if has_norm else ""
        found = {f"{prefix}weight": self.weight_of(layer)}
        if layer.has_bias and self.bias is not None:
            found[f"{prefix}bias"] = self.bias[:out]
        if has_norm and self.scale is not None and self.shift is not None:
            found |= {"1.weight": self.scale[:out], "1.bias": self.shift[:out]}
            found |= {"1.running_mean": self.running_mean[:out], "1.running_var": self.running_var[:out]}
            found["1.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    def reset_statistics(self) -> None:
        """Forget the running statistics."""
        self.running_mean.zero_()
        self.running_var.fill_(1)


class ElasticLinear(nn.Module):
    """A fully connected layer.

    Args:
        largest: What to hold.
    """

    def __init__(self, largest: LargestWeights) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(largest.out_channels, largest.in_channels))
        self.bias = nn.Parameter(torch.zeros(largest.out_channels))

    def _of(self, layer: LayerSpec) -> tuple[torch.Tensor, torch.Tensor]:
        out, channels = layer.out_shape_chw[0], layer.in_shapes_chw[0][0]
        if out > self.weight.shape[0] or channels > self.weight.shape[1]:
            raise _foreign(layer)
        return self.weight[:out, :channels].contiguous(), self.bias[:out]

    def forward(self, inputs: torch.Tensor, layer: LayerSpec) -> torch.Tensor:
        """Return what a network's layer gives for flat inputs, but for its activation."""
        return functional.linear(inputs, *self._of(layer))

    def state_of(self, layer: LayerSpec) -> dict[str, torch.Tensor]:
        """Return the layer's own weights under the names that `mnas.modules` gives them, copied."""
        return dict(zip(("weight", "bias"), (part.detach().clone() for part in self._of(layer)), strict=True))


def _name(big: int, small: int) -> str:
    return f"{big}to{small}"


def _foreign(layer: LayerSpec) -> SpaceError:
    return SpaceError(
        "SPC03",
        "the network is not in the supernet's space",
        value=layer.name,
        why="the supernet holds fewer channels there, or no such kernel",
        fix="use the space that the supernet was trained for",
    )
