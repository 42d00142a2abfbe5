"""What every accuracy estimator must do: a class to inherit in a test."""

from __future__ import annotations

import pickle
from dataclasses import replace

from mnas.architecture import Architecture
from search.accuracy.estimator import AccuracyEstimate, AccuracyEstimator, estimate_one
from search.executors.executor import InProcessExecutor, Job


class AccuracyEstimatorContract:
    """Inherit it, and override both methods.

    Collected by pytest through the inheriting class, whose name starts with ``Test``.
    """

    def estimator(self) -> AccuracyEstimator:
        """Return an estimator, made anew at each call."""
        raise NotImplementedError

    def architectures(self) -> tuple[Architecture, Architecture]:
        """Return two different networks that it can estimate."""
        raise NotImplementedError

    def test_an_estimate_says_what_it_rests_on(self) -> None:
        """Ranges, and the estimator's own name and fidelity."""
        estimator = self.estimator()
        estimate = estimate_one(estimator, self.architectures()[0], InProcessExecutor())
        assert 0 <= estimate.error <= 1 and estimate.loss >= 0 and estimate.cost_s >= 0
        assert estimate.split != "test" and estimate.images > 0
        assert estimate.repeats == len(estimate.seeds) or not estimate.seeds
        assert (estimate.source, estimate.fidelity) == (estimator.name, estimator.fidelity)
        assert estimate.std is None or estimate.std >= 0
        assert estimate.repeats == 1 or estimate.std is not None
        assert AccuracyEstimate.from_json(estimate.to_json()) == estimate

    def test_equal_fidelities_give_equal_estimates_in_any_order(self) -> None:
        """What was estimated before must not matter."""
        first, second = self.architectures()
        executor = InProcessExecutor()
        one, other = self.estimator(), self.estimator()
        assert one.fidelity == other.fidelity
        forth = [estimate_one(one, network, executor) for network in (first, second)]
        back = [estimate_one(other, network, executor) for network in (second, first)]
        assert [replace(e, cost_s=0) for e in forth] == [replace(e, cost_s=0) for e in reversed(back)]
        assert forth[0].loss != forth[1].loss

    def test_jobs_can_go_to_another_process(self) -> None:
        """Each is a `Job` that pickles."""
        for job in self.estimator().jobs(self.architectures()[0]):
            assert isinstance(job, Job) and isinstance(pickle.loads(pickle.dumps(job)), Job)
