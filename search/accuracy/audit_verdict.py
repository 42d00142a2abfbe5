"""What an audit's rows come to: noise, ceiling, and each estimator beside params and MACs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from mnas.errors import ConfigError
from mnas.seeding import named_rng
from mnas.space import Genome
from search.accuracy.audit_statistics import (
    advantage,
    advantage_within_bands,
    agreement,
    bands_of,
    better_half,
    distinguishable_gap,
    seed_noise,
    seed_tau,
    spread,
    spread_over_noise,
)
from search.accuracy.learned import LEAST_NETWORKS, LearnedPredictor

FloatArray = npt.NDArray[np.float64]

LEAST_AUDITED = 6
_LEARNED = "learned (5 folds)"
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class TruthRows:
    """The networks that could be trained on every seed.

    Attributes:
        arch_ids: Of each network.
        genomes: Likewise.
        errors: Rank-val errors, ``(networks, seeds)``.
        cost_s: CPU seconds, likewise.
        images: That the errors were taken on.
        macs: Of each network.
        params: Likewise.
        failed: Networks left out because a training failed.
    """

    arch_ids: tuple[str, ...]
    genomes: tuple[Genome, ...]
    errors: FloatArray
    cost_s: FloatArray
    images: int
    macs: FloatArray
    params: FloatArray
    failed: int

    @classmethod
    def of(
        cls,
        arch_ids: Sequence[str],
        genomes: Sequence[Genome],
        table: Sequence[Sequence[dict[str, Any]]],
        *,
        macs: Sequence[float],
        params: Sequence[float],
    ) -> TruthRows:
        """Read rows, ``table[network][seed]``.

        Raises:
            ConfigError: ``CFG55``: too few networks could be trained to say anything.
        """
        good = [i for i, rows in enumerate(table) if not any(row["failure"] for row in rows)]
        if len(good) < LEAST_AUDITED:
            reasons = [row["failure"] for rows in table for row in rows if row["failure"]]
            raise ConfigError(
                "CFG55",
                "too few networks could be trained for an audit",
                value=f"{len(good)} of {len(table)}",
                why=reasons[0]
                if reasons
                else f"{LEAST_AUDITED} are the least that a rank correlation says anything of",
                fix="audit more networks with --networks, or mend the training",
            )
        return cls(
            arch_ids=tuple(arch_ids[i] for i in good),
            genomes=tuple(genomes[i] for i in good),
            errors=np.asarray([[row["error"] for row in table[i]] for i in good], dtype=float),
            cost_s=np.asarray([[row["cost_s"] for row in table[i]] for i in good], dtype=float),
            images=int(table[good[0]][0]["images"]),
            macs=np.asarray([macs[i] for i in good], dtype=float),
            params=np.asarray([params[i] for i in good], dtype=float),
            failed=len(table) - len(good),
        )


@dataclass(frozen=True, eq=False)
class EstimatorRows:
    """What one estimator said.

    Attributes:
        name: As the registry knows it.
        source: As its candidates are marked in a search.
        rows: arch_id -> estimate, or why there is none.
        generation: Networks among which it decided, as a search's population; 0 where it takes each on its own.
    """

    name: str
    source: str
    rows: dict[str, dict[str, Any]]
    generation: int = 0


def make_verdict(
    truth: TruthRows, said: Sequence[EstimatorRows], cardinalities: Sequence[int], seed: int
) -> dict[str, Any]:
    """Return every figure of an audit as JSON; errors are fractions, intervals 95 %.

    Args:
        truth: What the networks are worth.
        said: What estimators say of them.
        cardinalities: Of the space's genes.
        seed: Of the bootstrap draws.
    """
    noise, half = seed_noise(truth.errors), better_half(truth.errors)
    rivals = {"macs": -truth.macs, "params": -truth.params}
    found = [_judged(name, "", values, 0.0, truth, seed) for name, values in rivals.items()]
    found += [_of_estimator(one, truth, seed) for one in said]
    if len(truth.genomes) >= 2 * LEAST_NETWORKS:
        found.append(_judged(_LEARNED, "", _out_of_fold(truth, cardinalities, seed), 0.0, truth, seed))
    return {
        "networks": len(truth.arch_ids),
        "seeds": truth.errors.shape[1],
        "failed": truth.failed,
        "images": truth.images,
        "mean_error": float(truth.errors.mean()),
        "noise": noise,
        "spread": spread(truth.errors),
        "spread_over_noise": _finite(spread_over_noise(truth.errors)),
        "better_half_spread_over_noise": _finite(spread_over_noise(half)),
        "seed_tau": seed_tau(truth.errors, seed=seed).to_json(),
        "gap": distinguishable_gap(noise, truth.errors.shape[1]),
        "cost_s": float(truth.cost_s.mean()),
        "estimators": found,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _of_estimator(one: EstimatorRows, truth: TruthRows, seed: int) -> dict[str, Any]:
    """Return an estimator's figures; a network that it could not estimate counts as its worst."""
    rows = [one.rows[arch_id] for arch_id in truth.arch_ids]
    good = [row for row in rows if not row["failure"]]
    if not good:
        return {"name": one.name, "source": one.source, "failure": rows[0]["failure"]}
    values = _values(rows, "error")
    cost_s = float(np.mean([row["cost_s"] for row in good]))
    more: dict[str, Any] = {"generation": one.generation} if one.generation else {}
    more["not_estimated"] = len(rows) - len(good)
    if all("loss" in row for row in good):
        losses = _values(rows, "loss")
        # A score's loss, or a command's, is worked out from its error and ranks alike.
        if not np.array_equal(rankdata(losses), rankdata(values)):
            more["by_loss"] = _figures("loss", losses, truth, seed)
    return {**_judged(one.name, one.source, values, cost_s, truth, seed), **more}


