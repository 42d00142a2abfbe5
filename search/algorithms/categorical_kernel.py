"""A kernel over genomes, with length scales of its own for each value of each gene.

``k(x, y) = exp(-sum_i (z_i(x_i) - z_i(y_i))^2 - sum_i [x_i != y_i] (v_i(x_i) + v_i(y_i)) - (r (t(x) - t(y)))^2)``

The first sum knows an order: the values of gene i lie on a line, each a step of its own above the one before. The
second does not: any two values differ, each by an amount of its own. Both are fitted, so a gene may be either. t is the
logarithm of the latency, which every network brings along. Each factor is positive definite - the second as a diagonal
plus an outer product - and so is the product.

Source: Rasmussen and Williams 2006, chapter 4 (squared exponential, products); Saves et al. 2023 (the kinds of
kernels over categories).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.algorithms.algorithm import FloatArray

_STEP_SCALE, _AMOUNT_SCALE, _LATENCY_SCALE = 0.3, 0.02, 0.3
_SPREAD_OF_SCALES, _SPREAD_OF_VALUES = 1.0, 1.0


@dataclass(frozen=True, slots=True)
class KernelInputs:
    """Networks as the kernel wants them.

    Attributes:
        places: Number of each gene's value among all values of all genes ``(n, genes)``.
        one_hot: 1 where the network has the value ``(n, values)``.
        latency: Standardised logarithm of the latency ``(n,)``.
    """

    places: npt.NDArray[np.int64]
    one_hot: FloatArray
    latency: FloatArray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: npt.NDArray[np.int64] | slice) -> KernelInputs:
        return KernelInputs(self.places[rows], self.one_hot[rows], self.latency[rows])

    def joined(self, other: KernelInputs) -> KernelInputs:
        """Return these networks and then the others."""
        return KernelInputs(
            np.concatenate([self.places, other.places]),
            np.concatenate([self.one_hot, other.one_hot]),
            np.concatenate([self.latency, other.latency]),
        )


class CategoricalKernel:
    """The kernel of a space; its parameters are logarithms, in one flat vector.

    The vector holds: the scale of all steps, the scale of all amounts, r, then the steps of each gene relative to their
    scale (one fewer than it has values), then the amounts of each value relative to theirs.

    Args:
        cardinalities: Number of values of each gene.

    Attributes:
        start: Parameters before anything is known ``(parameters,)``: the means of their priors, which are normal.
        prior_sd: Standard deviations of these priors ``(parameters,)``.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        counts = np.asarray(cardinalities, dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        self._values = int(counts.sum())
        self._gene_of_value = np.repeat(np.arange(len(counts)), counts)
        self._has_step = np.arange(self._values) != self._offsets[self._gene_of_value]
        self._steps = int(self._has_step.sum())
        scales = np.log([_STEP_SCALE, _AMOUNT_SCALE, _LATENCY_SCALE])
        own = self._steps + self._values
        self.start = np.concatenate([scales, np.zeros(own)])
        self.prior_sd = np.concatenate([np.full(3, _SPREAD_OF_SCALES), np.full(own, _SPREAD_OF_VALUES)])

    def encode(self, genomes: Sequence[Sequence[int]], latency: FloatArray) -> KernelInputs:
        """Return networks as the kernel wants them.

        Args:
            genomes: One choice a gene.
            latency: Standardised logarithm of the latency ``(n,)``.
        """
        places = np.asarray(genomes, dtype=np.int64).reshape(len(genomes), len(self._offsets)) + self._offsets
        one_hot = np.zeros((len(places), self._values))
        np.put_along_axis(one_hot, places, 1.0, axis=1)
        return KernelInputs(places, one_hot, np.asarray(latency, dtype=float))

    def _steps_of(self, parameters: FloatArray) -> FloatArray:
        steps = np.zeros(self._values)
        steps[self._has_step] = np.exp(parameters[0] + parameters[3 : 3 + self._steps])
        return steps

    def _amounts_of(self, parameters: FloatArray) -> FloatArray:
        return np.asarray(np.exp(parameters[1] + parameters[3 + self._steps :]))

    def _coordinates(self, parameters: FloatArray, inputs: KernelInputs) -> FloatArray:
        """Return each network's place on the lines of its genes, and on that of latency ``(n, genes + 1)``."""
        total = np.cumsum(self._steps_of(parameters))
        on_line = total - total[self._offsets][self._gene_of_value]
        latency = np.exp(parameters[2]) * inputs.latency
        return np.concatenate([on_line[inputs.places], latency[:, None]], axis=1)

    def matrix(self, parameters: FloatArray, first: KernelInputs, second: KernelInputs) -> FloatArray:
        """Return ``k`` of each of ``first`` with each of ``second`` ``(n, m)``."""
        amounts = self._amounts_of(parameters)
        lines, other_lines = (self._coordinates(parameters, inputs) for inputs in (first, second))
        left = np.concatenate([lines, first.one_hot * amounts], axis=1)
        right = np.concatenate([other_lines, second.one_hot], axis=1)
        own, other = (
            (line**2).sum(axis=1) + amounts[inputs.places].sum(axis=1)
            for line, inputs in ((lines, first), (other_lines, second))
        )
        distance = left @ right.T
        distance *= -2
        distance += own[:, None]
        distance += other
        np.maximum(distance, 0.0, out=distance)
        return np.asarray(np.exp(np.negative(distance, out=distance), out=distance))

    def gradient(self, parameters: FloatArray, inputs: KernelInputs, slopes: FloatArray) -> FloatArray:
        """Return the derivative by the parameters of a number whose derivatives by the distances are known.

        Args:
            parameters: Where.
            inputs: Networks.
            slopes: Derivative of the number by the distance of each pair - by ``-log k`` - ``(n, n)``, symmetric.
        """
        total = slopes.sum(axis=1)
        lines = self._coordinates(parameters, inputs)
        by_line = 4 * (total[:, None] * lines - slopes @ lines)
        by_place = np.bincount(inputs.places.ravel(), by_line[:, :-1].ravel(), self._values).astype(float)
        by_step = self._sum_from(by_place) * self._steps_of(parameters)
        disagreeing = inputs.one_hot * (total[:, None] - slopes @ inputs.one_hot)
        by_amount = 2 * disagreeing.sum(axis=0) * self._amounts_of(parameters)
        by_latency = by_line[:, -1] @ lines[:, -1]
        scales = [by_step.sum(), by_amount.sum(), by_latency]
        return np.concatenate([scales, by_step[self._has_step], by_amount])

    def _sum_from(self, by_place: FloatArray) -> FloatArray:
        """Return for each value the sum over it and the later values of its gene."""
        sums = np.cumsum(by_place)
        ends = np.concatenate([self._offsets[1:], [self._values]]) - 1
        return np.asarray(sums[ends][self._gene_of_value] - sums + by_place)
