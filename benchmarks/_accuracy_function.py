"""A made-up accuracy of the networks of any space: smooth, with interactions and noise, fixed once and for all.

It stands for what training would say, so that searches can be compared on spaces that nobody can enumerate. It is
written down and kept before any search runs on it, and no number in it was chosen by what a search makes of it.

With ``u_i = genome_i / (choices_i - 1)``, 0..1, of the canonical genome, for each gene a weight ``w_i`` and a peak
``p_i``, and for some pairs a weight ``v_ij``:

- main effects, concave, most rising to the last choice, some peaking before it:
  ``M = sum w_i (1 - ((u_i - p_i) / max(p_i, 1 - p_i))^2)``, ``p_i`` uniform in 0.5..1.3,
  ``w_i = k exp(0.6 n)`` with n standard normal and k by the gene's kind (`_KINDS`): sizes matter more than kernels;
- interactions of neighbours in the genome and of as many pairs drawn anywhere:
  ``I = sum v_ij (u_i - 1/2) (u_j - 1/2)``, ``v_ij`` normal with standard deviation ``sqrt(w_i w_j)``;
- quality ``z = (M - mean M) / sd M + (I - mean I) / (2 sd I)``, means and deviations over 2,048 fixed draws of the
  space: a fifth of the variance is interaction;
- error ``0.20 + 0.06 exp(-z / 2)``: each further gain is smaller, and 0.20 is never reached;
- what is measured is the error plus normal noise of 0.0015 that belongs to the network (the noise between seeds of an
  exact table of trained networks), the same whenever it is measured.

Every random number comes from a named stream of seed 1, by gene names; it does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mnas.seeding import named_rng
from mnas.space import Genome, SearchSpace

FloatArray = npt.NDArray[np.float64]
SEED = 1
REFERENCE_ERROR = 0.5
LEAST_ERROR = 0.20
NOISE = 0.0015
_DRAWS = 2048
_KINDS = {"resolution": 3.0, "width": 3.0, "depth": 2.5, "filters": 2.5, "expand": 1.2, "op": 1.2, "se": 0.8}
_OTHER_KINDS = 0.7


class AccuracyFunction:
    """The error of each network of a space.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        names, rng = space.gene_names, named_rng(SEED, "accuracy function", *space.gene_names)
        self._top = np.maximum(np.asarray(space.cardinalities) - 1, 1)
        kinds = [_KINDS.get(name.rpartition(".")[2], _OTHER_KINDS) for name in names]
        self._weights = np.asarray(kinds) * np.exp(0.6 * rng.standard_normal(len(names)))
        self._peaks = rng.uniform(0.5, 1.3, len(names))
        first = np.concatenate([np.arange(len(names) - 1), rng.integers(0, len(names), len(names) - 1)])
        second = np.concatenate([np.arange(1, len(names)), rng.integers(0, len(names), len(names) - 1)])
        self._pairs = (first, second)
        self._joint = rng.standard_normal(len(first)) * np.sqrt(self._weights[first] * self._weights[second])
        draws = named_rng(SEED, "draws of the accuracy function", space.name)
        main, joint = self._parts([space.draw(draws) for _ in range(_DRAWS)])
        self._main, self._interaction = (main.mean(), main.std()), (joint.mean(), 2 * joint.std())

    def error(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the errors without noise, ``(n,)``; genomes must be canonical."""
        main, joint = self._parts(genomes)
        quality = (main - self._main[0]) / self._main[1] + (joint - self._interaction[0]) / self._interaction[1]
        return np.asarray(LEAST_ERROR + 0.06 * np.exp(-quality / 2))

    def measured(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return what an evaluation says of each, ``(n,)``: the error and the network's own noise."""
        noise = [named_rng(SEED, "noise", *genome).standard_normal() for genome in genomes]
        return np.asarray(self.error(genomes) + NOISE * np.asarray(noise))

    def _parts(self, genomes: Sequence[Genome]) -> tuple[FloatArray, FloatArray]:
        shares = np.asarray(genomes, dtype=float) / self._top
        effects = 1 - ((shares - self._peaks) / np.maximum(self._peaks, 1 - self._peaks)) ** 2
        first, second = self._pairs
        return effects @ self._weights, ((shares[:, first] - 0.5) * (shares[:, second] - 0.5)) @ self._joint
