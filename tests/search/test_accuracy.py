"""Estimates by proxy training: seeds, repeats, failures and what may be read when."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from picture_folders import CLASSES, make_folder

from mnas.errors import TrainingError
from mnas.seeding import derive_seed
from mnas.spaces.presets import open_space
from search.accuracy.estimator import AccuracyEstimate
from search.accuracy.jobs import (
    EvaluationJob,
    TrainingJob,
    cached_dataset,
    require_training,
    run_evaluation,
    run_training,
    training_outcome,
)
from search.accuracy.proxy import ProxyTraining
from search.accuracy.registry import open_accuracy
from search.accuracy.setting import AccuracySetting
from search.accuracy.testing import AccuracyEstimatorContract
from search.data.registry import open_dataset
from search.executors.executor import InProcessExecutor, Outcome
from search.training.schedule import TrainingSchedule

SHORT = TrainingSchedule(200, 1, 32, lr=0.1, bn_images=100)
PROXY = ProxyTraining("digits", None, SHORT, study_seed=7, repeats=2)


def network(seed=3):
    space = open_space("mobilenetv3", "digits")
    return space.decode(space.sample(np.random.default_rng(seed)))


def test_an_estimate_is_the_mean_of_its_repeats():
    architecture = network()
    outcomes = InProcessExecutor().map_in_order(PROXY.jobs(architecture))
    estimate = PROXY.estimate(architecture, outcomes)
    errors = [one.value.errors["rank-val"] for one in outcomes]
    assert errors[0] != errors[1]
    assert estimate.error == pytest.approx(sum(errors) / 2)
    assert estimate.std == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)
    assert (estimate.split, estimate.repeats) == ("rank-val", 2)
    assert estimate.images == open_dataset("digits").size("rank-val")
    assert estimate.cost_s > 0
    assert AccuracyEstimate.from_json(estimate.to_json()) == estimate


def test_seeds_depend_on_study_network_fidelity_and_repeat_alone():
    architecture = network()
    first, second = PROXY.training_jobs(architecture)
    assert first.seed == derive_seed(7, "train", architecture.arch_id, SHORT.fidelity, 0)
    others = [
        second,
        replace(first, study_seed=8),
        replace(first, architecture_json=network(4).to_json()),
        replace(first, schedule=replace(SHORT, epochs=2)),
    ]
    assert len({first.seed, *(one.seed for one in others)}) == 5
    assert replace(first, evaluate_splits=("val",), keep_weights_path="x").seed == first.seed


class TestProxyTraining(AccuracyEstimatorContract):
    def estimator(self):
        return replace(PROXY, repeats=1)

    def architectures(self):
        return network(3), network(4)


def test_a_diverging_network_is_an_outcome_and_then_an_error():
    proxy = replace(PROXY, schedule=replace(SHORT, lr=1e30), repeats=1)
    outcomes = InProcessExecutor().map_in_order(proxy.jobs(network()))
    assert outcomes[0].is_ok
    assert outcomes[0].value.diverged and "TRN01" in outcomes[0].value.error_message
    assert outcomes[0].value.errors == {}
    with pytest.raises(TrainingError, match="TRN01"):
        proxy.estimate(network(), outcomes)


def test_a_lost_worker_is_a_failed_outcome_that_did_not_diverge():
    proxy = replace(PROXY, repeats=1)
    (job,) = proxy.training_jobs(network())
    lost = Outcome(error_message="the worker process ended by signal 9", attempts=2, is_lost=True)
    outcome = training_outcome(job, lost)
    assert not outcome.is_ok and not outcome.diverged and outcome.seed == job.seed
    with pytest.raises(TrainingError, match=r"TRN03.*signal 9"):
        proxy.estimate(network(), [lost])


def test_jobs_can_be_pickled_and_splits_are_read_only_when_asked_for(tmp_path):
    path = tmp_path / "w.pt"
    job = TrainingJob(network().to_json(), "digits", None, SHORT, 1, 0, ("rank-val", "val"), str(path))
    assert pickle.loads(pickle.dumps(job)) == job
    outcome = run_training(job)
    assert set(outcome.errors) == set(outcome.losses) == set(outcome.images) == {"rank-val", "val"}
    later = EvaluationJob(job.architecture_json, "digits", None, str(path), "val")
    found = run_evaluation(later)
    assert found.error == outcome.errors["val"]
    assert found.loss == pytest.approx(outcome.losses["val"], rel=1e-5)
    assert run_evaluation(replace(later, split="test")).images == open_dataset("digits").size("test")


def test_data_that_changed_under_a_search_stop_it_and_are_no_fault_of_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pets, space = make_folder(tmp_path / "pets"), open_space("mobilenetv3", "digits-3x3")
    dataset, architecture = open_dataset(str(pets)), space.decode(space.extremes()[0])
    setting = AccuracySetting(
        space, str(pets), None, 60, replace(SHORT, train_images=0), 7, "", 1.0, dataset.fingerprint
    )
    jobs = [open_accuracy(name, setting).jobs(architecture)[0] for name in ("proxy", "curves", "zero-cost:naswot")]
    first = TrainingJob(
        architecture.to_json(), str(pets), None, setting.schedule, 1, keep_weights_path=str(tmp_path / "w")
    )
    assert run_training(replace(first, fingerprint=dataset.fingerprint)).is_ok
    later = EvaluationJob(first.architecture_json, str(pets), None, str(tmp_path / "w"), "val")
    jobs.append(replace(later, fingerprint=dataset.fingerprint).as_job())
    cached_dataset.cache_clear()
    (pets / CLASSES[0] / "000.png").unlink()
    for outcome in InProcessExecutor().map_in_order(jobs):
        with pytest.raises(TrainingError, match=r"TRN05.*DAT05"):
            require_training(outcome)
    assert run_evaluation(later).images > 0, "who names no data takes what is there"
