"""Sequences of choices that the controller made, and drawing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnas.space import Genome
from search.algorithms.controller import Controller, State
from search.algorithms.open_choices import OpenChoices


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """Sequences as they were chosen.

    Attributes:
        tokens: ``(n, genes)``, int64: the choice made for each gene.
        is_open: ``(n, genes, most)``, bool: the choices there were.
    """

    tokens: Tensor
    is_open: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def genomes(self) -> list[Genome]:
        """Return the sequences as genomes, which need not be canonical."""
        return [tuple(int(token) for token in row) for row in self.tokens.tolist()]

    def rows(self, indices: Sequence[int]) -> Rollout:
        """Return some of the sequences."""
        chosen = torch.tensor(list(indices), dtype=torch.int64)
        return Rollout(self.tokens[chosen], self.is_open[chosen])

    @staticmethod
    def joined(rollouts: Sequence[Rollout]) -> Rollout:
        """Return several as one; there is at least one."""
        tokens = torch.cat([one.tokens for one in rollouts])
        return Rollout(tokens, torch.cat([one.is_open for one in rollouts]))

    def open_counts(self) -> Tensor:
        """Return how many choices each gene had, ``(n, genes)``; where there was one alone, nothing was decided."""
        return self.is_open.sum(-1)


def draw_rollout(controller: Controller, count: int, open_choices: OpenChoices, rng: np.random.Generator) -> Rollout:
    """Draw sequences from the controller, all of them gene by gene at once.

    Args:
        controller: Its probabilities are those of the choices that are open.
        count: How many sequences.
        open_choices: Of the space.
        rng: One number of it decides one choice.
    """
    genomes: list[Genome] = [()] * count
    state: State | None = None
    tokens: Tensor | None = None
    masks = []
    with torch.no_grad():
        for gene, choices in enumerate(controller.cardinalities):
            is_open = torch.zeros(count, controller.most, dtype=torch.bool)
            is_open[:, :choices] = torch.tensor([open_choices.after(genome) for genome in genomes])
            held, state = controller.step(gene, tokens, is_open, state)
            tokens = _draw(held.log_probs.exp(), rng)
            genomes = [(*genome, int(token)) for genome, token in zip(genomes, tokens.tolist(), strict=True)]
            masks.append(is_open)
    return Rollout(torch.tensor(genomes, dtype=torch.int64), torch.stack(masks, dim=1))


def _draw(probabilities: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw one choice a row by the inverse of the distribution function; a choice of probability 0 is never drawn."""
    below = probabilities.cumsum(-1)
    level = torch.from_numpy(rng.random((len(below), 1))) * below[:, -1:]
    return (below <= level).sum(-1)
