"""The controller of MnasNet: a recurrent network that chooses a network's genes one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""Hidden and cell state of the LSTM, ``(1, n, hidden)`` each."""


class Choices(NamedTuple):
    """What the controller holds of one gene of ``n`` sequences, or of all their genes.

    Attributes:
        log_probs: ``(n, most)`` or ``(n, genes, most)``: of each choice, in nats; minus infinity where it is closed.
        values: ``(n,)`` or ``(n, genes)``: expected score before the gene is chosen.
    """

    log_probs: Tensor
    values: Tensor

    def of(self, tokens: Tensor) -> Tensor:
        """Return the log-probabilities of the choices made, of the shape of ``values``."""
        return self.log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Return the entropy of each gene's choice in nats, of the shape of ``values``."""
        finite = self.log_probs.masked_fill(self.log_probs.isinf(), 0.0)
        return -(self.log_probs.exp() * finite).sum(-1)


class Controller(nn.Module):
    """An LSTM over the genes of a space, with one head a gene and a value beside it.

    Before gene ``i`` it is fed an embedding of the choice made for gene ``i - 1`` plus an embedding of the place ``i``.
    All genes' heads are one tensor of the width of the gene with most choices. It computes in double precision, so
    that drawing a choice does not hang on the last digits. Source: Tan et al. 2019 (arXiv 1807.11626), section 4.2:
    an RNN trained by PPO; Zoph and Le 2017 (arXiv 1611.01578), section 3: the choices fed back.

    Args:
        cardinalities: Choices of each gene.
        hidden: Width of the LSTM and of the embeddings.
        generator: Draws the first weights; torch's global one is left alone.
    """

    def __init__(self, cardinalities: Sequence[int], hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        genes, most = len(cardinalities), max(cardinalities)
        self.cardinalities = tuple(cardinalities)
        self.most = most
        self._offsets = [sum(cardinalities[:i]) for i in range(genes)]
        self.start = self._new(hidden)
        self.chosen = self._new(sum(cardinalities), hidden)
        self.place = self._new(genes, hidden)
        # Made without weights: its own initialisation would draw from torch's global generator.
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True, device="meta", dtype=torch.float64).to_empty(device="cpu")
        self.head = self._new(genes, hidden, most)
        self.head_bias = self._new(genes, most)
        self.value = self._new(hidden)
        self.value_bias = self._new(1)
        self._initialise(hidden, generator)

    @staticmethod
    def _new(*shape: int) -> nn.Parameter:
        return nn.Parameter(torch.empty(*shape, dtype=torch.float64))

    def _initialise(self, hidden: int, generator: torch.Generator) -> None:
        """Draw the weights; heads and value begin at zero, so that every open choice is as likely as any other."""
        for name, parameter in self.named_parameters():
            if name.startswith(("head", "value")):
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5, generator=generator)

    def _fed(self, gene: int, tokens: Tensor | None) -> Tensor:
        """Return what is fed before a gene, ``(n, hidden)`` or ``(hidden,)``, from the choices of the gene before."""
        before = self.start if tokens is None else self.chosen[tokens + self._offsets[gene - 1]]
        return before + self.place[gene]

    def forward(self, tokens: Tensor, is_open: Tensor) -> Choices:
        """Return what it holds of every gene of whole sequences (teacher forcing).

        Args:
            tokens: ``(n, genes)``, the choices made.
            is_open: ``(n, genes, most)``, the choices there were.
        """
        before = self.chosen[tokens[:, :-1] + torch.tensor(self._offsets[:-1], dtype=torch.int64)]
        start = self.start.expand(len(tokens), 1, -1)
        out, _ = self.lstm(torch.cat([start, before], dim=1) + self.place)
        logits = torch.einsum("ngh,ghc->ngc", out, self.head) + self.head_bias
        return self._choices(logits, is_open, out)

    def step(self, gene: int, tokens: Tensor | None, is_open: Tensor, state: State | None) -> tuple[Choices, State]:
        """Return what it holds of one gene, and its state after.

        Args:
            gene: Its number.
            tokens: ``(n,)``, the choices made for the gene before; none for the first gene.
            is_open: ``(n, most)``.
            state: After the gene before; none for the first gene.
        """
        fed = self._fed(gene, tokens).expand(len(is_open), -1).unsqueeze(1)
        out, state = self.lstm(fed, state)
        out = out.squeeze(1)
        return self._choices(out @ self.head[gene] + self.head_bias[gene], is_open, out), state

    def _choices(self, logits: Tensor, is_open: Tensor, out: Tensor) -> Choices:
        log_probs = logits.masked_fill(~is_open, -torch.inf).log_softmax(-1)
        return Choices(log_probs, out @ self.value + self.value_bias)
