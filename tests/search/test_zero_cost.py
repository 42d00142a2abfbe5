"""Scores of untrained networks: closed forms on tiny networks, order kept, nothing changed, and never an accuracy."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from latency.testing import made_up_table
from mnas.architecture import Architecture, Block
from mnas.counts import total_macs, total_params
from mnas.errors import TrainingError
from mnas.layers import layers_of
from mnas.modules import build_module
from mnas.spaces.presets import open_space
from search.accuracy.estimator import estimate_one
from search.accuracy.score_estimator import (
    BATCH,
    ScoreEstimator,
    ScoreJob,
    ScoreOutcome,
    run_score,
    share_above,
)
from search.accuracy.testing import AccuracyEstimatorContract
from search.accuracy.zero_cost import RIVALS, SCORES, ProxyInput
from search.executors.executor import InProcessExecutor, Outcome
from search.goal import set_goal
from search.ranking import Ranking

SPACE = open_space("mobilenetv3", "digits")


def network(seed=3):
    return SPACE.decode(SPACE.sample(np.random.default_rng(seed)))


def linear_network():
    """Two inputs, three classes, one matrix."""
    return Architecture((2, 1, 1), 3, (), (), (Block("linear", 3),))


def given_input(count=8, shape=(1, 8, 8), classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((count, *shape), generator=generator)
    return ProxyInput(images, torch.arange(count) % classes, generator)


@pytest.mark.parametrize("score", SCORES)
class TestScores(AccuracyEstimatorContract):
    @pytest.fixture(autouse=True)
    def chosen(self, score):
        self.score = score

    def estimator(self):
        return ScoreEstimator(self.score, SPACE, "digits", None, 7)

    def architectures(self):
        return network(3), network(4)


def test_scores_of_one_matrix_are_closed_forms():
    module, given_ = build_module(linear_network(), seed=1), given_input(6, (2, 1, 1), 3)
    weight = next(p for p in module.parameters() if p.ndim == 2).detach()
    chance = torch.softmax(module(given_.images).detach(), 1) - functional.one_hot(given_.labels, 3)
    gradient = chance.T @ given_.images.flatten(1) / 6
    assert SCORES["gradnorm"](module, given_) == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert SCORES["snip"](module, given_) == pytest.approx(float((gradient * weight).abs().sum()), rel=1e-5)
    assert SCORES["synflow"](module, given_) == pytest.approx(math.log(float(weight.abs().sum())), rel=1e-6)
    assert SCORES["params"](module, given_) == 9 and SCORES["macs"](module, given_) == 6


def test_naswot_counts_what_is_on_the_same_side_of_zero():
    block = Block("conv", 16, kernel_size=3, activation="relu")
    architecture = Architecture((1, 8, 8), 10, (block,), (), (Block("pool", 16), Block("linear", 10)))
    module, given_ = build_module(architecture, seed=2).train(), given_input()
    code = (module.part(module.layers[0])(given_.images) > 0).flatten(1)
    same = (code[:, None] == code[None]).sum(2).double().numpy()
    assert SCORES["naswot"](module, given_) == pytest.approx(np.linalg.slogdet(same)[1], rel=1e-9)


def test_jacov_is_highest_for_jacobians_that_have_nothing_in_common():
    """Of a linear network all Jacobians are alike, which is as bad as can be."""
    alike = SCORES["jacov"](build_module(linear_network(), seed=0), given_input(4, (2, 1, 1), 3))
    assert alike < -1e5
    assert SCORES["jacov"](build_module(network(), seed=0), given_input(4, network().input_shape_chw)) > alike


@pytest.mark.parametrize("name", SCORES)
def test_a_score_repeats_and_moves_with_the_network(name):
    jobs = [ScoreJob(SPACE.decode(g).to_json(), "digits", None, name, 0) for g in SPACE.extremes()]
    small, again, large = (run_score(job).score for job in (jobs[0], jobs[0], jobs[1]))
    assert small == again and math.isfinite(small) and large > small


@pytest.mark.parametrize("name", ["synflow", "zen", "naswot", "jacov", "snip", "gradnorm"])
def test_a_score_leaves_the_weights_alone(name):
    module = build_module(network(), seed=0)
    before = copy.deepcopy([p.detach() for p in module.parameters()])
    SCORES[name](module, given_input(8, network().input_shape_chw))
    assert all(torch.equal(one, other) for one, other in zip(before, module.parameters(), strict=True))


def test_rivals_are_counts():
    layers = layers_of(network())
    assert RIVALS == ("params", "macs")
    found = [run_score(ScoreJob(network().to_json(), "digits", None, name, 0)).score for name in RIVALS]
    assert found == [total_params(layers), total_macs(layers)]


@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 2)), max_size=40).map(sorted),
    st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 2)), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_a_rank_keeps_the_order_of_scores_strictly(references, pair):
    low, high = (share_above(score, references) for score in pair)
    assert 1 > low > high > 0


def test_a_rank_is_the_share_of_better_networks():
    references = [float(i) for i in range(10)]
    for place, score in enumerate(references):
        assert share_above(score, references) == pytest.approx(1 - (place + 0.5) / 10)


def test_a_search_by_a_score_tells_of_ranks_and_of_no_accuracy(make_study):
    context = make_study(InProcessExecutor(), accuracy="zero-cost:params", budget=8, population=4)
    table = made_up_table(context.space)
    found = Ranking(context, table, set_goal(context.space, table, None, context.config.seed, 10)).run()
    assert [(one.score, one.reward) for one in found] == [("params", None)] * 8
    assert all(one.accuracy_source.startswith("score:params:rank of 32") for one in found)
    best = [line for line in context.reporter.lines if "best under T" in line]
    assert best and all("by params at" in line and "%" not in line for line in best)


def test_a_score_that_memory_is_too_small_for_costs_its_network_alone(monkeypatch):
    def hungry(module, given_):
        raise MemoryError

    monkeypatch.setitem(SCORES, "synflow", hungry)
    estimator = ScoreEstimator("synflow", SPACE, "digits", None, 7)
    with pytest.raises(TrainingError, match=r"TRN03.*TRN10"):
        estimate_one(estimator, network(), InProcessExecutor())
    assert estimator.references == ()


def test_jacobians_that_are_no_numbers_are_a_failed_network():
    module = build_module(linear_network(), seed=0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    score = SCORES["jacov"](module, given_input(4, (2, 1, 1), 3))
    assert math.isnan(score)
    with pytest.raises(TrainingError, match="TRN14"):
        ScoreEstimator("jacov", SPACE, "digits", None, 7).estimate(network(), [Outcome(ScoreOutcome(score, 0.1))])


def test_a_score_is_marked_and_one_that_is_no_number_is_refused():
    estimator = ScoreEstimator("synflow", SPACE, "digits", None, 7)
    estimate = estimator.estimate(network(), [Outcome(ScoreOutcome(1.0, 0.1))])
    assert estimate.source == "score:synflow" and estimate.images == BATCH and estimate.split == "train"
    with pytest.raises(TrainingError, match=r"TRN14.*synflow gave nan"):
        estimator.estimate(network(), [Outcome(ScoreOutcome(math.nan, 0.1))])
    with pytest.raises(TrainingError, match=r"TRN03.*signal 9"):
        estimator.estimate(network(), [Outcome(error_message="ended by signal 9", is_lost=True)])
