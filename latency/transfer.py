"""Learns a new device from another one and a few whole networks: chooses which to measure next, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from latency.operators import Network
from latency.parts import Parts, parts_of
from latency.posterior import Posterior, learn, log_evidence, next_choice
from latency.predictor import OperatorModel, require_latencies
from latency.table import LatencyTable
from latency.transferred import TransferredModel, rows_of, sizes_of
from mnas.errors import LutError

BUDGET = 20
TARGET_ERROR = 0.03
_LAST_ERRORS = 3
"""A target is reached only when so many networks in a row were predicted as well before they were measured."""
_MEAN_OF_ABSOLUTE = float(np.sqrt(2 / np.pi))
"""Mean absolute value of a Gaussian, in SDs."""
FloatArray = npt.NDArray[np.float64]
StoppedBy = Literal["target", "budget", "candidates"]
N = TypeVar("N", bound=Network)


Prior = OperatorModel | LatencyTable | Parts
"""What is known of another device."""


def closest_prior(priors: Sequence[Prior], networks: Sequence[Network], measured_ms: Sequence[float]) -> int:
    """Return the index of the device that makes a few measurements of the new one most probable.

    Args:
        priors: What is known of other devices; one at least.
        networks: Measured on the new device.
        measured_ms: Latencies.

    Raises:
        LutError: ``LUT41``: fewer than 2 networks, lengths that differ, or a latency that is none. ``LUT02``: a table
            lacks entries of a network.
    """
    measured = require_latencies(measured_ms, len(networks))
    evidence = []
    for prior in priors:
        parts = parts_of(prior)
        evidence.append(log_evidence(rows_of(parts, sizes_of(parts, networks), networks), measured))
    return int(np.argmax(evidence))


def choose_networks(
    prior: Prior, candidates: Sequence[Network], count: int, *, like: Sequence[int] | None = None
) -> list[int]:
    """Return the indices of the networks that `transfer` would measure first, in order.

    The choice does not hang on what is measured, so that all of them can be measured in one session, interleaved, and
    given to `transfer` as known.

    Args:
        prior: What is known of the other device.
        candidates: Networks that may be measured.
        count: How many to choose, at most as many as there are.
        like: Indices of candidates like those to be predicted; all without.

    Raises:
        LutError: ``LUT02``: the other device's table lacks entries of a candidate.
    """
    parts = parts_of(prior)
    rows = rows_of(parts, sizes_of(parts, candidates), candidates)
    every = range(len(candidates))
    chosen: list[int] = []
    while len(chosen) < min(count, len(candidates)):
        left = [index for index in every if index not in chosen]
        chosen.append(next_choice(rows, chosen, left, every if like is None else like))
    return chosen


@dataclass(frozen=True, slots=True)
class TransferStep:
    """One network that was measured.

    Attributes:
        index: Which of the candidates.
        predicted_ms: What was expected of it before.
        measured_ms: What was measured.
        expected_error: Mean absolute relative error to be expected of the predictions after it: what the posterior
            says, or the mean over the last predictions before measuring if that is more. Infinite after the first few.
    """

    index: int
    predicted_ms: float
    measured_ms: float
    expected_error: float


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What came of a transfer.

    Attributes:
        model: Estimator of the new device.
        steps: The networks measured, in order.
        failed: Indices of candidates that could not be measured.
        stopped_by: ``target`` (the expected error is as low as wanted), ``budget`` or ``candidates`` (none is left).
    """

    model: TransferredModel
    steps: tuple[TransferStep, ...]
    failed: tuple[int, ...]
    stopped_by: StoppedBy

    @property
    def expected_error(self) -> float:
        """Mean absolute relative error to be expected; infinite where nothing tells."""
        return self.steps[-1].expected_error if self.steps else float("inf")


