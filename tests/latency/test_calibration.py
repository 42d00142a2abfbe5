"""Calibration and validation: what is known comes back, and figures worked by hand agree."""

import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.calibration import Calibration, calibrate, refit, resolution_of, sums_by_resolution
from latency.validation import MeasuredNetworks, Validation, errors_of, validate
from mnas.errors import LutError
from mnas.segments import segments_of
from mnas.spaces.presets import open_space

sums = st.lists(st.integers(10, 1000), min_size=4, max_size=20, unique=True).map(lambda xs: [x / 100 for x in xs])


def calibrated(sums, params, measured, **options):
    """Calibrate by sums that are of no resolution's blocks."""
    return calibrate([{"": x} for x in sums], params, measured, **options)


def params_of(sums):
    """Parameters that have nothing to do with the sums."""
    return [100_000 + 37_000 * (7 * i % 11) for i in range(len(sums))]


@given(sums, st.floats(0.1, 10))
def test_a_scale_comes_back_without_an_intercept(sums, scale):
    found = calibrated(sums, params_of(sums), [scale * x for x in sums])
    assert found.scale == pytest.approx(scale)
    assert found.apply(2.0, 250_000) == pytest.approx(2 * scale)
    assert found.networks == len(sums)
    assert found.cv_error == pytest.approx(0, abs=1e-9)


wide = st.lists(st.integers(300, 1000), min_size=12, max_size=24, unique=True).map(lambda xs: [x / 100 for x in xs])


@given(wide, st.floats(0.5, 2), st.floats(-0.4, 0.4), st.floats(-0.2, 0.2))
def test_intercept_and_price_come_back_as_far_as_a_dozen_networks_tell(sums, scale, intercept, price):
    params = params_of(sums)
    measured = [scale * x + price * n / 1e6 + intercept for x, n in zip(sums, params, strict=True)]
    found = calibrated(sums, params, measured)
    alone = np.array(sums) / measured
    plain = alone.sum() / (alone**2).sum()

    def error(said):
        return float(np.sqrt(np.mean((np.array(said) / measured - 1) ** 2)))

    own = error([found.apply(x, n) for x, n in zip(sums, params, strict=True)])
    assert found.kind == "held"
    assert own <= 0.5 * error([plain * x for x in sums]) + 1e-3


def test_what_nothing_speaks_for_stays_small():
    # Off by 1 % up and down in turn: nothing fits better than a scale.
    xs = [float(x) for x in range(1, 11)]
    found = calibrated(xs, params_of(xs), [x * (1.01 if i % 2 else 0.99) for i, x in enumerate(xs)])
    assert abs(found.intercept_ms) < 0.05 and abs(found.per_mparam_ms) < 0.2
    assert all(found.apply(x, n) == pytest.approx(x, rel=0.02) for x, n in zip(xs, params_of(xs), strict=True))
    assert 0.005 < found.cv_error < 0.02


def test_few_networks_give_a_scale_and_none_gives_the_sum_itself():
    assert calibrated([], [], []) == Calibration()
    assert Calibration().apply(1.25, 10**6) == 1.25
    one = calibrated([2.0], [100], [3.0])
    assert (one.kind, one.scale, one.networks, one.cv_error) == ("scale", pytest.approx(1.5), 1, 0.0)
    two = calibrated([1.0, 2.0], [1, 2], [1.5, 3.0])
    assert (two.kind, two.apply(4.0, 3)) == ("held", pytest.approx(6.0))


def test_the_relative_error_is_what_is_fitted():
    # Minimising sum((s * x / y - 1)^2) over s gives sum(x / y) / sum((x / y)^2).
    found = calibrated([1.0, 10.0], [0, 0], [0.5, 10.0], fastest=(0.1, 0))
    assert (found.kind, found.scale) == ("scale", pytest.approx(3 / 5))


