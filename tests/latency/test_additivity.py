"""The verdict on sums: on made-up devices that add up, and on ones that do not."""

import importlib
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latency.additivity import additivity_of, judge_additivity, stored_additivity
from latency.builder import LutBuilder
from latency.saving import networks_of
from mnas.errors import LutError
from mnas.objectives import read_objectives

RNG = np.random.default_rng(0)
SUMS = RNG.uniform(5, 20, 30)
NOISE = RNG.standard_normal(30)


@given(st.floats(0.1, 10))
def test_sums_that_scale_are_additive(scale):
    found = judge_additivity(SUMS, scale * SUMS * np.exp(0.01 * NOISE))
    assert (found.verdict, found.use) == ("additive", "latency table")
    assert found.sum_error < 0.02 < 0.3 < found.constant_error
    assert found.sum_share == pytest.approx(1 / scale, rel=0.02)
    assert found.kendall_tau > 0.9
    assert "additive here" in found.sentence() and "not additive" not in found.sentence()


def test_sums_that_say_little_are_not():
    measured = SUMS * np.exp(0.3 * NOISE)
    found = judge_additivity(SUMS, measured)
    assert (found.verdict, found.use) == ("not additive", "measured networks")
    told = judge_additivity(SUMS, measured, alternatives={"operator model": 0.03, "residual": 0.2})
    assert (told.verdict, told.use) == ("not additive", "operator model")
    assert "not additive here, use operator model" in told.sentence()
    assert "latency.predictor.OperatorModel.fit" in told.sentence()
    assert "OperatorModel" in found.sentence(), "nothing else was tried yet"
    assert "3.0%" in told.sentence() and f"{found.sum_error:.1%}" in told.sentence()
    assert judge_additivity(SUMS, measured, alternatives={"operator model": 0.25}).use == "measured networks"


def test_what_is_advised_is_there():
    advice = judge_additivity(SUMS, SUMS * np.exp(0.3 * NOISE)).advice()
    (objectives,) = re.findall(r"mnas search --objectives (\S+)", advice)
    assert [(one.name, one.source) for one in read_objectives(objectives, 1)][1:] == [("latency", "measured")]
    (module, name, method) = re.findall(r"(latency\.\w+)\.(\w+)\.(\w+)", advice)[0]
    assert callable(getattr(getattr(importlib.import_module(module), name), method))


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=12))
def test_ranks_agree_with_scipys(pairs):
    sums, measured = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    expected = stats.kendalltau(sums, measured).statistic if np.ptp(sums) and np.ptp(measured) else 0.0
    assert judge_additivity(sums, measured).kendall_tau == pytest.approx(expected)


@given(st.floats(0.06, 0.4), st.floats(0, 1))
def test_noise_of_the_measurements_is_no_proof_that_sums_fail(spread, share):
    measured = SUMS * np.exp(spread * NOISE)
    found = judge_additivity(SUMS, measured, noise=share * spread)
    left = max(0.0, found.sum_error**2 - (share * spread) ** 2)
    allowed = min(0.05, found.constant_error / 2)
    assert found.verdict == ("additive" if found.sum_error <= allowed else
                             "unknown" if left <= allowed**2 else "not additive")  # fmt: skip
    if found.verdict == "unknown":
        assert "quieter device" in found.sentence()


def test_networks_that_are_all_alike_prove_nothing():
    # Off by 3 % is little, but saying the same of all networks is off by no more.
    found = judge_additivity(10 + 0.01 * SUMS, 10 * np.exp(0.03 * NOISE))
    assert found.sum_error < 0.05
    assert found.verdict == "not additive"


def test_something_clearly_better_is_named_even_where_sums_are_good():
    measured = SUMS * np.exp(0.03 * NOISE)
    assert judge_additivity(SUMS, measured, alternatives={"other": 0.01}).use == "other"
    assert judge_additivity(SUMS, measured, alternatives={"other": 0.029}).use == "latency table"
    assert judge_additivity(SUMS, measured, alternatives={"other": 0.01}).verdict == "additive"


def test_a_calibrations_own_error_is_taken_at_its_word():
    measured = SUMS + 5
    assert judge_additivity(SUMS, measured).verdict == "not additive"
    found = judge_additivity(SUMS, measured, sum_error=0.001)
    assert (found.verdict, found.sum_error) == ("additive", 0.001)


def test_the_left_out_error_worked_by_hand():
    # Of 1, 2 and 4 ms with sums all 1, each is told by the two others: s = (r + r') / (r^2 + r'^2), r = 1 / ms.
    found = judge_additivity([1, 1, 1], [1, 2, 4])
    errors = [0.75 / (0.25 + 0.0625) - 1, 0.5 * 1.25 / (1 + 0.0625) - 1, 0.25 * 1.5 / (1 + 0.25) - 1]
    assert found.sum_error == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert found.sum_error == pytest.approx(found.constant_error)


def test_with_few_networks_nothing_is_said():
    found = judge_additivity(SUMS[:5], SUMS[:5])
    assert found.verdict == "unknown"
    assert "not known" in found.sentence()
    assert judge_additivity(SUMS[:6], SUMS[:6]).verdict == "additive"
    with pytest.raises(LutError, match="LUT41"):
        judge_additivity([1.0], [1.0])


def test_the_verdict_is_json():
    value = judge_additivity(SUMS, SUMS).to_json()
    assert value["verdict"] == "additive" and value["networks"] == 30


def with_error(table, cv_error):
    table.calibration = replace(table.calibration, cv_error=cv_error)
    return table


def test_a_table_of_an_additive_device_is_judged_so_and_one_of_constant_networks_not(store, plan, additive_device):
    table = LutBuilder(store, additive_device(), plan, lambda *_: None).build()
    networks = networks_of(store, table.lut_id)
    found = additivity_of(table, networks, plan.space)
    assert found.verdict == "additive" and found.networks == len(networks) == 11
    # Where whole networks take what their operators do not say, nothing helps but measuring.
    rng = np.random.default_rng(0)
    strange = [replace(one, measured_ms=float(rng.uniform(1, 10))) for one in networks]
    table.calibration = replace(table.calibration, cv_error=0.5)
    judged = additivity_of(table, strange, plan.space)
    assert judged.verdict == "not additive" and set(judged.alternatives) == {"operator model"}
    assert additivity_of(table, strange, None).alternatives == {}
    assert stored_additivity(store, with_error(table, 0.001)).verdict == "additive"
    store.execute("UPDATE lut_network SET low_ms = 0.999 * measured_ms, high_ms = 1.001 * measured_ms")
    quick, whole = (stored_additivity(store, with_error(table, 0.5), is_quick=is_quick) for is_quick in (True, False))
    assert quick.verdict == whole.verdict == "not additive"
    assert quick.alternatives == {} and set(whole.alternatives) == {"operator model"}
    assert additivity_of(table, networks[:1], plan.space) is None
