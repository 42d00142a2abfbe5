"""One step of PPO on the controller, and the numbers that tell how it went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from search.algorithms.algorithm import FloatArray
from search.algorithms.controller import Choices, Controller
from search.algorithms.rollout import Rollout

_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How the controller learns.

    Attributes:
        hidden: Width of the controller.
        learning_rate: Of Adam.
        epochs: Passes over the sequences of a generation.
        minibatch: Sequences of one step; 0 for all at once.
        clip: PPO's epsilon: a choice whose probability has changed by more than this share is not pushed further.
            Infinite does not clip.
        entropy_weight: Of the entropy, as a share of the uniform one, against an advantage of standard deviation 1;
            0.1-0.6 did alike on an exact table.
        value_weight: Of the squared error of the values; 0 leaves them out, and the baseline is the mean score.
        gradient_norm: The gradient is scaled down to it.
    """

    hidden: int = 64
    learning_rate: float = 5e-3
    epochs: int = 4
    minibatch: int = 16
    clip: float = 0.2
    entropy_weight: float = 0.2
    value_weight: float = 0.5
    gradient_norm: float = 1.0


PPO = PolicySettings()
REINFORCE = PolicySettings(
    learning_rate=5e-3, epochs=1, minibatch=0, clip=float("inf"), entropy_weight=0.1, value_weight=0.0
)
"""One step a generation from where the sequences were drawn: there the ratio is 1, and PPO's gradient is REINFORCE's.

Source: Williams 1992, with the mean as baseline.
"""


@dataclass(frozen=True, slots=True)
class LearningFigures:
    """What a generation taught the controller. All means are over decided choices: those of two or more open ones.

    Attributes:
        sequences: How many were learned from.
        entropy: Before learning: mean entropy of a choice as a share of ``log(open choices)``: 1 uniform, 0 collapsed.
        approx_kl: After learning: mean of ``r - 1 - log r``, r the ratio of a made choice's probability after to
            before; an estimate of the divergence of the new controller from the old, in nats a choice.
        clip_fraction: Mean over all steps of the share of choices whose ratio lay further from 1 than ``clip``.
        policy_loss: Mean over all steps of the clipped surrogate, its sign turned.
        value_loss: Mean over all steps of half the squared difference of score and value.
        explained_variance: Before learning: ``1 - var(score - value) / var(score)``: 1 foreseen, 0 no better than the
            mean, below 0 worse; 0 where all scores are equal.
        gradient_norm: Mean over all steps, before it was scaled down.
    """

    sequences: int
    entropy: float
    approx_kl: float
    clip_fraction: float
    policy_loss: float
    value_loss: float
    explained_variance: float
    gradient_norm: float


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """A generation's sequences as the steps use them; the second size is that of the genes."""

    rollout: Rollout
    decided: Tensor
    log_probs: Tensor
    advantages: Tensor
    scores: Tensor

    def rows(self, chosen: Tensor) -> _Lesson:
        return _Lesson(
            Rollout(self.rollout.tokens[chosen], self.rollout.is_open[chosen]),
            self.decided[chosen],
            self.log_probs[chosen],
            self.advantages[chosen],
            self.scores[chosen],
        )


