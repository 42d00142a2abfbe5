from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.estimate import Estimate
from devices.gate import Gates, exit_code, judge_latency, judge_regression
from devices.run import GateResult, Outcome
from mnas.errors import ConfigError

_POSITIVE = st.floats(0.01, 100)


@given(_POSITIVE, _POSITIVE, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_latency_fails_only_beyond_its_interval_and_passes_only_within(
    value: float, limit: float, below: float, above: float
) -> None:
    low, high = value * (1 - below), value * (1 + above)
    found = judge_latency(Gates(max_latency_ms=limit), "net", Estimate(value, (low, high), 0.0))
    assert (found.outcome == "fail") == (low > limit)
    assert (found.outcome == "pass") == (high <= limit)
    assert (found.low, found.high, found.value, found.limit) == (low, high, value, limit)


def test_a_latency_that_is_not_relied_on_decides_nothing() -> None:
    gates = Gates(max_latency_ms=2.0)
    sure = Estimate(1.0, (0.9, 1.1), 0.0)
    assert judge_latency(gates, "net", sure).outcome == "pass"
    assert judge_latency(gates, "net", sure, "the session is drifted").outcome == "pass"  # far enough
    near = judge_latency(Gates(max_latency_ms=1.3), "net", sure, "the session is drifted")
    assert near.outcome == "inconclusive" and "drifted" in near.reason
    assert judge_latency(Gates(max_latency_ms=1.3), "net", sure).outcome == "pass"
    assert judge_latency(Gates(max_latency_ms=0.7), "net", sure, "it drifted").outcome == "inconclusive"
    assert judge_latency(Gates(max_latency_ms=0.5), "net", sure, "it drifted").outcome == "fail"
    assert judge_latency(gates, "net", None).outcome == "inconclusive"
    assert judge_latency(gates, "net", Estimate(1.0, None, math.nan)).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("ratio", "interval", "min_delta_ms", "outcome"),
    [
        (1.08, (1.06, 1.10), 0.0, "fail"),
        (1.08, (1.04, 1.12), 0.0, "inconclusive"),
        (1.01, (0.99, 1.03), 0.0, "pass"),
        (0.70, (0.60, 0.80), 0.0, "pass"),
        (1.08, (1.06, 1.10), 1.5, "pass"),  # 10 ms more is 15 %
        (1.20, (1.16, 1.24), 1.5, "fail"),
        (1.20, (1.14, 1.24), 1.5, "inconclusive"),
        (1.08, (1.06, 1.10), 0.1, "fail"),  # the larger of both limits counts
    ],
)
def test_a_regression_is_judged_by_share_and_by_milliseconds(
    ratio: float, interval: tuple[float, float], min_delta_ms: float, outcome: Outcome
) -> None:
    gates = Gates(max_regression=0.05, min_delta_ms=min_delta_ms)
    found = judge_regression(gates, "new", "old", Estimate(ratio, interval, 0.0), 10.0)
    assert found.outcome == outcome
    assert found.value == pytest.approx(ratio - 1)


def test_a_regression_against_nothing_decides_nothing() -> None:
    assert judge_regression(Gates(max_regression=0.05), "new", "old", None, None).outcome == "inconclusive"


def _result(outcome: Outcome) -> GateResult:
    return GateResult("max-latency-ms", 1.0, "net", 1.0, 1.0, 1.0, outcome, "")


@pytest.mark.parametrize(
    ("outcomes", "problems", "code"),
    [
        ((), (), 0),
        (("pass",), (), 0),
        (("pass", "inconclusive"), (), 5),
        (("inconclusive", "fail"), (), 3),
        (("fail",), (2,), 3),
        (("inconclusive",), (4, 2), 4),
        ((), (2, 4), 2),
    ],
)
def test_exit_status_puts_a_failed_gate_first(
    outcomes: tuple[Outcome, ...], problems: tuple[int, ...], code: int
) -> None:
    assert exit_code([_result(one) for one in outcomes], problems) == code


@pytest.mark.parametrize(
    "settings",
    [
        {"max_latency_ms": 0.0},
        {"max_latency_ms": -1.0},
        {"max_latency_ms": math.inf},
        {"max_latency_ms": math.nan},
        {"max_regression": -0.1},
        {"min_delta_ms": 1.0},
        {"raw_percentile": 90},
    ],
)
def test_limits_that_are_none_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        Gates(**settings)  # type: ignore[arg-type]
    assert caught.value.code == "CFG14"
