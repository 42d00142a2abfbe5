"""benchmarks/accuracy_training.py: its figures on trainings whose truth is known."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def halving(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    before = set(sys.modules)
    yield importlib.import_module("_training_halving")
    for name in set(sys.modules) - before:
        if name.startswith("_audit") or name.startswith("_training"):
            del sys.modules[name]


def trainings(noise, rung_noise, count=27, seed=0):
    rng = np.random.default_rng(seed)
    worth = rng.permutation(np.linspace(0.7, 0.9, count))
    accuracy = worth[:, None] + rng.normal(0, noise, (count, 2))
    rungs = np.stack([2 - worth + rng.normal(0, n, count) for n in (*rung_noise, 0)], axis=1)
    return worth, accuracy, rungs


def test_halving_that_sees_the_truth_finds_the_best_for_a_third(halving):
    worth, accuracy, rungs = trainings(0.001, (0, 0), count=48)
    found = halving.halving_figures(rungs, [1 / 9, 1 / 3, 1.0], np.stack([2 - worth] * 2, axis=1), accuracy)
    assert found["halving_overlap"] == found["two_full_runs_overlap"] == 5
    assert (
        found["halving_epochs_share"] == pytest.approx((48 / 9 + 16 / 3 + 5) / 48)
        and found["halving_epochs_share"] < 1 / 3
    )
    assert found["halving_behind_standard_errors"] == 0


def test_halving_that_sees_nothing_is_behind(halving):
    worth, accuracy, rungs = trainings(0.001, (5, 5), count=48)
    found = halving.halving_figures(rungs, [1 / 9, 1 / 3, 1.0], np.stack([2 - worth] * 2, axis=1), accuracy)
    assert found["halving_overlap"] < 4 and found["halving_behind_standard_errors"] > 5


def curves_of(worth, noise, seed=1):
    rng, steps = np.random.default_rng(seed), np.linspace(0.5, 0.0, 8)
    curves = (1 - worth)[:, None] + steps + rng.normal(0, noise, (len(worth), 8))
    curves[:, -1] = 1 - worth
    return curves


def test_clear_curves_save_much_and_stop_no_good_network(halving, monkeypatch):
    monkeypatch.setattr(halving, "ORDERS", 5)
    worth, accuracy, _ = trainings(0.0, (0, 0), count=48)
    found = halving.curve_figures(curves_of(worth, 0.002), accuracy, 0.05)
    assert found["curves_top5_wrongly_stopped"] == 0 and found["curves_epochs_saved"] > 0.4
    assert found["curves_mean_stated_p_wrong"] < 0.05


def test_curves_that_say_nothing_stop_little(halving, monkeypatch):
    monkeypatch.setattr(halving, "ORDERS", 5)
    worth, accuracy, _ = trainings(0.0, (0, 0), count=48)
    found = halving.curve_figures(curves_of(worth, 1.0), accuracy, 0.05)
    assert found["curves_epochs_saved"] < 0.15