class PolicyLearner:
    """Changes a controller so that it makes choices of high score more often.

    An episode has one score, at its end, and no discount. The advantage of choice ``i`` is the score less the value
    before it, ``A_i = s - V(choices before i)``; it is normalised to mean 0 and standard deviation 1 over the decided
    choices of a generation. The loss is PPO's clipped surrogate, choice by choice, plus the weighted error of the
    values, less the weighted entropy; Adam, minibatches, the gradient's norm bounded. Source: Schulman et al. 2017
    (arXiv 1707.06347), equations 7 and 9.

    Args:
        controller: To be changed.
        settings: How.
        rng: Shuffles sequences into minibatches.
    """

    def __init__(self, controller: Controller, settings: PolicySettings, rng: np.random.Generator) -> None:
        self._controller = controller
        self._settings = settings
        self._rng = rng
        self._optimiser = torch.optim.Adam(controller.parameters(), lr=settings.learning_rate, fused=True)

    def learn(self, rollout: Rollout, scores: FloatArray) -> LearningFigures:
        """Learn from one generation.

        Args:
            rollout: ``n`` sequences, one at least, as the controller drew them.
            scores: ``(n,)``: what each was worth; higher is better, about -1..1.
        """
        lesson, entropy, explained = self._lesson(rollout, torch.as_tensor(scores, dtype=torch.float64))
        steps = []
        for _ in range(self._settings.epochs):
            for chosen in self._minibatches(len(rollout)):
                steps.append(self._step(lesson.rows(chosen)))
        clipped, policy_loss, value_loss, norm = np.mean(steps, axis=0).tolist()
        with torch.no_grad():
            change = self._controller(rollout.tokens, rollout.is_open).of(rollout.tokens) - lesson.log_probs
            kl = float(_mean(change.exp() - 1 - change, lesson.decided))
        return LearningFigures(len(rollout), entropy, kl, clipped, policy_loss, value_loss, explained, norm)

    def _lesson(self, rollout: Rollout, scores: Tensor) -> tuple[_Lesson, float, float]:
        """Return what is to be learned, and entropy and explained variance before."""
        decided = (rollout.open_counts() > 1).double()
        spread = scores.unsqueeze(1).expand_as(decided)
        with torch.no_grad():
            before: Choices = self._controller(rollout.tokens, rollout.is_open)
            baseline = before.values if self._settings.value_weight else scores.mean().expand_as(decided)
            advantages = spread - baseline
            variance = _variance(spread, decided)
            explained = 1 - _variance(spread - before.values, decided) / variance if variance > _EPSILON else 0.0
            centred = advantages - _mean(advantages, decided)
            normalised = centred / (_variance(advantages, decided) ** 0.5 + _EPSILON)
            entropy = float(_mean(_entropy_share(before, rollout), decided))
            lesson = _Lesson(rollout, decided, before.of(rollout.tokens), normalised, spread)
        return lesson, entropy, float(explained)

    def _minibatches(self, count: int) -> Iterator[Tensor]:
        size = self._settings.minibatch or count
        order = torch.from_numpy(self._rng.permutation(count))
        for start in range(0, count, size):
            yield order[start : start + size]

    def _step(self, lesson: _Lesson) -> tuple[float, float, float, float]:
        """Take one step; return clip fraction, policy loss, value loss and the gradient's norm."""
        settings, rollout = self._settings, lesson.rollout
        now: Choices = self._controller(rollout.tokens, rollout.is_open)
        ratio = (now.of(rollout.tokens) - lesson.log_probs).exp()
        bounded = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        policy_loss = -_mean(torch.minimum(ratio * lesson.advantages, bounded * lesson.advantages), lesson.decided)
        value_loss = 0.5 * _mean((lesson.scores - now.values) ** 2, lesson.decided)
        entropy = _mean(_entropy_share(now, rollout), lesson.decided)
        loss = policy_loss + settings.value_weight * value_loss - settings.entropy_weight * entropy
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._controller.parameters(), settings.gradient_norm)
        self._optimiser.step()
        with torch.no_grad():
            clipped = float(_mean(((ratio - 1).abs() > settings.clip).double(), lesson.decided))
        return clipped, float(policy_loss.detach()), float(value_loss.detach()), float(norm)


def _mean(values: Tensor, decided: Tensor) -> Tensor:
    return (values * decided).sum() / decided.sum().clamp(min=1)


def _variance(values: Tensor, decided: Tensor) -> Tensor:
    return _mean((values - _mean(values, decided)) ** 2, decided)


def _entropy_share(choices: Choices, rollout: Rollout) -> Tensor:
    """Return each gene's entropy as a share of the greatest it can have, 0 where nothing is decided."""
    return choices.entropy() / rollout.open_counts().clamp(min=2).double().log()
