"""Validation curves: recorded without any effect on the training that they look at."""

from dataclasses import replace

import numpy as np
import pytest

from mnas.spaces.presets import open_space
from search.accuracy.jobs import TrainingJob, run_training
from search.data.registry import open_dataset
from search.training.schedule import TrainingSchedule
from search.training.trainer import train_network

SHORT = TrainingSchedule(256, 3, 32, lr=0.1, bn_images=128, flip=True)


def job(**changes):
    space = open_space("mobilenetv3", "digits")
    network = space.decode(space.sample(np.random.default_rng(3)))
    return replace(TrainingJob(network.to_json(), "digits", None, SHORT, 5), **changes)


@pytest.mark.parametrize("schedule", [SHORT, replace(SHORT, ema_decay=0.9)])
def test_looking_on_changes_nothing(schedule):
    plain, watched = (run_training(job(schedule=schedule, curve_points=points)) for points in (0, 6))
    assert plain.curve == [] and len(watched.curve) == 6
    assert replace(plain, cost_s=0) == replace(watched, cost_s=0, curve=[])


def test_a_curve_runs_at_equal_distances_to_the_final_evaluation():
    outcome = run_training(job(curve_points=6, curve_images=100))
    assert [row[0] for row in outcome.curve] == pytest.approx([0.5, 1, 1.5, 2, 2.5, 3])
    assert outcome.curve[-1][1:] == [outcome.errors["rank-val"], outcome.losses["rank-val"]]
    assert outcome.curve[0][2] > outcome.curve[-1][2]


def test_a_watcher_can_end_a_training():
    architecture = job().architecture_json
    from mnas.architecture import Architecture

    network, seen = Architecture.from_json(architecture), []

    def watch(done, steps, module):
        seen.append((done, steps, module.training))
        return done == 11

    trained = train_network(network, open_dataset("digits"), SHORT, 1, watch)
    assert seen == [(n, 24, True) for n in range(1, 12)]
    assert trained.images_seen == 11 * 32 and not trained.module.training
