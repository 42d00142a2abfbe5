"""A Gaussian process over genomes: its parameters by marginal likelihood, and what it says of other networks.

Source: Rasmussen and Williams 2006, algorithm 2.1 and equations 5.8 and 5.9.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from search.algorithms.algorithm import FloatArray
from search.algorithms.categorical_kernel import CategoricalKernel, KernelInputs

_START = np.log([1.0, 1e-2])
_PRIOR_SD = np.array([1.5, 1.5])
_BOUND = 7.0
_JITTER = 1e-8
_MORE_JITTER = (0.0, 1e-6, 1e-4, 1e-2)
_DIGITS = 4


class GaussianProcessModel:
    """What is known of the targets before any is seen.

    Parameters are one flat vector of logarithms: the variance of the signal, that of the noise, and the kernel's.

    Args:
        kernel: Of the space.

    Attributes:
        kernel: Of the space.
        start: The parameters' most likely values before anything is seen.
    """

    def __init__(self, kernel: CategoricalKernel) -> None:
        self.kernel = kernel
        self.start = np.concatenate([_START, kernel.start])
        self._prior_sd = np.concatenate([_PRIOR_SD, kernel.prior_sd])

    def covariance(self, parameters: FloatArray, inputs: KernelInputs) -> FloatArray:
        """Return the covariance of targets, noise included ``(n, n)``."""
        signal, noise = np.exp(parameters[:2])
        matrix = signal * self.kernel.matrix(parameters[2:], inputs, inputs)
        matrix[np.diag_indices_from(matrix)] = signal + noise + _JITTER
        return np.asarray(matrix)

    def loss(self, parameters: FloatArray, inputs: KernelInputs, targets: FloatArray) -> tuple[float, FloatArray]:
        """Return the negative logarithm of marginal likelihood times prior, but for a constant, and its gradient.

        Args:
            parameters: Where.
            inputs: n networks.
            targets: Theirs ``(n,)``, about 0.
        """
        signal, noise = np.exp(parameters[:2])
        correlation = self.kernel.matrix(parameters[2:], inputs, inputs)
        matrix = signal * correlation
        matrix[np.diag_indices_from(matrix)] += noise + _JITTER
        factor = _factor(matrix)
        weights = cho_solve((factor, True), targets)
        surprise = (parameters - self.start) / self._prior_sd
        value = targets @ weights / 2 + np.log(np.diag(factor)).sum() + surprise @ surprise / 2
        by_covariance = _inverse(factor)
        by_covariance -= np.outer(weights, weights)
        by_covariance /= 2
        by_noise = noise * np.trace(by_covariance)
        by_covariance *= correlation
        by_covariance *= signal
        by_kernel = self.kernel.gradient(parameters[2:], inputs, -by_covariance)
        gradient = np.concatenate([[by_covariance.sum(), by_noise], by_kernel]) + surprise / self._prior_sd
        return float(value), gradient

    def fit(self, inputs: KernelInputs, targets: FloatArray, start: FloatArray, steps: int) -> FloatArray:
        """Return the parameters that L-BFGS finds from ``start`` in so many steps, rounded.

        Rounding keeps what a linear algebra library does in its last digits out of what the search asks for.
        """
        bounds = [(low, high) for low, high in zip(self.start - _BOUND, self.start + _BOUND, strict=True)]
        found = minimize(
            self.loss, start, (inputs, targets), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": steps}
        )
        return np.asarray(np.round(found.x, _DIGITS))

    def posterior(self, parameters: FloatArray, inputs: KernelInputs, targets: FloatArray) -> Posterior:
        """Return what is known once the targets are seen."""
        factor = _factor(self.covariance(parameters, inputs))
        return Posterior(self, parameters, inputs, factor, cho_solve((factor, True), targets))


def _factor(matrix: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor of a covariance; where rounding makes it indefinite, of one with more noise."""
    for share in _MORE_JITTER:
        try:
            return np.linalg.cholesky(matrix + share * matrix[0, 0] * np.eye(len(matrix)) if share else matrix)
        except np.linalg.LinAlgError:
            continue
    # No correlations at all are left of one that a hundredth of its diagonal does not mend.
    return np.asarray(np.diag(np.sqrt(np.diag(matrix))))


def _inverse(factor: FloatArray) -> FloatArray:
    """Return the inverse of the matrix whose lower Cholesky factor this is."""
    lower, _ = dpotri(factor.T, lower=False)  # the transpose is in Fortran order already
    upper = np.triu(lower)
    return np.asarray(upper + np.triu(upper, 1).T)


@dataclass(frozen=True, slots=True)
class Posterior:
    """A Gaussian process once targets are seen.

    Attributes:
        model: Before.
        parameters: Of the model.
        inputs: n networks.
        factor: Lower Cholesky factor of their covariance ``(n, n)``.
        weights: Covariance inverse times targets ``(n,)``.
    """

    model: GaussianProcessModel
    parameters: FloatArray
    inputs: KernelInputs
    factor: FloatArray
    weights: FloatArray

    def predict(self, inputs: KernelInputs) -> tuple[FloatArray, FloatArray]:
        """Return means and standard deviations ``(m,)`` of the targets of m networks, noise left out."""
        signal = np.exp(self.parameters[0])
        across = signal * self.model.kernel.matrix(self.parameters[2:], self.inputs, inputs)
        whitened = solve_triangular(self.factor, across, lower=True, check_finite=False)
        variance = signal - np.einsum("ij,ij->j", whitened, whitened)
        return self.weights @ across, np.sqrt(np.maximum(variance, 0.0))

    def believing(self, inputs: KernelInputs) -> Posterior:
        """Return the posterior as if one more network had been seen, with just its mean as target.

        The means stay as they are and the uncertainty near it goes: the "kriging believer" of Ginsbourger et al. 2010.
        """
        signal, noise = np.exp(self.parameters[:2])
        across = signal * self.model.kernel.matrix(self.parameters[2:], self.inputs, inputs)
        row = solve_triangular(self.factor, across[:, 0], lower=True, check_finite=False)
        count = len(row)
        factor = np.zeros((count + 1, count + 1))
        factor[:count, :count] = self.factor
        factor[count, :count] = row
        factor[count, count] = np.sqrt(max(signal + noise + _JITTER - row @ row, _JITTER))
        weights = np.append(self.weights, 0.0)
        return Posterior(self.model, self.parameters, self.inputs.joined(inputs), factor, weights)