@pytest.mark.parametrize("sums", [[-1.0, -2.0], [0.0, 0.0], [-3.0]])
def test_a_scale_that_is_not_positive_is_refused(sums):
    with pytest.raises(LutError, match=r"LUT06.*contradict") as caught:
        calibrated(sums, [1, 2][: len(sums)], [1.0, 2.0][: len(sums)])
    assert caught.value.exit_code == 6


def test_a_falling_line_is_never_fitted():
    found = calibrated([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 1], [40.0, 30.0, 20.0, 10.0])
    assert found.scale > 0


def test_a_line_that_leaves_nothing_to_the_fastest_network_is_not_fitted():
    sums = [4.0, 5.0, 6.0, 8.0] * 3
    measured = [x - 1.0 for x in sums]
    assert calibrated(sums, [0] * 12, measured).kind == "held"
    assert calibrated(sums, [0] * 12, measured, fastest=(3.0, 0)).kind == "held"
    assert calibrated(sums, [0] * 12, measured, fastest=(0.8, 0)).kind == "scale"


@given(st.integers(0, 100))
def test_a_table_is_drawn_anew_by_the_fit_that_it_has(seed):
    """On the very measurements, the numbers beside the factors come out as they were."""
    rng = np.random.default_rng(seed)
    sums, params = rng.uniform(3, 10, 12), rng.integers(10**5, 10**7, 12)
    measured = 1.1 * sums + 0.05 * params / 1e6 - 0.2 + rng.normal(0, 0.05, 12)
    found = calibrated(sums.tolist(), params.tolist(), measured.tolist())
    assert refit(found, sums, params.astype(float), measured) == pytest.approx(
        (found.scale, found.intercept_ms, found.per_mparam_ms), rel=0.15, abs=0.02
    )


def _by_resolution(count, rng):
    return [dict(zip(("", "56", "28", "14"), rng.uniform(1, 3, 4).tolist(), strict=True)) for _ in range(count)]


