"""Changes of genomes that respect an order among choices, and how genes belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
_SHARE_OF_REDRAWS = 0.25
_STEP = 0.6


def mutate_genes(
    genomes: IntArray, cardinalities: Sequence[int], chosen: npt.NDArray[np.bool_], rng: np.random.Generator
) -> IntArray:
    """Change genes: three times in four by steps along their choices - mostly one - else to any other choice.

    Not every gene's choices have an order, hence the fourth.

    Args:
        genomes: ``(n, genes)``.
        cardinalities: Choices of each gene.
        chosen: ``(n, genes)``: which genes; those of one choice stay as they are.
        rng: Draws.

    Returns:
        ``(n, genes)``; each chosen gene differs from what it was, and is within its choices.
    """
    old, counts = np.asarray(genomes, dtype=np.int64), np.asarray(cardinalities, dtype=np.int64)
    top = counts - 1
    step = rng.geometric(_STEP, old.shape) * rng.choice((-1, 1), old.shape)
    there, back = np.clip(old + step, 0, top), np.clip(old - step, 0, top)
    stepped = np.where(there == old, back, there)
    redrawn = (old + rng.integers(1, np.maximum(counts, 2), old.shape)) % counts
    changed = np.where(rng.random(old.shape) < _SHARE_OF_REDRAWS, redrawn, stepped)
    return np.asarray(np.where(chosen & (counts > 1), changed, old))


def mutation_rate(cardinalities: Sequence[int], changes: float) -> float:
    """Return the rate at which so many genes are changed on average, of those that have a choice.

    Args:
        cardinalities: Choices of each gene.
        changes: Positive.
    """
    return min(1.0, changes / max(1, sum(count > 1 for count in cardinalities)))


def gene_groups(names: Sequence[str]) -> IntArray:
    """Return which genes belong together at each level: ``(levels, genes)``, numbers of groups.

    Levels are stages (what stands before the first dot), blocks (before the last dot) and single genes; a level that
    groups as another one does is left out. A gene without a dot stands alone.
    """
    keys = (
        [name.partition(".")[0] if "." in name else name for name in names],
        [name.rpartition(".")[0] if "." in name else name for name in names],
        list(names),
    )
    return np.asarray(list(dict.fromkeys(_numbers(level) for level in keys)), dtype=np.int64)


def _numbers(keys: Sequence[str]) -> tuple[int, ...]:
    first = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return tuple(first[key] for key in keys)
