"""Scores of untrained networks: at best they rank networks, and they are accuracies of nothing.

Every score is larger for what its authors expect to be the better network. Parameters and MACs stand beside them as the
rivals that cost nothing at all. Each takes the network's own torch module with fresh weights.

Sources: gradnorm, snip, synflow as summed up by Abdelfattah et al., Zero-cost proxies for lightweight NAS (arXiv
2101.08134), after Lee et al., SNIP (arXiv 1810.02340), and Tanaka et al., Pruning neural networks without any data by
iteratively conserving synaptic flow (arXiv 2006.05467). jacov and naswot: Mellor et al., Neural architecture search
without training (arXiv 2006.04647, first and last version). zen: Lin et al., Zen-NAS (arXiv 2102.01063), algorithm 1.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from mnas.counts import total_macs, total_params
from mnas.layers import LayerSpec
from mnas.modules import LayerModule

_JACOV_K = 1e-5
_ZEN_ALPHA = 1e-2
_ZEN_REPEATS = 2
_TINY = 1e-30


@dataclass(frozen=True, slots=True)
class ProxyInput:
    """What a score may look at.

    Attributes:
        images: float32 NCHW, normalised.
        labels: int64, ``(N,)``.
        generator: For what is drawn anew.
    """

    images: torch.Tensor
    labels: torch.Tensor
    generator: torch.Generator


Score = Callable[[LayerModule, ProxyInput], float]


def _weights(module: LayerModule) -> list[torch.Tensor]:
    """Return the weights of convolutions and linear layers, without biases and batch norms."""
    return [parameter for parameter in module.parameters() if parameter.ndim > 1]


def _loss_gradients(module: LayerModule, given: ProxyInput) -> list[torch.Tensor]:
    module.train()
    loss = functional.cross_entropy(module(given.images), given.labels)
    return list(torch.autograd.grad(loss, _weights(module)))


def gradnorm(module: LayerModule, given: ProxyInput) -> float:
    """Return the sum of the norms of the loss's gradients, one for each layer's weights."""
    return sum(float(gradient.norm()) for gradient in _loss_gradients(module, given))


def snip(module: LayerModule, given: ProxyInput) -> float:
    """Return the sum of ``|weight x gradient|`` over all weights."""
    pairs = zip(_weights(module), _loss_gradients(module, given), strict=True)
    return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs)


def synflow(module: LayerModule, given: ProxyInput) -> float:
    """Return the logarithm of the synaptic flow: ``sum(weight x d sum(outputs) / d weight)``, all weights positive.

    Batch norms with fresh statistics do nothing in evaluation mode; the input is one image of ones.
    """
    positive = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        for weight in _weights(positive):
            weight.abs_()
    flow = positive(torch.ones_like(given.images[:1], dtype=torch.float64)).sum()
    weights = _weights(positive)
    gradients = torch.autograd.grad(flow, weights)
    total = sum(float((weight.detach() * g).abs().sum()) for weight, g in zip(weights, gradients, strict=True))
    return math.log(total + _TINY)


def jacov(module: LayerModule, given: ProxyInput) -> float:
    """Return how little the Jacobians of different images are correlated."""
    module.train()
    images = given.images.detach().clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(module(images).sum(), images)
    correlations = torch.corrcoef(jacobian.flatten(1).double())
    if not bool(torch.isfinite(correlations).all()):  # an output that does not depend on an image correlates with none
        return math.nan
    values = torch.linalg.eigvalsh(correlations)
    return -float((torch.log(values + _JACOV_K) + 1 / (values + _JACOV_K)).sum())


@torch.no_grad()
def naswot(module: LayerModule, given: ProxyInput) -> float:
    """Return the log determinant of how many activations two images have on the same side of zero.

    Every convolution that an activation follows counts, whatever the activation.
    """
    module.train()
    kernel = torch.zeros(len(given.images), len(given.images), dtype=torch.float64)

    def take(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        code = (output > 0).flatten(1).float()
        kernel.add_(code @ code.T + (1 - code) @ (1 - code).T)

    active = [module.part(layer) for layer in module.layers if layer.activation != "none"]
    hooks = [part.register_forward_hook(take) for part in active if part is not None]
    try:
        module(given.images)
    finally:
        for hook in hooks:
            hook.remove()
    return float(torch.linalg.slogdet(kernel)[1])


class _Features(LayerModule):
    """A network as Zen-NAS looks at it: without its skips, up to the last pooling."""

    def run_layer(self, layer: LayerSpec, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Return the output of one layer; a sum is its first part alone, which is the block's own."""
        return inputs[0] if layer.op == "add" else super().run_layer(layer, inputs)


@torch.no_grad()
def zen(module: LayerModule, given: ProxyInput) -> float:
    """Return the Zen score: how strongly the features answer to a small change of Gaussian images, batch norms undone.

    Weights are drawn anew from N(0, 1), as its authors do.
    """
    with torch.random.fork_rng(devices=[]):
        features = _Features(_before_head(module.layers))
    for part in features.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.normal_(0, 1, generator=given.generator)
            if part.bias is not None:
                part.bias.zero_()
    features.train()
    scales: list[torch.Tensor] = []

    def take(norm: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        scales.append(inputs[0].var((0, 2, 3), unbiased=False).mean().sqrt())

    norms = [part for part in features.modules() if isinstance(part, nn.BatchNorm2d)]
    found = []
    for _ in range(_ZEN_REPEATS):
        first, change = (torch.randn(given.images.shape, generator=given.generator) for _ in range(2))
        hooks = [norm.register_forward_hook(take) for norm in norms]
        scales.clear()
        one = features(first)
        for hook in hooks:
            hook.remove()
        difference = (one - features(first + _ZEN_ALPHA * change)).abs().sum((1, 2, 3)).mean()
        found.append(float(torch.log(difference + _TINY) + sum(torch.log(scale + _TINY) for scale in scales)))
    return sum(found) / len(found)


def _before_head(layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """Return the layers before the last pooling; all but the classifier where there is none."""
    pools = [layer.index for layer in layers if layer.op == "pool" and layer.out_shape_chw[1:] == (1, 1)]
    return layers[: pools[-1] if pools else len(layers) - 1]


def params(module: LayerModule, given: ProxyInput) -> float:
    """Return the number of trainable parameters."""
    return float(total_params(module.layers))


def macs(module: LayerModule, given: ProxyInput) -> float:
    """Return the multiply-accumulates of one image."""
    return float(total_macs(module.layers))


SCORES: dict[str, Score] = {
    "synflow": synflow,
    "naswot": naswot,
    "zen": zen,
    "gradnorm": gradnorm,
    "snip": snip,
    "jacov": jacov,
    "params": params,
    "macs": macs,
}
"""Name -> score."""

RIVALS = ("params", "macs")
"""What every other score must beat."""
