"""Learning from a teacher: what it says of a batch, and how far a network is from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network of the same classes.

    Attributes:
        name: What a person called it.
        fingerprint: SHA-256 of its file.
        px: Side of the images that it takes; others are resized bilinearly.
        answer: float32 NCHW, normalised as the data set's images are -> outputs ``(N, classes)`` before the softmax.
    """

    name: str
    fingerprint: str
    px: int
    answer: Callable[[torch.Tensor], torch.Tensor] = field(repr=False)

    @torch.no_grad()
    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return its outputs for images of any side, ``(N, classes)``, on the images' device."""
        if images.shape[2] != self.px:
            size = (self.px, self.px)
            images = functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        return self.answer(images)


def distillation_loss(outputs: torch.Tensor, taught: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return how far a network's outputs are from its teacher's, as a mean over the images, nats times temperature^2.

    It is the Kullback-Leibler divergence of both softmaxes at that temperature; the square keeps the gradient's size.
    Source: Hinton et al. 2015, arXiv 1503.02531.

    Args:
        outputs: ``(N, classes)``.
        taught: Likewise.
        temperature: Above 0; a high one tells more of the classes that an image is not.
    """
    own, other = (functional.log_softmax(one.float() / temperature, dim=1) for one in (outputs, taught))
    return functional.kl_div(own, other, reduction="batchmean", log_target=True) * temperature**2
