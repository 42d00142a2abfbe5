"""Corrections of a table: found where there is something to find, none where there is not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.operator_features import FEATURE_NAMES
from latency.residual import ResidualCorrection, fit_correction
from mnas.errors import LutError


def made_up(seed, count=30, noise=0.0, slope=0.4):
    """Parts of networks, what a table says, and what is measured: more where the second part has a great share."""
    rng = np.random.default_rng(seed)
    parts = np.zeros((count, len(FEATURE_NAMES)))
    parts[:, :4] = rng.uniform(0.5, 3, (count, 4))
    share = parts[:, 1] / parts.sum(axis=1)
    off = slope * (share - share.mean()) + noise * rng.standard_normal(count)
    return parts, parts.sum(axis=1), parts.sum(axis=1) * np.exp(off)


@given(st.integers(0, 10**6))
def test_what_the_shares_tell_is_taken_off(seed):
    parts, predicted, measured = made_up(seed, noise=0.001)
    found = fit_correction(predicted[:24], measured[:24], parts[:24])
    assert found.pays
    assert found.cv_error < 0.5 * found.plain_cv_error
    before, after = (
        np.abs(np.log(measured[24:] / one)) for one in (predicted[24:], found.apply(predicted, parts)[24:])
    )
    assert after.mean() < 0.5 * before.mean()


def test_noise_is_mostly_left_alone():
    used = [fit_correction(p, m, s).pays for s, p, m in (made_up(seed, noise=0.03, slope=0.0) for seed in range(40))]
    assert np.mean(used) <= 0.1


def test_with_fewer_than_eight_networks_there_is_none():
    parts, predicted, measured = made_up(0, count=7)
    found = fit_correction(predicted, measured, parts)
    assert not found.pays
    np.testing.assert_array_equal(found.apply(predicted, parts), predicted)
    assert fit_correction(*(2 * list(one) for one in (predicted, measured)), np.vstack([parts, parts])).pays


def test_the_left_out_error_is_that_of_fitting_without_each():
    parts, predicted, measured = made_up(1, count=12, noise=0.02)
    found = fit_correction(predicted, measured, parts)
    shares = parts / parts.sum(axis=1, keepdims=True)
    centred, off = shares - shares.mean(axis=0), np.log(measured / predicted)

    def error(ridge):
        left = []
        for i in range(12):
            kept = np.arange(12) != i
            inner = centred[kept] @ centred[kept].T + ridge * np.eye(11)
            left.append(off[i] - centred[i] @ centred[kept].T @ np.linalg.solve(inner, off[kept]))
        return np.sqrt(np.mean(np.square(left)))

    assert found.cv_error == pytest.approx(min(error(10.0**power) for power in range(-5, 2)))


def test_a_correction_survives_json():
    parts, predicted, measured = made_up(2)
    found = fit_correction(predicted, measured, parts)
    value = json.loads(json.dumps(found.to_json()))
    assert ResidualCorrection.from_json(value) == found
    for change in ({"schema": "other"}, {"means": {}}, {"weights": value["weights"] | {"operators": "x"}}):
        with pytest.raises(LutError, match="LUT42"):
            ResidualCorrection.from_json(value | change)


def test_lengths_that_differ_are_refused():
    parts, predicted, measured = made_up(3)
    with pytest.raises(LutError, match="LUT41"):
        fit_correction(predicted[1:], measured, parts)
