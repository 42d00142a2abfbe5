"""The supernet as a torch module: it runs any network of its space by that network's own layers."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from mnas.architecture import Architecture
from mnas.errors import SpaceError
from mnas.layers import LayerSpec
from mnas.modules import LayerModule, LayerRunner, part_name
from mnas.spaces.staged import StagedSpace
from search.supernet.elastic import ElasticConv, ElasticLinear
from search.supernet.shapes import Walk, largest_weights, walk_of

CALIBRATION_BATCH = 500
"""Images of a batch of calibration; batches count alike, so use a multiple of it, or fewer."""


class Supernet(nn.Module):
    """Shared weights for every network of a space.

    In training mode norms take the statistics of the batch and keep none. In evaluation mode they take those of the
    network that `calibrate` was given last.

    Args:
        space: Of ``conv``, ``sepconv`` and ``mbconv`` blocks.
        seed: Of the initial weights.

    Raises:
        SpaceError: ``SPC12``: the space holds a kind of block that has no elastic form.
    """

    def __init__(self, space: StagedSpace, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.parts = nn.ModuleDict(
            {
                key: ElasticConv(largest) if largest.op == "conv" else ElasticLinear(largest)
                for key, largest in largest_weights(space).items()
            }
        )
        self._average: float | None = None
        self._initialise(seed)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _initialise(self, seed: int) -> None:
        """Draw weights as `mnas.modules.build_module` does."""
        generator = torch.Generator().manual_seed(seed)
        for part in self.parts.values():
            if isinstance(part, ElasticConv):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", generator=generator)
            elif isinstance(part, ElasticLinear):
                nn.init.normal_(part.weight, 0.0, 0.01, generator=generator)

    def forward(self, images: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """Return the logits of one network, ``(batch, classes)``.

        Args:
            images: NCHW, at the network's own resolution.
            architecture: A network of the space.

        Raises:
            SpaceError: ``SPC03``: it is none of the space.
        """
        return _Path(self._walk(architecture), self.parts, self._average).run(images)

    def _walk(self, architecture: Architecture) -> Walk:
        walk = walk_of(architecture)
        if missing := sorted(set(walk.keys.values()) - set(self.parts)):
            raise SpaceError(
                "SPC03",
                f"the network is not in the space {self.space.name}",
                value=missing[0],
                why="the supernet has no weights there",
                fix="use the space that the supernet was trained for",
            )
        return walk

    def extract(self, architecture: Architecture) -> LayerModule:
        """Return a network with its share of the weights, copied, in evaluation mode.

        It computes bit for bit what the supernet computes for it, in training mode as well.

        Raises:
            SpaceError: ``SPC03``: the network is none of the space.
        """
        walk = self._walk(architecture)
        with torch.device("meta"):
            module = LayerModule(walk.layers)
        state: dict[str, torch.Tensor] = {}
        for layer in walk.layers:
            if layer.index in walk.keys:
                part = cast(ElasticConv | ElasticLinear, self.parts[walk.keys[layer.index]])
                state |= {f"parts.{part_name(layer)}.{name}": tensor for name, tensor in part.state_of(layer).items()}
        module.load_state_dict(state, assign=True)
        module.requires_grad_()
        return module.eval()

    @torch.no_grad()
    def calibrate(self, architecture: Architecture, images: torch.Tensor) -> None:
        """Set the statistics of a network's norms to the mean over batches of images; those of others are gone.

        Args:
            architecture: A network of the space.
            images: NCHW, at its resolution.
        """
        was_training = self.training
        self.train()
        for part in self.parts.values():
            if isinstance(part, ElasticConv):
                part.reset_statistics()
        try:
            for number, batch in enumerate(torch.split(images, CALIBRATION_BATCH), 1):
                self._average = 1 / number
                self(batch, architecture)
        finally:
            self._average = None
            self.train(was_training)


class _Path(LayerRunner):
    """One network's way through the shared weights."""

    def __init__(self, walk: Walk, parts: nn.ModuleDict, average: float | None) -> None:
        self.layers = walk.layers
        self._keys, self._parts, self._average = walk.keys, parts, average

    def _weighted(self, layer: LayerSpec, first: torch.Tensor) -> torch.Tensor:
        part = self._parts[self._keys[layer.index]]
        if isinstance(part, ElasticConv):
            return cast(torch.Tensor, part(first, layer, self._average))
        return cast(torch.Tensor, part(first, layer))
