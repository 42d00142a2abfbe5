"""A predictor of inherited losses: learned from some networks, judged on others, beside their MACs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from _audit_figures import agreement
from _audit_truth import STUDY_SEED, audit_space

from mnas.architecture import Architecture
from mnas.seeding import derive_seed
from search.accuracy.audit_statistics import spearman
from search.accuracy.learned import LearnedPredictor

Floats = npt.NDArray[np.float64]
LEARNED_FROM, JUDGED_ON = 200, 100


def features(networks: Sequence[Architecture]) -> Floats:
    """Return a row for each network: every choice of every gene as 0 or 1, and the genes as numbers."""
    space = audit_space()
    genomes = np.array([space.encode(one) for one in networks])
    choices = [genomes[:, [at]] == np.arange(count) for at, count in enumerate(space.cardinalities)]
    return np.hstack([*choices, genomes / np.maximum(1, np.array(space.cardinalities) - 1)]).astype(np.float64)


def predictions(known: Floats, losses: Floats, asked: Floats) -> dict[str, Floats]:
    """Return what each kind of predictor, and their mean, says of the networks asked about."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    seed = derive_seed(STUDY_SEED, "predictor") % 2**32
    trees = GradientBoostingRegressor(
        n_estimators=400, learning_rate=0.05, max_depth=3, subsample=0.7, random_state=seed
    )
    strengths = np.logspace(-2, 3, 11)
    found = {
        "ridge": RidgeCV(strengths).fit(known, losses).predict(asked),
        "pairs": make_pipeline(PolynomialFeatures(2, interaction_only=True), RidgeCV(strengths))
        .fit(known, losses)
        .predict(asked),
        "trees": trees.fit(known, losses).predict(asked),
    }
    return {**found, "mean": np.mean(list(found.values()), axis=0)}


def learned(networks: Sequence[Architecture], losses: Floats, asked: Sequence[Architecture]) -> Floats:
    """Return what the tool's own predictor says of the networks asked about."""
    space = audit_space()
    seed = derive_seed(STUDY_SEED, "predictor", "learned")
    genomes, others = [space.encode(one) for one in networks], [space.encode(one) for one in asked]
    return LearnedPredictor.fit(space.cardinalities, genomes, losses.tolist(), seed=seed).predict(others)[0]


def predictor_figures(networks: Sequence[Architecture], losses: Floats, macs: Floats) -> dict[str, Any]:
    """Return Spearman's correlation of predicted and inherited losses on networks that were not learned from."""
    first, judged = slice(None, LEARNED_FROM), slice(LEARNED_FROM, LEARNED_FROM + JUDGED_ON)
    table, logs = features(networks), np.log(losses)
    found = predictions(table[first], logs[first], table[judged])
    found["tool"] = learned(networks[first], logs[first], networks[judged])
    seed = derive_seed(STUDY_SEED, "predictor", "bootstrap")
    return {
        "predictor_spearman": spearman(found["tool"], losses[judged]),
        "predictor_macs_spearman": spearman(macs[judged], -losses[judged]),
        "predictor_kinds": {name: spearman(values, losses[judged]) for name, values in found.items()},
        "predictor_agreement": agreement(-losses[judged], -found["tool"], {"macs": macs[judged]}, seed),
    }
