"""The Gaussian process and its kernel against dense formulas and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.algorithms.categorical_kernel import CategoricalKernel
from search.algorithms.gaussian_process import GaussianProcessModel

CARDINALITIES = st.lists(st.integers(1, 6), min_size=1, max_size=6).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def some_networks(kernel, cardinalities, rng, count=15):
    genomes = rng.integers(0, cardinalities, (count, len(cardinalities)))
    latency = rng.normal(size=count)
    return genomes, latency, kernel.encode(genomes, latency)


def some_parameters(start, rng):
    return start + rng.normal(0, 0.5, len(start))


def literal_kernel(parameters, cardinalities, genomes, latency):
    """The formula of the module, written out pair by pair."""
    steps = iter(np.exp(parameters[0] + parameters[3 : 3 + sum(cardinalities) - len(cardinalities)]))
    amounts = iter(np.exp(parameters[1] + parameters[3 + sum(cardinalities) - len(cardinalities) :]))
    lines = [np.cumsum([0.0, *(next(steps) for _ in range(count - 1))]) for count in cardinalities]
    own = [[next(amounts) for _ in range(count)] for count in cardinalities]
    matrix = np.zeros((len(genomes), len(genomes)))
    for p, first in enumerate(genomes):
        for q, second in enumerate(genomes):
            total = (np.exp(parameters[2]) * (latency[p] - latency[q])) ** 2
            for line, amount, a, b in zip(lines, own, first, second, strict=True):
                total += (line[a] - line[b]) ** 2 + (a != b) * (amount[a] + amount[b])
            matrix[p, q] = np.exp(-total)
    return matrix


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, SEEDS)
def test_the_kernel_is_its_formula_and_positive_definite(cardinalities, seed):
    rng = np.random.default_rng(seed)
    kernel = CategoricalKernel(cardinalities)
    genomes, latency, inputs = some_networks(kernel, cardinalities, rng)
    parameters = some_parameters(kernel.start, rng)
    matrix = kernel.matrix(parameters, inputs, inputs)
    assert matrix == pytest.approx(literal_kernel(parameters, cardinalities, genomes, latency), abs=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > -1e-9
    some = np.asarray([3, 1, 3])
    assert kernel.matrix(parameters, inputs[some], inputs) == pytest.approx(matrix[some], abs=1e-12)
    assert kernel.matrix(parameters, inputs[:4].joined(inputs[4:]), inputs) == pytest.approx(matrix, abs=1e-12)


def finite_differences(function, parameters, width=1e-5):
    moves = np.eye(len(parameters)) * width
    return np.asarray([(function(parameters + move) - function(parameters - move)) / (2 * width) for move in moves])


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, SEEDS)
def test_the_gradient_of_the_kernel_equals_finite_differences(cardinalities, seed):
    rng = np.random.default_rng(seed)
    kernel = CategoricalKernel(cardinalities)
    _, _, inputs = some_networks(kernel, cardinalities, rng, count=8)
    parameters = some_parameters(kernel.start, rng)
    weights = rng.normal(size=(8, 8))
    weights += weights.T

    def number(at):
        return float((weights * kernel.matrix(at, inputs, inputs)).sum())

    slopes = -weights * kernel.matrix(parameters, inputs, inputs)
    found = kernel.gradient(parameters, inputs, slopes)
    assert found == pytest.approx(finite_differences(number, parameters), rel=1e-4, abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, SEEDS)
def test_the_gradient_of_the_loss_equals_finite_differences(cardinalities, seed):
    rng = np.random.default_rng(seed)
    model = GaussianProcessModel(CategoricalKernel(cardinalities))
    _, _, inputs = some_networks(model.kernel, cardinalities, rng)
    targets = rng.normal(size=len(inputs))
    parameters = some_parameters(model.start, rng)
    _, found = model.loss(parameters, inputs, targets)
    expected = finite_differences(lambda at: model.loss(at, inputs, targets)[0], parameters)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_the_loss_is_the_negative_log_density_of_targets_and_parameters():
    rng = np.random.default_rng(1)
    cardinalities = (3, 2, 5)
    model = GaussianProcessModel(CategoricalKernel(cardinalities))
    _, _, inputs = some_networks(model.kernel, cardinalities, rng)
    targets = rng.normal(size=len(inputs))

    def density(parameters):
        covariance = model.covariance(parameters, inputs)
        return (targets @ np.linalg.solve(covariance, targets) + np.linalg.slogdet(covariance)[1]) / 2

    first, second = some_parameters(model.start, rng), model.start
    sds = np.concatenate([[1.5, 1.5], model.kernel.prior_sd])
    prior = (((first - second) / sds) ** 2).sum() / 2
    difference = model.loss(first, inputs, targets)[0] - model.loss(second, inputs, targets)[0]
    assert difference == pytest.approx(density(first) - density(second) + prior, rel=1e-9)


def dense_posterior(model, parameters, inputs, targets, others):
    signal, noise = np.exp(parameters[:2])
    own, across, there = (
        signal * model.kernel.matrix(parameters[2:], *pair)
        for pair in ((inputs, inputs), (inputs, others), (others, others))
    )
    inverse = np.linalg.inv(own + (noise + 1e-8) * np.eye(len(inputs)))
    return across.T @ inverse @ targets, np.sqrt(np.diag(there - across.T @ inverse @ across))


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, SEEDS)
def test_the_posterior_equals_the_dense_formulas(cardinalities, seed):
    rng = np.random.default_rng(seed)
    model = GaussianProcessModel(CategoricalKernel(cardinalities))
    _, _, inputs = some_networks(model.kernel, cardinalities, rng)
    _, _, others = some_networks(model.kernel, cardinalities, rng)
    targets = rng.normal(size=len(inputs))
    parameters = some_parameters(model.start, rng)
    mean, sd = model.posterior(parameters, inputs, targets).predict(others)
    expected_mean, expected_sd = dense_posterior(model, parameters, inputs, targets, others)
    assert mean == pytest.approx(expected_mean, abs=1e-6)
    assert sd == pytest.approx(expected_sd, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, SEEDS)
def test_a_believed_network_is_one_seen_at_its_mean(cardinalities, seed):
    rng = np.random.default_rng(seed)
    model = GaussianProcessModel(CategoricalKernel(cardinalities))
    _, _, inputs = some_networks(model.kernel, cardinalities, rng)
    _, _, others = some_networks(model.kernel, cardinalities, rng)
    targets = rng.normal(size=len(inputs))
    parameters = some_parameters(model.start, rng)
    posterior = model.posterior(parameters, inputs, targets)
    for row in (slice(0, 1), slice(1, 2)):
        mean, sd = posterior.predict(others)
        believed = posterior.believing(others[row])
        seen = np.append(targets, mean[row])
        again = model.posterior(parameters, posterior.inputs.joined(others[row]), seen).predict(others)
        assert believed.predict(others)[0] == pytest.approx(mean, abs=1e-7)
        assert believed.predict(others)[0] == pytest.approx(again[0], abs=1e-5)
        assert believed.predict(others)[1] == pytest.approx(again[1], abs=1e-5)
        assert (believed.predict(others)[1] <= sd + 1e-7).all()
        posterior, targets = believed, seen


def test_fitting_lowers_the_loss_and_finds_the_gene_that_matters():
    rng = np.random.default_rng(2)
    cardinalities = (4, 4, 4)
    model = GaussianProcessModel(CategoricalKernel(cardinalities))
    genomes, _, inputs = some_networks(model.kernel, cardinalities, rng, count=60)
    targets = genomes[:, 1] - 1.5 + rng.normal(0, 0.05, 60)
    fitted = model.fit(inputs, targets, model.start, 40)
    assert model.loss(fitted, inputs, targets)[0] < model.loss(model.start, inputs, targets)[0] - 10
    steps = np.exp(fitted[5 : 5 + 9]).reshape(3, 3)
    assert steps[1].min() > 2 * max(steps[0].max(), steps[2].max())
    assert np.array_equal(fitted, model.fit(inputs, targets, model.start, 40))


def test_an_order_that_matters_is_learnt_from_few_networks():
    """Values that lie between those seen are predicted between them."""
    kernel = CategoricalKernel((9,))
    model = GaussianProcessModel(kernel)
    genomes = np.asarray([[0], [2], [4], [6], [8]])
    inputs = kernel.encode(genomes, np.zeros(5))
    targets = genomes[:, 0] / 4 - 1
    posterior = model.posterior(model.fit(inputs, targets, model.start, 40), inputs, targets)
    between = posterior.predict(kernel.encode(np.asarray([[1], [3], [5], [7]]), np.zeros(4)))[0]
    assert (np.diff(between) > 0.2).all()
    assert between == pytest.approx([-0.75, -0.25, 0.25, 0.75], abs=0.25)


def test_extreme_parameters_and_equal_networks_break_nothing():
    """Rounding makes such covariances indefinite."""
    kernel = CategoricalKernel((3, 3))
    model = GaussianProcessModel(kernel)
    inputs = kernel.encode(np.asarray([[0, 1]] * 20 + [[2, 2]] * 20), np.linspace(0, 1e-9, 40))
    targets = np.linspace(-1, 1, 40)
    for signal, noise, scale in ((16, -40, 0), (0, -40, 14), (16, -40, 14)):
        parameters = model.start.copy()
        parameters[:3] = signal, noise, scale
        value, gradient = model.loss(parameters, inputs, targets)
        mean, sd = model.posterior(parameters, inputs, targets).predict(inputs)
        assert np.isfinite([value, *gradient, *mean, *sd]).all()
