from __future__ import annotations

import pytest

from devices.stopping import FEWEST_ROUNDS, Stopping, StoppingRule
from mnas.errors import ConfigError


class _Clock:
    """Each round takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _rounds(rule: StoppingRule, settled: str) -> tuple[int, str]:
    clock = _Clock()
    stopping = Stopping(rule, lambda precision: settled, clock)
    for number in range(1, rule.max_rounds + 1):
        clock.now += 1.0
        if stopping.enough(number):
            break
    assert stopping.describe()["rounds"] == stopping.rounds
    return stopping.rounds, stopping.why


def test_stops_when_all_is_settled_and_not_before_the_fewest_rounds() -> None:
    rule = StoppingRule(min_rounds=20, budget_s=1000)
    assert _rounds(rule, "it is") == (20, "it is")
    assert _rounds(rule, "")[0] == rule.max_rounds


def test_looks_are_not_taken_after_every_round() -> None:
    looks, clock = [], _Clock()

    def settled(precision: float) -> str:
        looks.append(clock.now)
        return ""

    stopping = Stopping(StoppingRule(min_rounds=20, budget_s=1000, precision=0.03), settled, clock)
    for number in range(1, 200):
        clock.now += 1.0
        stopping.enough(number)
    assert looks[:3] == [20, 25, 31] and len(looks) < 15


def test_the_budget_ends_it_before_the_round_that_would_break_it() -> None:
    rounds, why = _rounds(StoppingRule(budget_s=12.5), "")
    assert rounds == 12 and "12.5 s" in why


def test_three_rounds_are_made_whatever_the_budget() -> None:
    assert _rounds(StoppingRule(budget_s=0.1), "")[0] == FEWEST_ROUNDS


def test_fixed_rounds_are_all_made_however_narrow_the_intervals() -> None:
    rule = StoppingRule(min_rounds=30, max_rounds=30, is_fixed=True, budget_s=1000)
    assert _rounds(rule, "it is")[0] == 30


@pytest.mark.parametrize(
    "settings", [{"precision": 0.0}, {"budget_s": 0.0}, {"min_rounds": 2}, {"min_rounds": 20, "max_rounds": 10}]
)
def test_rules_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        StoppingRule(**settings)  # type: ignore[arg-type]
    assert caught.value.code == "CFG15"
