"""Targets as constraints: certainty of meeting one, and the best network that does."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.testing import made_up_table
from latency.uncertainty import Uncertainty
from mnas.errors import ConfigError
from mnas.spaces.presets import open_space
from search.constraint import LatencyConstraint, best_within


@cache
def latencies():
    space = open_space("mobilenetv3", "digits")
    table = made_up_table(space)
    table.uncertainty = Uncertainty(0.05, 0.05, 9)
    return space, table.over(space)


def drawn(seed, count=40):
    space, estimated = latencies()
    rng = np.random.default_rng(seed)
    genomes = [space.draw(rng) for _ in range(count)]
    return estimated, genomes, estimated.ms(genomes)


@given(st.integers(0, 50), st.floats(0.02, 0.98), st.floats(0.05, 0.95))
def test_the_more_certainty_is_asked_for_the_less_meets_it(seed, place, probability):
    estimated, genomes, ms = drawn(seed)
    target = float(np.quantile(ms, place))
    met = LatencyConstraint(target, probability).is_met(estimated, genomes)
    certain = LatencyConstraint(target, probability + 0.04).is_met(estimated, genomes)
    assert not (certain & ~met).any()
    assert met.tolist() == [estimated.probability_within([one], target)[0] >= probability for one in genomes]
    short = LatencyConstraint(target, probability).shortfall(estimated, genomes)
    assert ((short == 0) == met).all() and (short <= probability).all()


@given(st.integers(0, 50))
def test_at_one_half_it_is_the_prediction_itself_and_it_moves_with_the_target(seed):
    estimated, genomes, ms = drawn(seed)
    target = float(np.median(ms)) * 1.001
    assert LatencyConstraint(target).is_met(estimated, genomes).tolist() == (ms <= target).tolist()
    assert LatencyConstraint(float(ms.max()) * 10, 0.999).is_met(estimated, genomes).all()
    assert not LatencyConstraint(float(ms.min()) / 10, 0.001).is_met(estimated, genomes).any()


@pytest.mark.parametrize(("target", "probability"), [(0, 0.5), (-1, 0.5), (float("inf"), 0.5), (1, 0), (1, 1), (1, 2)])
def test_what_is_no_constraint_is_refused(target, probability):
    with pytest.raises(ConfigError, match="CFG21"):
        LatencyConstraint(target, probability)
    with pytest.raises(ConfigError, match="CFG21"):
        LatencyConstraint(float("nan"), 0.5)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([1.0, 2.0, 3.0])), max_size=9))
def test_the_mark_is_on_the_least_error_within_the_target(networks):
    errors, ms = np.asarray([one[0] for one in networks]), np.asarray([one[1] for one in networks])
    for target in (0.5, 1.0, 2.0, 3.5):
        within = [one for one in networks if one[1] <= target]
        found = best_within(errors, ms, target)
        assert (found is None) == (not within)
        if found is not None:
            assert networks[found] == min(within) and networks.index(networks[found]) == found