def _values(rows: Sequence[dict[str, Any]], key: str) -> FloatArray:
    """Return a figure of each network, ``(networks,)``; the worst of all where there is none."""
    worst = max(row[key] for row in rows if not row["failure"])
    return np.asarray([worst if row["failure"] else row[key] for row in rows], dtype=float)


def _judged(name: str, source: str, values: FloatArray, cost_s: float, truth: TruthRows, seed: int) -> dict[str, Any]:
    return {"name": name, "source": source, "cost_s": cost_s, **_figures(name, values, truth, seed)}


def _figures(name: str, values: FloatArray, truth: TruthRows, seed: int) -> dict[str, Any]:
    """Return how values that should grow with the error rank the networks, alone and beside the rivals."""
    means, bands = truth.errors.mean(axis=1), bands_of(truth.macs)
    figures = {
        "tau": agreement(values, means, "tau", seed=seed).to_json(),
        "spearman": agreement(values, means, "spearman", seed=seed).to_json(),
    }
    for rival, sizes in (("macs", truth.macs), ("params", truth.params)):
        if name != rival:
            within = advantage_within_bands(values, -sizes, means, bands, seed=seed)
            figures[f"beyond_{rival}"] = advantage(values, -sizes, means, seed=seed).to_json()
            figures[f"beyond_{rival}_within_bands"] = within.to_json()
    return figures


def _out_of_fold(truth: TruthRows, cardinalities: Sequence[int], seed: int) -> FloatArray:
    """Return what a learned predictor says of each network when it has learned from the others' truth alone."""
    means, found = truth.errors.mean(axis=1), np.zeros(len(truth.genomes))
    order = named_rng(seed, "audit-folds").permutation(len(found))
    for fold in np.array_split(order, _FOLDS):
        rest = np.setdiff1d(order, fold)
        predictor = LearnedPredictor.fit(cardinalities, [truth.genomes[i] for i in rest], means[rest], seed=seed)
        found[fold] = predictor.predict([truth.genomes[i] for i in fold])[0]
    return found
