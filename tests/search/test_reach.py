"""The least latency on several devices: what is certain is below every network, what is found is one of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.table import LatencyTable
from latency.testing import made_up_table
from mnas.errors import ConfigError
from mnas.objectives import read_objectives
from search.combination import Combination
from search.goal import goal_of
from search.outlook import Outlook
from search.reach import least_on_all
from search.testing import tiny_space

SPACE = tiny_space(kernels=(3, 5, 7, 9), widths=(0.5, 1.0, 1.5))
TABLE = made_up_table(SPACE)


def drawn(seed):
    """A table of the same space with latencies of its own."""
    rng = np.random.default_rng(seed)
    factors = rng.uniform(0.2, 3, len(TABLE.entries))
    entries = {
        segment: replace(entry, latency_ms=entry.latency_ms * factor)
        for (segment, entry), factor in zip(TABLE.entries.items(), factors, strict=True)
    }
    return LatencyTable(
        lut_id=f"lut{seed}-madeup",
        space=SPACE.name,
        device=TABLE.device,
        dtype="float32",
        batch=1,
        settings={},
        entries=entries,
        calibration=TABLE.calibration,
        validation=None,
        created_at_utc=TABLE.created_at_utc,
    )


def outlook_of(combine, seeds):
    weights = tuple(range(1, len(seeds) + 1)) if combine == "weighted" else ()
    combination = Combination.of(combine, weights, len(seeds))
    return Outlook(SPACE, [drawn(seed) for seed in seeds], read_objectives("error,latency"), combination)


@pytest.mark.parametrize("combine", ["worst", "weighted"])
@settings(max_examples=15)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=2, max_size=3, unique=True))
def test_the_least_of_all_networks_lies_between_the_bounds(combine, seeds):
    outlook = outlook_of(combine, seeds)
    everything = [SPACE.unrank(number) for number in range(SPACE.size())]
    least = min(outlook.combined(estimates) for estimates in outlook.estimates(everything))
    reach = least_on_all(outlook)
    assert reach.certain_ms <= least * (1 + 1e-9) and least <= reach.found_ms * (1 + 1e-9)
    assert reach.found_ms <= 1.1 * least


def test_a_target_that_no_network_meets_on_all_devices_is_refused_though_each_device_has_one():
    for seed in range(20):
        outlook = outlook_of("worst", (seed, 100 + seed))
        reach = least_on_all(outlook)
        own = [table.estimate([SPACE.decode(SPACE.cheapest(table.cost_ms))])[0].ms for table in outlook.tables]
        each = max(own)
        if each < 0.97 * reach.certain_ms:
            break
    else:
        pytest.fail("no such tables")
    between = (each + reach.certain_ms) / 2
    with pytest.raises(ConfigError, match="CFG05") as caught:
        goal_of(outlook, between, 0, 10)
    assert f"{reach.found_ms:.4g} ms" in str(caught.value)
    assert goal_of(outlook, reach.found_ms, 0, 10).target_ms == reach.found_ms
