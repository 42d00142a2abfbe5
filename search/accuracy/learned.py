"""A predictor of accuracy that is learned from genomes with known estimates, of whatever estimator, with uncertainty.

Three kinds stand for choice: ridge regression, boosted trees and a small multilayer perceptron, each as an ensemble
over bootstrap samples. Cross-validation on the given genomes chooses one.

Source: Cai et al., Once for All (arXiv 1908.09791), section 3.3, for the perceptron on one-hot genomes; the standard
deviation, that of the ensemble and the cross-validated residual together, is ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mnas.errors import ConfigError
from mnas.seeding import derive_seed, named_rng
from mnas.space import Genome

FloatArray = npt.NDArray[np.float64]

LEAST_NETWORKS = 10
_FOLDS = 5
_MEMBERS = 8
_RIDGE = 1.0


class _Regressor(Protocol):
    def fit(self, features: FloatArray, values: FloatArray) -> Any: ...

    def predict(self, features: FloatArray) -> Any: ...


def _ridge(seed: int) -> _Regressor:
    from sklearn.linear_model import Ridge

    found: _Regressor = Ridge(alpha=_RIDGE)
    return found


def _trees(seed: int) -> _Regressor:
    from sklearn.ensemble import GradientBoostingRegressor

    settings = {"n_estimators": 150, "max_depth": 3, "learning_rate": 0.08, "subsample": 0.8}
    found: _Regressor = GradientBoostingRegressor(**settings, random_state=seed % 2**32)
    return found


def _mlp(seed: int) -> _Regressor:
    from sklearn.neural_network import MLPRegressor

    settings = {"hidden_layer_sizes": (64,), "alpha": 1.0, "solver": "lbfgs", "max_iter": 200}
    found: _Regressor = MLPRegressor(**settings, random_state=seed % 2**32)
    return found


KINDS: dict[str, Callable[[int], _Regressor]] = {"ridge": _ridge, "trees": _trees, "mlp": _mlp}
"""Name -> regressor for a seed."""


@dataclass(frozen=True, eq=False)
class LearnedPredictor:
    """Predicts what an estimator would give, from the genome alone.

    Attributes:
        kind: One of `KINDS`.
        cardinalities: Of the space's genes.
        residual: Root of the mean squared error in cross-validation.
        cross_validated: Kind -> that error, of every kind that was tried.
        members: The ensemble; fitted on values of mean 0 and standard deviation 1.
        centre: Mean of the values that it was fitted on.
        scale: Their standard deviation.
    """

    kind: str
    cardinalities: tuple[int, ...]
    residual: float
    cross_validated: dict[str, float]
    members: tuple[_Regressor, ...]
    centre: float
    scale: float

    @classmethod
    def fit(
        cls,
        cardinalities: Sequence[int],
        genomes: Sequence[Genome],
        values: Sequence[float],
        *,
        seed: int = 0,
        kinds: Sequence[str] = tuple(KINDS),
    ) -> LearnedPredictor:
        """Choose a kind by cross-validation and fit it on everything.

        Args:
            cardinalities: Of the space's genes.
            genomes: Canonical, ``LEAST_NETWORKS`` or more.
            values: What each is worth, e.g. its loss; finite.
            seed: Of folds, bootstrap samples and regressors.
            kinds: Some of `KINDS`.

        Raises:
            ConfigError: ``CFG54``: too few networks, or values that are not finite.
        """
        targets = np.asarray(values, dtype=float)
        if len(targets) < LEAST_NETWORKS or len(targets) != len(genomes) or not np.isfinite(targets).all():
            raise ConfigError(
                "CFG54",
                "a predictor of accuracy cannot be learned from this",
                value=f"{len(genomes)} networks with {int(np.isfinite(targets).sum())} finite values",
                why=f"it takes {LEAST_NETWORKS} networks, each with a finite value",
                fix="estimate more networks",
            )
        centre, scale = float(targets.mean()), float(targets.std()) or 1.0
        features, scaled = one_hot(cardinalities, genomes), (targets - centre) / scale
        errors = {kind: _cross_validated(kind, features, scaled, seed) * scale for kind in kinds}
        best = min(errors, key=lambda kind: errors[kind])
        members = _ensemble(best, features, scaled, seed, _MEMBERS)
        return cls(best, tuple(cardinalities), errors[best], errors, members, centre, scale)

    def predict(self, genomes: Sequence[Genome]) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation, ``(n,)`` each, of what each genome is worth."""
        if not genomes:
            return np.zeros(0), np.zeros(0)
        features = one_hot(self.cardinalities, genomes)
        found = np.stack([np.asarray(one.predict(features), dtype=float) for one in self.members])
        mean = found.mean(0) * self.scale + self.centre
        return mean, np.hypot(found.std(0, ddof=1) * self.scale, self.residual)


def one_hot(cardinalities: Sequence[int], genomes: Sequence[Genome]) -> FloatArray:
    """Return one column for each choice of each gene, ``(n, sum of cardinalities)``."""
    chosen = np.asarray(genomes, dtype=int).reshape(len(genomes), len(cardinalities))
    return np.concatenate(
        [np.eye(count)[chosen[:, gene]] for gene, count in enumerate(cardinalities)], axis=1, dtype=float
    )


def _fitted(kind: str, features: FloatArray, values: FloatArray, seed: int) -> _Regressor:
    from sklearn.exceptions import ConvergenceWarning

    regressor = KINDS[kind](seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        regressor.fit(features, values)
    return regressor


def _ensemble(kind: str, features: FloatArray, values: FloatArray, seed: int, members: int) -> tuple[_Regressor, ...]:
    rng = named_rng(seed, "learned-bootstrap", kind)
    draws = [rng.integers(0, len(values), len(values)) for _ in range(members)]
    return tuple(
        _fitted(kind, features[draw], values[draw], derive_seed(seed, "learned", kind, number))
        for number, draw in enumerate(draws)
    )


def _cross_validated(kind: str, features: FloatArray, values: FloatArray, seed: int) -> float:
    """Return the root mean squared error over folds, of single regressors."""
    order = named_rng(seed, "learned-folds").permutation(len(values))
    squares = []
    for fold in np.array_split(order, _FOLDS):
        rest = np.setdiff1d(order, fold)
        regressor = _fitted(kind, features[rest], values[rest], derive_seed(seed, "learned-fold", kind))
        squares.append((np.asarray(regressor.predict(features[fold])) - values[fold]) ** 2)
    return float(np.sqrt(np.mean(np.concatenate(squares))))
