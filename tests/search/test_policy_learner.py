"""One step of PPO: it pulls where the scores say, and its numbers mean what they say."""

import numpy as np
import pytest
import torch

from search.algorithms.controller import Controller
from search.algorithms.policy_learner import PPO, REINFORCE, PolicyLearner, PolicySettings
from search.algorithms.rollout import Rollout

CARDINALITIES = (3, 1, 2, 3)


def controller(seed=0):
    return Controller(CARDINALITIES, 16, torch.Generator().manual_seed(seed))


def rollout(count=24, seed=0):
    tokens = np.random.default_rng(seed).integers(0, CARDINALITIES, (count, len(CARDINALITIES)))
    is_open = np.arange(3) < np.asarray(CARDINALITIES)[:, None]
    return Rollout(torch.from_numpy(tokens), torch.from_numpy(np.broadcast_to(is_open, (count, 4, 3)).copy()))


def scores_of(drawn):
    """Choice 2 of the last gene is worth 1, the others -1; the other genes do not matter."""
    return np.where(drawn.tokens[:, 3].numpy() == 2, 1.0, -1.0)


def taught(settings, scores=None, generations=1, seed=0):
    made, drawn = controller(seed), rollout()
    learner = PolicyLearner(made, settings, np.random.default_rng(0))
    told = scores_of(drawn) if scores is None else scores
    return made, drawn, [learner.learn(drawn, told) for _ in range(generations)]


@pytest.mark.parametrize("settings", [PPO, REINFORCE], ids=["ppo", "reinforce"])
def test_what_scored_high_becomes_likelier(settings):
    made, drawn, _ = taught(settings, generations=4 if settings is PPO else 12)
    held = made(drawn.tokens, drawn.is_open).log_probs.exp().detach()[:, 3]
    assert bool((held[:, 2] > 0.4).all())


def test_every_weight_is_moved():
    made, untaught = taught(PPO, generations=3)[0], controller()
    for (name, after), before in zip(made.named_parameters(), untaught.parameters(), strict=True):
        assert not torch.equal(after, before), name


def test_the_gradient_of_reinforce_is_that_of_its_definition():
    """Source: Williams 1992: the mean of advantage times the gradient of the log-probability."""
    plain = PolicySettings(epochs=1, minibatch=0, clip=float("inf"), value_weight=0.0, entropy_weight=0.0)
    made, drawn, _ = taught(plain)
    decided = torch.tensor([choices > 1 for choices in CARDINALITIES]).double().expand(len(drawn), -1)
    scores = torch.from_numpy(scores_of(drawn))
    advantages = (scores - scores.mean()) / scores.std(unbiased=False)
    oracle = controller()
    log_probs = oracle(drawn.tokens, drawn.is_open).of(drawn.tokens)
    (-(log_probs * advantages.unsqueeze(1) * decided).sum() / decided.sum()).backward()
    for (name, own), expected in zip(made.named_parameters(), oracle.parameters(), strict=True):
        if expected.grad is not None and float(expected.grad.norm()) > 0:
            cosine = torch.nn.functional.cosine_similarity(own.grad.flatten(), expected.grad.flatten(), dim=0)
            assert float(cosine) == pytest.approx(1, abs=1e-6), name


def test_equal_scores_move_nothing_but_by_the_entropy():
    settings = PolicySettings(entropy_weight=0.0, value_weight=0.0)
    made, drawn, (figures,) = taught(settings, np.full(24, 0.3))
    held, fresh = (one(drawn.tokens, drawn.is_open).log_probs for one in (made, controller()))
    assert torch.allclose(held[drawn.is_open], fresh[drawn.is_open], atol=1e-9)
    assert figures.approx_kl == pytest.approx(0, abs=1e-9) and figures.explained_variance == 0


def test_a_larger_entropy_weight_keeps_more_entropy():
    left = [taught(PolicySettings(entropy_weight=weight), generations=12)[2][-1].entropy for weight in (0.0, 0.5, 5.0)]
    assert left == sorted(left) and left[0] < 0.9 < left[-1] <= 1


def test_figures_of_a_fresh_controller():
    _, drawn, (figures,) = taught(PPO)
    assert figures.sequences == len(drawn)
    assert figures.entropy == pytest.approx(1)
    # Values begin at zero and say nothing yet.
    assert figures.explained_variance == pytest.approx(0, abs=1e-9)
    assert 0 <= figures.clip_fraction <= 1 and figures.approx_kl > 0 and figures.gradient_norm > 0


def test_values_come_to_foresee_the_scores():
    """The first gene decides here, so that the values before the later ones can know."""
    scores = np.where(rollout().tokens[:, 0].numpy() == 2, 1.0, -1.0)
    _, _, figures = taught(PolicySettings(entropy_weight=1.0, learning_rate=1e-2), scores, generations=30)
    assert figures[-1].value_loss < 0.8 * figures[0].value_loss
    assert figures[-1].explained_variance > 0.3


def test_clipping_holds_the_step_back():
    steps = [
        taught(PolicySettings(clip=clip, epochs=30, minibatch=0, learning_rate=3e-2, entropy_weight=0.0))[2][0]
        for clip in (0.05, 0.2, float("inf"))
    ]
    changes = [one.approx_kl for one in steps]
    assert changes == sorted(changes) and changes[0] < 0.5 * changes[-1]
    assert steps[0].clip_fraction > steps[-1].clip_fraction == 0


def test_equal_streams_teach_the_same_bit_for_bit():
    first, again = (taught(PPO, generations=2) for _ in range(2))
    assert first[2] == again[2]
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), again[0].parameters(), strict=True))


def test_a_space_without_any_choice_teaches_nothing_and_stops_nothing():
    made = Controller((1, 1), 8, torch.Generator().manual_seed(0))
    drawn = Rollout(torch.zeros(3, 2, dtype=torch.int64), torch.ones(3, 2, 1, dtype=torch.bool))
    figures = PolicyLearner(made, PPO, np.random.default_rng(0)).learn(drawn, np.asarray([0.0, 0.5, 1.0]))
    assert np.isfinite(list(vars_of(figures).values())).all() and figures.entropy == 0


def vars_of(figures):
    return {name: getattr(figures, name) for name in figures.__dataclass_fields__}
