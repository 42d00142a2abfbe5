"""Methods beside each other: mean hypervolume over seeds with its interval, and whether differences are chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.jsonio import canonical_json
from search.study_curves import StudyCurve

FloatArray = npt.NDArray[np.float64]
_CHECKPOINTS = 24
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Method:
    """Studies of one configuration that differ by seed.

    Attributes:
        name: Algorithm, and what sets the configuration apart from the others.
        curves: One for each seed, in the order of seeds.
    """

    name: str
    curves: tuple[StudyCurve, ...]

    def volumes(self, evaluations: int) -> FloatArray:
        """Return the hypervolume of each seed after so many evaluations."""
        return np.asarray([curve.at(evaluations) for curve in self.curves])


@dataclass(frozen=True, slots=True)
class Summary:
    """A method after some evaluations.

    Attributes:
        mean: Hypervolume, over the seeds.
        low: Lower end of the 95 % interval of the mean (Student's t); ``None`` with one seed.
        high: Upper end.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two methods at the same number of evaluations.

    Attributes:
        first: Name of the one with the larger mean.
        second: Name of the other.
        difference: Of the means, not negative.
        test: ``Wilcoxon, paired by seed`` where both have the same seeds, else ``Mann-Whitney``; "" with too few.
        pairs: Seeds of the first that are compared.
        p: Two-sided; ``None`` where nothing can be tested.
        p_holm: The same, corrected by Holm for all pairs of the comparison.
    """

    first: str
    second: str
    difference: float
    test: str
    pairs: int
    p: float | None
    p_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods beside each other.

    Attributes:
        methods: Best first.
        evaluations: That all studies have come to, or fewer where that was asked for.
        checkpoints: Numbers of evaluations up to there, rising, from where every study has a generation.
        summaries: Name of a method -> its summary at each checkpoint.
        differences: Every pair, surest first.
        whole: Hypervolume of all networks there are, where that is known.
        reference_point: That hypervolumes are measured from.
    """

    methods: tuple[Method, ...]
    evaluations: int
    checkpoints: tuple[int, ...]
    summaries: Mapping[str, tuple[Summary, ...]]
    differences: tuple[Difference, ...]
    whole: float | None
    reference_point: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        methods = [
            {
                "name": one.name,
                "studies": [{"study_id": curve.study_id, "seed": curve.seed} for curve in one.curves],
                "volumes": one.volumes(self.evaluations).tolist(),
                "summaries": [asdict(found) for found in self.summaries[one.name]],
            }
            for one in self.methods
        ]
        return {
            "evaluations": self.evaluations,
            "checkpoints": list(self.checkpoints),
            "reference_point": list(self.reference_point),
            "whole": self.whole,
            "methods": methods,
            "differences": [asdict(one) for one in self.differences],
        }


def compare(curves: Sequence[StudyCurve], evaluations: int | None = None) -> Comparison:
    """Set curves beside each other.

    Args:
        curves: Of one subject, from one reference point.
        evaluations: Where to judge; what all have come to for ``None`` or more than that.
    """
    common = min(curve.evaluations[-1] for curve in curves)
    judged_at = common if evaluations is None else min(evaluations, common)
    methods = sorted(_methods(curves), key=lambda one: (-float(one.volumes(judged_at).mean()), one.name))
    first = min(max(curve.evaluations[0] for curve in curves), judged_at)
    checkpoints = tuple(sorted({round(float(step)) for step in np.linspace(first, judged_at, _CHECKPOINTS)}))
    summaries = {one.name: tuple(summarise(one.volumes(count)) for count in checkpoints) for one in methods}
    pairs = [difference(first, second, judged_at) for first, second in combinations(methods, 2)]
    return Comparison(
        methods=tuple(methods),
        evaluations=judged_at,
        checkpoints=checkpoints,
        summaries=summaries,
        differences=tuple(sorted(_corrected(pairs), key=lambda one: (one.p is None, one.p or 0.0))),
        whole=curves[0].whole,
        reference_point=curves[0].reference_point,
    )


def summarise(volumes: FloatArray) -> Summary:
    """Return mean and interval over seeds."""
    mean = float(volumes.mean())
    if len(volumes) < 2:
        return Summary(mean, None, None)
    from scipy.stats import t

    half = float(t.ppf((1 + _LEVEL) / 2, len(volumes) - 1) * volumes.std(ddof=1) / np.sqrt(len(volumes)))
    return Summary(mean, mean - half, mean + half)


def difference(first: Method, second: Method, evaluations: int) -> Difference:
    """Test whether two methods differ; ``first`` is the one with the larger mean."""
    mine, theirs = first.volumes(evaluations), second.volumes(evaluations)
    gain = float(mine.mean() - theirs.mean())
    same_seeds = [curve.seed for curve in first.curves] == [curve.seed for curve in second.curves]
    if min(len(mine), len(theirs)) < 2:
        return Difference(first.name, second.name, gain, "", len(mine), None)
    test = "Wilcoxon, paired by seed" if same_seeds else "Mann-Whitney"
    return Difference(first.name, second.name, gain, test, len(mine), _chance(mine, theirs, is_paired=same_seeds))


def _chance(mine: FloatArray, theirs: FloatArray, *, is_paired: bool) -> float:
    """Return the two-sided p-value; 1 where the numbers do not differ at all."""
    from scipy.stats import mannwhitneyu, wilcoxon

    if is_paired:
        gaps = mine - theirs
        return float(wilcoxon(gaps).pvalue) if gaps.any() else 1.0
    return float(mannwhitneyu(mine, theirs, alternative="two-sided").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number. Source: Holm 1979."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def _corrected(pairs: Sequence[Difference]) -> list[Difference]:
    tested = [one for one in pairs if one.p is not None]
    corrected = holm([one.p for one in tested if one.p is not None])
    found = {id(one): p for one, p in zip(tested, corrected, strict=True)}
    return [Difference(**{**asdict(one), "p_holm": found.get(id(one))}) for one in pairs]


def _methods(curves: Sequence[StudyCurve]) -> list[Method]:
    """Group curves by method; of two studies of one method and seed the newer one counts."""
    groups: dict[str, dict[int, StudyCurve]] = {}
    for curve in curves:
        groups.setdefault(canonical_json(dict(curve.method)), {})[curve.seed] = curve
    configs = {key: json.loads(key) for key in groups}
    names = {key: _name(config, list(configs.values())) for key, config in configs.items()}
    return [Method(names[key], tuple(own[seed] for seed in sorted(own))) for key, own in groups.items()]


def _name(config: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Return the algorithm, and the keys in which configurations of that algorithm differ."""
    alike = [other for other in others if other["algorithm"] == config["algorithm"]]
    differing = [
        f"{key}={config[key]}"
        for key in sorted(config)
        if any(canonical_json(other.get(key)) != canonical_json(config[key]) for other in alike)
    ]
    return " ".join([config["algorithm"], *differing])
