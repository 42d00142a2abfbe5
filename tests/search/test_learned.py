"""The learned predictor: what can be learned is learned, it knows what it does not know, and it repeats itself."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from mnas.errors import ConfigError
from search.accuracy.learned import KINDS, LearnedPredictor, one_hot

CARDINALITIES = (3, 4, 2, 5)


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    genomes = [tuple(int(rng.integers(0, c)) for c in CARDINALITIES) for _ in range(count)]
    return genomes, rng


def worth(genomes, rng, noise=0.05):
    """Adds over genes, and two of them work together."""
    return [0.3 * g[0] - 0.1 * g[1] + 0.5 * (g[2] and g[3] > 2) + rng.normal(0, noise) for g in genomes]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_repeats(kind):
    genomes, rng = drawn(120)
    values = worth(genomes, rng)
    others, _ = drawn(80, seed=1)
    first, again = (LearnedPredictor.fit(CARDINALITIES, genomes, values, seed=3, kinds=(kind,)) for _ in range(2))
    mean, std = first.predict(others)
    assert np.array_equal(mean, again.predict(others)[0]) and np.array_equal(std, again.predict(others)[1])
    assert spearmanr(mean, worth(others, rng, 0)).statistic > 0.85
    assert first.kind == kind and (std >= first.residual).all()


def test_cross_validation_takes_the_best_kind_and_its_error_is_honest():
    genomes, rng = drawn(150)
    found = LearnedPredictor.fit(CARDINALITIES, genomes, worth(genomes, rng))
    assert set(found.cross_validated) == set(KINDS)
    assert found.residual == min(found.cross_validated.values()) == found.cross_validated[found.kind]
    assert found.kind != "ridge"  # which cannot see that two genes work together
    others, fresh = drawn(300, seed=2)
    mean, std = found.predict(others)
    off = np.abs(mean - worth(others, fresh))
    assert 0.85 < np.mean(off < 2 * std) and std.max() < 0.3


def test_scale_and_centre_of_the_values_do_not_matter():
    genomes, rng = drawn(40)
    values = np.asarray(worth(genomes, rng))
    one = LearnedPredictor.fit(CARDINALITIES, genomes, values, kinds=("ridge", "trees"))
    other = LearnedPredictor.fit(CARDINALITIES, genomes, 1000 + 50 * values, kinds=("ridge", "trees"))
    assert one.kind == other.kind
    for mine, theirs, shift in zip(one.predict(genomes), other.predict(genomes), (1000, 0), strict=True):
        assert theirs == pytest.approx(shift + 50 * mine, rel=1e-6, abs=1e-6)


def test_equal_values_are_predicted_as_they_are():
    genomes, _ = drawn(12)
    mean, std = LearnedPredictor.fit(CARDINALITIES, genomes, [0.5] * 12).predict(genomes)
    assert mean == pytest.approx([0.5] * 12, abs=1e-3) and std.max() < 0.01


@pytest.mark.parametrize("values", [[0.1] * 9, [0.1] * 9 + [float("nan")], [0.1] * 12])
def test_what_cannot_be_learned_from_is_refused(values):
    genomes, _ = drawn(min(len(values), 10))
    with pytest.raises(ConfigError, match="CFG54"):
        LearnedPredictor.fit(CARDINALITIES, genomes, values)


def test_one_hot_has_one_column_a_choice():
    assert one_hot((2, 3), [(1, 0), (0, 2)]).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
    assert LearnedPredictor.fit(CARDINALITIES, drawn(10)[0], range(10)).predict([])[0].shape == (0,)