@given(st.integers(0, 1000), st.floats(0.5, 2), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
def test_factors_of_resolutions_come_back_as_far_as_the_networks_tell(seed, scale, first, second):
    rng = np.random.default_rng(seed)
    true = {"": 1.0, "56": 1 + first, "28": 1 + second, "14": 1.0}
    networks = _by_resolution(60, rng)
    measured = [scale * sum(true[px] * ms for px, ms in one.items()) for one in networks]
    plain = calibrated([sum(one.values()) for one in networks[:40]], params_of(networks[:40]), measured[:40])
    found = calibrate(networks[:40], params_of(networks[:40]), measured[:40])

    def error(calibration):
        said = [
            calibration.apply(sum(calibration.px_weights.get(px, 1.0) * ms for px, ms in one.items()), params)
            for one, params in zip(networks[40:], params_of(networks)[40:], strict=True)
        ]
        return float(np.sqrt(np.mean((np.array(said) / measured[40:] - 1) ** 2)))

    assert error(found) <= 0.5 * error(plain) + 1e-3


def test_factors_are_held_near_one_by_noise():
    rng = np.random.default_rng(1)
    networks = _by_resolution(12, rng)
    measured = [sum(one.values()) * noise for one, noise in zip(networks, rng.normal(1, 0.03, 12), strict=True)]
    found = calibrate(networks, params_of(networks), measured)
    assert all(abs(weight - 1) < 0.1 for weight in found.px_weights.values())


def test_blocks_are_told_apart_by_the_side_of_their_input():
    space = open_space("mobilenetv3", "digits")
    segments = segments_of(space.decode(space.draw(np.random.default_rng(0))))
    found = sums_by_resolution(segments, dict.fromkeys(segments, 1.0))
    assert sum(found.values()) == len(segments)
    assert found[""] == sum(one.role != "block" for one in segments)
    weights = {px: 2.0 for px in found if px}
    calibration = Calibration("scale", px_weights=weights)
    assert [calibration.weight(one) for one in segments] == [2.0 if resolution_of(one) else 1.0 for one in segments]
    assert "px x 2.000" in calibration.formula()


def test_a_calibration_survives_json_and_says_its_formula():
    found = Calibration("weights", 1.5, 0.25, 2.0, 9, 0.01, {"56": 0.9})
    assert Calibration(**json.loads(json.dumps(found.to_json()))) == found
    assert found.apply(2.0, 500_000) == pytest.approx(1.5 * 2 + 0.25 + 2.0 / 2)
    for part in ("1.5", "0.25", "2.0", "9 networks"):
        assert part in found.formula()


def test_errors_worked_by_hand():
    # Relative errors 0, +4 %, -8 %, +20 %. Predicted order 1 4 2 3 of measured 1 2 3 4: two of six pairs swapped.
    found = errors_of([1.0, 2.08, 1.84, 2.04], [1.0, 2.0, 2.0, 1.7])
    assert found.mape == pytest.approx(0.08)
    assert found.bias == pytest.approx(0.04)
    assert found.rmse_ms == pytest.approx(sqrt((0.08**2 + 0.16**2 + 0.34**2) / 4))
    assert (found.within_5, found.within_10) == (0.5, 0.75)
    swapped = errors_of([1.0, 4.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert swapped.kendall_tau == pytest.approx((4 - 2) / 6)
    assert swapped.spearman == pytest.approx(1 - 6 * (4 + 1 + 1) / (4 * 15))


@given(sums)
def test_order_is_all_that_rank_correlations_see(sums):
    ordered = sorted(sums)
    assert errors_of([x**2 for x in ordered], ordered).kendall_tau == pytest.approx(1)
    assert errors_of([-x for x in ordered], ordered).spearman == pytest.approx(-1)
    assert errors_of(sums, sums).mape == 0


def test_constant_predictions_and_measurements_have_no_order():
    for predicted, measured in (([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])):
        found = errors_of(predicted, measured)
        assert (found.kendall_tau, found.spearman) == (0.0, 0.0)


def test_baselines_are_fitted_on_the_calibration_networks_alone():
    fitted = MeasuredNetworks([1.0, 3.0], [1.0, 3.0], [100, 300], [2.0, 4.0])
    held_out = MeasuredNetworks([2.0, 5.0], [2.2, 4.5], [200, 500], [2.0, 5.0])
    found = validate(fitted, held_out)
    assert found.networks == 2
    assert found.constant.mape == pytest.approx((0.5 + 0.4) / 2)  # 3 ms for both
    assert found.macs_linear.mape == pytest.approx((0.5 + 0.2) / 2)  # MACs / 100 + 1: 3 and 6 ms
    assert found.plain_sum.mape == 0
    assert found.table.mape == pytest.approx((0.1 + 0.1) / 2)
    assert found.relative_sd == pytest.approx(0.1)
    assert found.constant.kendall_tau == 0
    assert Validation.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert (found.fitted, found.covered, found.relative_width) == (2, None, None)
    assert "was not looked at" in found.intervals_text()


def test_intervals_worked_by_hand_and_a_validation_from_before_them():
    fitted = MeasuredNetworks([1.0, 3.0], [1.0, 3.0], [100, 300], [2.0, 4.0])
    held_out = MeasuredNetworks([2.0, 5.0], [2.0, 4.0], [200, 500], [2.0, 5.0], [(1.8, 2.2), (3.0, 4.9)])
    found = validate(fitted, held_out)
    assert (found.covered, found.relative_width) == (0.5, pytest.approx((0.4 / 2 + 1.9 / 4) / 2))
    assert found.intervals_text() == "95 % intervals hold 50% of the 2 measurements; their mean width is 33.8%"
    assert Validation.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.judged_on(2) == "on 2 other networks"
    assert found.judged_on(4) == "on 2 other networks, before it was fitted on all 4"
    old = {
        name: value for name, value in found.to_json().items() if name not in ("fitted", "covered", "relative_width")
    }
    read = Validation.from_json(old)
    assert (read.table, read.covered, read.fitted) == (found.table, None, None)
    assert read.judged_on(4) == "on 2 other networks"
