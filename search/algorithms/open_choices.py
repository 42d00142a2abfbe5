"""Which choices of the next gene still make another network, once the genes before it are chosen."""

from __future__ import annotations

import numpy as np

from mnas.space import Genome
from search.algorithms.algorithm import GenomeSpace

_COMPLETIONS = 3


class OpenChoices:
    """Tells the choices of a gene that differ from one another, asking nothing of a space but `canonical`.

    Two choices are taken as one when each of a few random ways to go on makes the same network of them; the first of
    such choices stays open. So genes of layers beyond the depth have choice 0 alone, and a controller is neither
    rewarded nor punished for what changes nothing. Choices that would differ only in a rare continuation may be closed
    by mistake, but not for long: each object draws continuations of its own, and an algorithm makes one a generation.

    Args:
        space: The space.
        rng: Draws the continuations.
    """

    def __init__(self, space: GenomeSpace, rng: np.random.Generator) -> None:
        self._space = space
        draws = rng.integers(0, space.cardinalities, size=(_COMPLETIONS, len(space.cardinalities)))
        self._completions = [tuple(int(gene) for gene in row) for row in draws]
        self._known: dict[Genome, tuple[bool, ...]] = {}

    def after(self, prefix: Genome) -> tuple[bool, ...]:
        """Return for each choice of the gene after ``prefix`` whether it is open; at least the first one is."""
        if prefix not in self._known:
            self._known[prefix] = self._find(prefix)
        return self._known[prefix]

    def _find(self, prefix: Genome) -> tuple[bool, ...]:
        place = len(prefix)
        alike = [list(range(self._space.cardinalities[place]))]
        for completion in self._completions:
            if all(len(group) == 1 for group in alike):
                break
            rest = completion[place + 1 :]
            parts: list[list[int]] = []
            for group in alike:
                made: dict[Genome, list[int]] = {}
                for choice in group if len(group) > 1 else ():
                    made.setdefault(self._space.canonical((*prefix, choice, *rest)), []).append(choice)
                parts += list(made.values()) or [group]
            alike = parts
        first = {group[0] for group in alike}
        return tuple(choice in first for choice in range(self._space.cardinalities[place]))
