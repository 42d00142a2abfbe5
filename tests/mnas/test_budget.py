"""Budgets: what can be written can be read, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.budget import MOST_EVALUATIONS, Budget, budget_key, parse_budget
from mnas.config import make_config, merge_for_resume
from mnas.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3600}
counts = st.integers(1, MOST_EVALUATIONS)
times = st.tuples(st.integers(1, 2000), st.sampled_from("smh"))


@given(count=st.none() | counts, time=st.none() | times, device=st.none() | times, order=st.randoms())
def test_every_combination_of_limits_is_read_in_any_order(count, time, device, order):
    parts = [str(count)] if count else []
    parts += [f"{time[0]}{time[1]}"] if time else []
    parts += [f"{device[0]}{device[1]}-device"] if device else []
    order.shuffle(parts)
    if not parts:
        with pytest.raises(ValueError, match="no budget"):
            parse_budget("")
        return
    seconds = [None if one is None else one[0] * _UNITS[one[1]] for one in (time, device)]
    assert parse_budget(", ".join(parts)) == Budget(count, *seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-3",
        "1.5",
        "1000001",
        "10 m",
        "m",
        "5min",
        "1e3",
        "nan",
        "0s",
        "20-device",
        "5m,6m",
        "7,8",
        "3,",
        "9999h",
    ],
)
def test_what_is_no_budget_is_refused_with_the_part_that_is_wrong(text):
    with pytest.raises(ValueError):
        parse_budget(text)
    with pytest.raises(ConfigError, match=r"CFG01.*budget"):
        make_config({"budget": text})


@given(count=counts)
def test_a_count_is_kept_as_a_number_however_it_was_written(count):
    assert budget_key(count) == budget_key(str(count)) == count
    assert make_config({"budget": str(count)}) == make_config({"budget": count})


def test_configurations_from_before_mean_what_they_meant():
    config = make_config({"budget": 24})
    assert (config.budget, config.limits, config.warm_start) == (24, Budget(24), ())
    assert merge_for_resume(config, {"budget": "30m"}).limits == Budget(None, 1800.0)
    for wrong in (True, 2.5, None):
        with pytest.raises(ConfigError, match="CFG01"):
            make_config({"budget": wrong})