def transfer(
    prior: Prior,
    candidates: Sequence[N],
    measure: Callable[[N], float | None],
    *,
    device_key: str,
    budget: int = BUDGET,
    target_error: float = TARGET_ERROR,
    like: Sequence[int] | None = None,
    known: Mapping[int, float] | None = None,
) -> TransferResult:
    """Measure networks one by one until the new device is known well enough.

    Args:
        prior: What is known of the other device.
        candidates: Networks that may be measured; architectures, or operators.
        measure: Returns milliseconds, or ``None`` if that network cannot be measured on the new device.
        device_key: The new device.
        budget: Most networks to measure, those known included; with 0 the other device's latencies are all there is.
        target_error: Mean absolute relative error at which to stop.
        like: Indices of candidates like those to be predicted; all without.
        known: Latencies that were measured before, by index; they come first, in their order.

    Raises:
        LutError: ``LUT43``: no candidates, nothing could be measured, or a measurement that is no latency.
            ``LUT02``: the other device's table lacks entries of a candidate.
    """
    if not candidates:
        raise _nothing("no candidates to choose from", 0)
    walk = _Walk(parts_of(prior), candidates, measure, list(range(len(candidates))) if like is None else list(like))
    for index, ms in (known or {}).items():
        walk.add(index, ms)
    stopped_by: StoppedBy | None = None
    while stopped_by is None:
        if walk.steps and walk.steps[-1].expected_error <= target_error:
            stopped_by = "target"
        elif len(walk.steps) >= budget:
            stopped_by = "budget"
        elif not walk.measure_next():
            stopped_by = "candidates"
    if budget > 0 and not walk.steps:
        raise _nothing("not one candidate could be measured", len(candidates))
    model = TransferredModel(device_key, walk.parts, walk.sizes, walk.posterior)
    return TransferResult(model, tuple(walk.steps), tuple(walk.failed), stopped_by)


class _Walk(Generic[N]):
    """The state of a transfer between two measurements."""

    def __init__(
        self, parts: Parts, candidates: Sequence[N], measure: Callable[[N], float | None], like: Sequence[int]
    ) -> None:
        self.parts, self.sizes = parts, sizes_of(parts, candidates)
        self.steps: list[TransferStep] = []
        self.failed: list[int] = []
        self._candidates, self._measure, self._like = candidates, measure, like
        self._rows = rows_of(parts, self.sizes, candidates)
        self.posterior: Posterior = learn(self._rows[:0], np.empty(0))

    def measure_next(self) -> bool:
        """Measure the next network that can be measured; whether there was one."""
        chosen = [step.index for step in self.steps]
        while left := [i for i in range(len(self._candidates)) if i not in chosen and i not in self.failed]:
            index = next_choice(self._rows, chosen, left, self._like)
            ms = self._measure(self._candidates[index])
            if ms is not None:
                self.add(index, ms)
                return True
            self.failed.append(index)
        return False

    def add(self, index: int, measured_ms: float) -> None:
        """Take in a measurement."""
        if not 0 < measured_ms < float("inf"):
            raise LutError(
                "LUT43", "a measurement that is no latency", value=measured_ms, fix="return None for what failed"
            )
        predicted = float(self.posterior.predict(self._rows[[index]])[0])
        before = [abs(step.predicted_ms / step.measured_ms - 1) for step in self.steps[1:]]
        errors = [*before, abs(predicted / measured_ms - 1)] if self.steps else []
        chosen = [*(step.index for step in self.steps), index]
        measured = np.array([*(step.measured_ms for step in self.steps), measured_ms])
        self.posterior = learn(self._rows[chosen], measured)
        expected = self._expected_error(errors)
        self.steps.append(TransferStep(index, predicted, measured_ms, expected))

    def _expected_error(self, errors: Sequence[float]) -> float:
        """Return what is to be expected; the first prediction does not count, as the common factor was not known."""
        if len(errors) < _LAST_ERRORS:
            return float("inf")
        own = _MEAN_OF_ABSOLUTE * float(np.mean(self.posterior.relative_sd(self._rows[list(self._like)])))
        return max(own, float(np.mean(errors[-_LAST_ERRORS:])))


def _nothing(what: str, count: int) -> LutError:
    return LutError("LUT43", what, value=f"{count} candidates", why="a transfer needs measurements", fix="name others")
