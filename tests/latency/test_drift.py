"""Drift since a table was built: seen where networks change against the references, not where all is slower."""

import json
import math
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.references import write_references
from latency.builder import LutBuilder
from latency.coverage import covered_space
from latency.drift import REFUSED, NetworkDrift, judge, measure_drift
from latency.on_device import OnDevice
from latency.records import nominals_of
from latency.table import load_table
from mnas.errors import LutError


@pytest.fixture
def table(store, plan, additive_device):
    return LutBuilder(store, additive_device(noise=0.005), plan, lambda *_: None).build()


@pytest.fixture
def uneven_device(additive_device, tmp_path):
    """A device on which everything but the references takes longer by a factor."""
    references = {one.sha256 for one in write_references(tmp_path, "onnx").values()}

    def make(factor, **options):
        class Uneven(additive_device):
            def true_ms(self, artifact):
                return super().true_ms(artifact) * (1 if artifact.sha256 in references else factor)

        return Uneven(noise=0.005, seed=1, **options)

    return make


def drift_on(store, device, table, plan, **options):
    with OnDevice(device, store) as opened:
        return measure_drift(store, opened, table, plan.space, **options)


def test_the_same_device_has_not_drifted_though_all_of_it_is_slower(store, plan, table, uneven_device):
    drift = drift_on(store, uneven_device(1.0, speed=0.9), table, plan)
    assert (drift.verdict, drift.were_nominals_replaced) == ("ok", False)
    assert drift.off < 0.02 and len(drift.networks) == plan.settings.calibration
    stored = {row["arch_id"]: row for row in store.query("SELECT * FROM lut_network")}
    for one in drift.networks:
        assert stored[one.arch_id]["purpose"] == "calibration"
        assert one.stored_ms == stored[one.arch_id]["measured_ms"]
        assert one.ratio == pytest.approx(one.measured_ms / one.stored_ms)
    assert drift.references == {name: pytest.approx(1 / 0.9, rel=0.02) for name in nominals_of(store, table.lut_id)}
    assert json.loads(json.dumps(drift.to_json(), allow_nan=False))["schema"] == "mnas.drift/1"


@pytest.mark.parametrize(("factor", "verdict"), [(1.03, "ok"), (1.1, "drifted"), (0.8, "drifted")])
def test_networks_that_change_against_the_references_have_drifted(store, plan, table, uneven_device, factor, verdict):
    drift = drift_on(store, uneven_device(factor), table, plan)
    assert drift.verdict == verdict
    assert drift.off == pytest.approx(abs(factor - 1), abs=0.015)
    assert f"{verdict}; 5 of its networks are off by" in drift.text()
    assert drift_on(store, uneven_device(factor), table, plan, bound=0.5).verdict == "ok"


def test_nominals_that_were_replaced_since_are_told_and_show_as_drift(store, plan, table, uneven_device):
    store.execute("UPDATE reference_nominals SET nominal_ms = nominal_ms * 1.2")
    drift = drift_on(store, uneven_device(1.0), table, plan, networks=3)
    assert (drift.verdict, drift.were_nominals_replaced, len(drift.networks)) == ("drifted", True, 3)
    assert drift.off == pytest.approx(0.2, abs=0.02)
    assert all(ratio == pytest.approx(1, rel=0.02) for ratio in drift.references.values()), "the device is the same"
    assert "calibrated anew since" in drift.text()


def test_a_table_without_networks_or_of_an_unknown_space_cannot_be_judged(store, plan, table, uneven_device):
    with OnDevice(uneven_device(1.0), store) as device:
        unknown = measure_drift(store, device, table, None)
        store.execute("DELETE FROM lut_network")
        bare = measure_drift(store, device, table, plan.space)
    for drift, why in ((unknown, "is not known here"), (bare, "calibrated on no networks")):
        assert (drift.verdict, drift.off, drift.networks) == ("unknown", None, ())
        assert why in drift.text()


def test_another_device_is_refused(store, plan, table, additive_device):
    other = additive_device()
    other.info = replace(other.info, threads=2)
    with pytest.raises(LutError, match=r"LUT03.*threads"):
        drift_on(store, other, table, plan)


SESSION = {"reference_ms": {"a": 1.0}, "reference_nominals_ms": {"a": 1.0}, "verdict": "ok", "reasons": []}


def network(ratio, noise):
    return NetworkDrift("x", 1.0, ratio, ratio, noise)


def test_what_noise_explains_is_unclear_not_drifted():
    loud = tuple(network(1.08, 0.2) for _ in range(5))
    still = tuple(network(1.08, 0.01) for _ in range(5))
    assert judge("lut1", loud, SESSION, {"a": 1.0}, 0.05).verdict == "unclear"
    assert judge("lut1", still, SESSION, {"a": 1.0}, 0.05).verdict == "drifted"
    assert judge("lut1", still, SESSION, {"a": 1.0}, 0.10).verdict == "ok"
    # Most networks decide, not the one that is far off.
    mixed = (*[network(1.01, 0.01)] * 3, network(3.0, 0.01), network(0.3, 0.01))
    assert judge("lut1", mixed, SESSION, {"a": 1.0}, 0.05).verdict == "ok"


@given(st.lists(st.tuples(st.floats(0.2, 5), st.floats(0, 1)), min_size=1, max_size=7), st.floats(0, 0.5))
def test_beyond_a_bound_is_what_noise_cannot_bring_back_within_it(pairs, bound):
    pairs = pairs[: len(pairs) - 1 + len(pairs) % 2]  # an odd number has one median, of ratios as of their logarithms
    networks = tuple(network(ratio, noise) for ratio, noise in pairs)
    drift = judge("lut1", networks, SESSION, {"a": 1.0}, 0.05)
    least = median(max(one.ratio, 1 / one.ratio) / (1 + one.noise) for one in networks) - 1
    assert drift.at_least == pytest.approx(least, abs=1e-9)
    assert drift.is_beyond(bound) == (drift.at_least > bound)
    if drift.is_beyond(REFUSED):
        assert drift.verdict == "drifted", "what is refused is also told"
    assert not judge("lut1", (), SESSION, {"a": 1.0}, 0.05).is_beyond(0.0)


def test_a_session_in_doubt_and_networks_without_numbers_are_told():
    session = {**SESSION, "verdict": "throttled", "reasons": ["thermal status 3"]}
    drift = judge("lut1", (), session, {"a": 2.0}, 0.05)
    assert drift.verdict == "unknown" and drift.references == {"a": 0.5} and drift.were_nominals_replaced
    assert any("throttled: thermal status 3" in why for why in drift.reasons)
    assert not math.isnan(drift.references["a"])


def test_a_tables_space_is_found_at_its_resolutions(store, plan, table):
    loaded = load_table(store, table.lut_id)
    assert set(covered_space(loaded).segments()) == set(plan.space.segments())
    loaded.space = "elsewhere/unheard of"
    assert covered_space(loaded) is None
