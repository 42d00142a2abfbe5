"""Target, reference point and what cannot be reached, against brute force on a space that can be enumerated."""

import itertools
import statistics

import pytest

from latency.calibration import Calibration
from latency.testing import made_up_table
from mnas.errors import ConfigError, LutError
from mnas.spaces.presets import open_space
from search.goal import Goal, set_goal
from search.testing import tiny_space

SPACE = tiny_space()
TABLE = made_up_table(SPACE)
WEIGHTS = Calibration("weights", scale=0.9, intercept_ms=0.1, per_mparam_ms=300.0, networks=9)
"""A million parameters cost so much that the table's entries alone would name another network as the slowest."""


def all_latencies(table):
    genomes = {SPACE.canonical(genome) for genome in itertools.product(*map(range, SPACE.cardinalities))}
    assert len(genomes) == SPACE.size()
    return [estimate.ms for estimate in table.estimate([SPACE.decode(genome) for genome in genomes])]


@pytest.mark.parametrize("table", [TABLE, made_up_table(SPACE, WEIGHTS)], ids=["affine", "weights"])
def test_least_and_greatest_are_those_of_all_networks(table):
    goal, latencies = set_goal(SPACE, table, None, seed=0, classes=10), all_latencies(table)
    assert goal.least_ms == pytest.approx(min(latencies))
    assert goal.greatest_ms == pytest.approx(max(latencies))
    assert goal.reference_point == (0.9, goal.greatest_ms)
    assert Goal.from_json(goal.to_json()) == goal


def test_the_median_target_is_near_the_true_one_and_belongs_to_the_seed():
    first, again, other = (set_goal(SPACE, TABLE, None, seed, 10) for seed in (1, 1, 2))
    assert first == again and first.target_source == "median"
    assert other.target_ms != first.target_ms
    below = statistics.quantiles(all_latencies(TABLE), n=20)
    assert below[5] < first.target_ms < below[13]


def test_a_target_that_no_network_meets_is_refused_with_the_least_latency():
    least = set_goal(SPACE, TABLE, None, 0, 10).least_ms
    with pytest.raises(ConfigError, match="CFG05") as caught:
        set_goal(SPACE, TABLE, 0.99 * least, 0, 10)
    assert f"{least:.4g} ms" in str(caught.value) and caught.value.exit_code == 2
    goal = set_goal(SPACE, TABLE, least, 0, 10)
    assert (goal.target_ms, goal.target_source) == (least, "asked")


def test_a_table_of_another_space_is_refused_by_name():
    with pytest.raises(LutError, match=r"LUT02.*mobilenetv3/tiny") as caught:
        set_goal(open_space("mobilenetv3", "digits"), TABLE, None, 0, 10)
    assert caught.value.exit_code == 6
