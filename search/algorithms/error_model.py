"""What is expected of the error of networks, learnt from those that were evaluated.

The logarithm of the error is modelled: a tenth less matters alike at 5 % and at 50 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnas.space import Genome
from search.algorithms.algorithm import FloatArray
from search.algorithms.categorical_kernel import CategoricalKernel, KernelInputs
from search.algorithms.gaussian_process import GaussianProcessModel, Posterior

MOST_SEEN, MOST_FITTED = 800, 400
"""Networks that a posterior rests on, and that its parameters are fitted to; the cost grows with their cubes."""
_FIRST_STEPS, _NEXT_STEPS = 40, 12
_GROWTH = 1.05
_LEAST_SD = 1e-9
_LEAST_SHARE = 0.1
_MOST_SDS = 10.0


@dataclass(frozen=True, slots=True)
class LogScale:
    """The logarithm of values, standardised: ``(log(value + shift) - mean) / sd``.

    The shift is 0 as long as the least value is no less than a tenth of the median, and just so large that this holds
    where it is less: an error of 0 or a negative value has a place on the scale, and no single one is far out.

    Attributes:
        shift: Added before the logarithm is taken.
        mean: Of the logarithms.
        sd: Of the logarithms, never 0.
    """

    shift: float
    mean: float
    sd: float

    @classmethod
    def of(cls, values: FloatArray) -> LogScale:
        """Return the scale of values, at least one."""
        shift = max(0.0, float(_LEAST_SHARE * np.median(values) - values.min()) / (1 - _LEAST_SHARE))
        if values.min() + shift <= 0:  # all are equal, and not positive
            shift = 1.0 - float(values.min())
        logarithms = np.log(values + shift)
        return cls(shift, float(logarithms.mean()), max(float(logarithms.std()), _LEAST_SD))

    def apply(self, values: FloatArray) -> FloatArray:
        """Return values on the scale; what lies far below all others counts as ten deviations below."""
        least = np.exp(self.mean - _MOST_SDS * self.sd)
        return np.asarray((np.log(np.maximum(values + self.shift, least)) - self.mean) / self.sd)


@dataclass(frozen=True, slots=True)
class ErrorPosterior:
    """What is expected of networks.

    Attributes:
        process: Over standardised errors.
        error: Their scale.
        latency: Scale of the latency, which the process knows of each network.
    """

    process: Posterior
    error: LogScale
    latency: LogScale

    def _inputs(self, genomes: Sequence[Genome], latency_ms: FloatArray) -> KernelInputs:
        return self.process.model.kernel.encode(genomes, self.latency.apply(latency_ms))

    def predict(self, genomes: Sequence[Genome], latency_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation ``(n,)`` of ``log(error + error.shift)`` of networks."""
        mean, sd = self.process.predict(self._inputs(genomes, latency_ms))
        return self.error.mean + self.error.sd * mean, self.error.sd * sd

    def believing(self, genome: Genome, latency_ms: float) -> ErrorPosterior:
        """Return the posterior as if this network had been evaluated and were just as expected."""
        process = self.process.believing(self._inputs([genome], np.asarray([latency_ms])))
        return ErrorPosterior(process, self.error, self.latency)


class ErrorModel:
    """Learns errors; fits its parameters anew whenever there are a few per cent more networks.

    Beyond `MOST_SEEN` networks a posterior rests on that many: half of them the nearest to the front, where it has to
    be sharp, the others drawn from the rest.

    Args:
        cardinalities: Number of values of each gene.
        rng: Draws.
    """

    def __init__(self, cardinalities: Sequence[int], rng: np.random.Generator) -> None:
        self._process = GaussianProcessModel(CategoricalKernel(cardinalities))
        self._rng = rng
        self._parameters = self._process.start
        self._fitted_to = 0

    def posterior(self, genomes: Sequence[Genome], objectives: FloatArray, excess: FloatArray) -> ErrorPosterior:
        """Return what is expected after these networks.

        Args:
            genomes: All that were told, at least one.
            objectives: Error and latency ``(n, 2)``, finite.
            excess: How far each is from the front ``(n,)``.
        """
        error, latency = LogScale.of(objectives[:, 0]), LogScale.of(objectives[:, 1])
        rows = self._nearest_and_drawn(excess, MOST_SEEN)
        inputs = self._process.kernel.encode([genomes[i] for i in rows], latency.apply(objectives[rows, 1]))
        targets = error.apply(objectives[rows, 0])
        if len(genomes) >= _GROWTH * self._fitted_to:
            some = self._nearest_and_drawn(excess[rows], MOST_FITTED)
            steps = _NEXT_STEPS if self._fitted_to else _FIRST_STEPS
            self._parameters = self._process.fit(inputs[some], targets[some], self._parameters, steps)
            self._fitted_to = len(genomes)
        return ErrorPosterior(self._process.posterior(self._parameters, inputs, targets), error, latency)

    def _nearest_and_drawn(self, excess: FloatArray, most: int) -> npt.NDArray[np.int64]:
        if len(excess) <= most:
            return np.arange(len(excess))
        order = np.argsort(excess, kind="stable")
        drawn = self._rng.choice(order[most // 2 :], most - most // 2, replace=False)
        return np.sort(np.concatenate([order[: most // 2], drawn]))
