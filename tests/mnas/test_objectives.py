"""Objectives in words: what is understood, in which order, and what is refused by which code."""

import json

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from mnas.config import make_config, merge_for_resume
from mnas.errors import ConfigError
from mnas.objectives import UNITS, Objective, is_reward, read_objectives

COUNTED = ("macs", "params", "size", "peak_memory")


def test_error_and_latency_are_what_they_always_were():
    assert read_objectives("error,latency") == (Objective("error"), Objective("latency", source="lut"))
    assert make_config({}).sought == read_objectives("error,latency")
    assert is_reward(make_config({}).sought)


@given(st.sets(st.sampled_from(COUNTED)), st.sets(st.integers(0, 3)), st.randoms(use_true_random=False))
def test_the_order_of_the_words_does_not_matter(counted, devices, random):
    latencies = [f"latency@{number}" if number else "latency" for number in devices]
    words = ["error", *sorted(counted), *latencies]
    if len(words) < 2:
        return
    found = read_objectives(",".join(random.sample(words, len(words))), devices=3)
    assert sorted(one.key for one in found) == sorted(words)
    assert found[0].name == "error"
    assert [one.device for one in found if one.name == "latency"] == [*sorted(devices - {0}), *sorted(devices & {0})]
    assert not any(one.name == "latency" for one in found[: len(found) - len(devices)])


@given(st.sampled_from(COUNTED), st.booleans(), st.floats(-1e9, 1e9))
def test_what_is_maximised_is_negated_and_says_so(name, is_maximised, value):
    text = f"latency,error,{name}{':max' if is_maximised else ':min'}"
    (found,) = [one for one in read_objectives(text) if one.name == name]
    assert found.minimised(value) == (-value if is_maximised else value)
    assert found.key == (f"{name}:max" if is_maximised else name)


def test_a_latency_has_a_device_and_a_source():
    error, second, both = read_objectives("latency=measured,latency@2,error", 2)
    assert error == Objective("error")
    assert (second.key, second.device, second.source) == ("latency@2", 2, "lut")
    assert (both.key, both.device, both.source) == ("latency", 0, "measured")
    assert read_objectives("error,latency@1") == read_objectives("error,latency"), "of one device there is one latency"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "CFG40"),
        ("error,", "CFG40"),
        ("error,speed", "CFG40"),
        ("error,latency:fast", "CFG40"),
        ("error;latency", "CFG40"),
        ("error,latency@", "CFG40"),
        ("error,latency=guess", "CFG40"),
        ("error,macs@1", "CFG40"),
        ("error,macs=lut", "CFG40"),
        ("error:max,latency", "CFG40"),
        ("error,latency:max", "CFG40"),
        ("latency,macs", "CFG41"),
        ("error", "CFG41"),
        ("error,latency,error", "CFG41"),
        ("error,params,params:max", "CFG41"),
        ("error,latency=measured,latency", "CFG41"),
        ("error,latency,latency@1", "CFG41"),
        ("error,latency@0", "CFG42"),
        ("error,latency@2", "CFG42"),
    ],
)
def test_what_is_no_objective_is_refused_by_name(text, code):
    with pytest.raises(ConfigError, match=code) as caught:
        make_config({"objectives": text})
    assert caught.value.exit_code == 2 and "write them like" in str(caught.value)


@fuzzed
@given(st.text(max_size=30))
def test_any_text_is_understood_or_refused(text):
    try:
        found = read_objectives(text, 2)
    except ConfigError as error:
        assert error.code in ("CFG40", "CFG41", "CFG42")
    else:
        assert {one.name for one in found} <= set(UNITS) and len(found) >= 2


def test_three_objectives_take_nsga3_unless_another_algorithm_is_named():
    many = {"objectives": "error,latency,params"}
    assert make_config(many).algorithm == "nsga3"
    assert make_config({**many, "algorithm": "random"}).algorithm == "random"
    assert make_config({}).algorithm == "nsga2"


def test_a_stored_configuration_from_before_means_what_it_meant():
    new = "objectives other_devices combine weights dtype confidence".split()
    old = {key: value for key, value in make_config({}).model_dump().items() if key not in new}
    assert make_config(json.loads(json.dumps(old))) == make_config({})
    assert merge_for_resume(make_config(old), {"objectives": "error,latency"}) == make_config({})
    with pytest.raises(ConfigError, match=r"CFG03.*objectives"):
        merge_for_resume(make_config(old), {"objectives": "error,latency,macs"})


def test_devices_weights_and_tables_go_round():
    keys = {"device": "host:ort", "other_devices": ["host:litert,threads=1"], "combine": "weighted", "weights": "2, 1"}
    config = make_config({**keys, "objectives": "error,latency@2", "lut": "lut1,", "confidence": 0.9, "dtype": "int8"})
    assert config.devices == ("host:ort", "host:litert,threads=1")
    assert (config.weights, config.tables) == ((2.0, 1.0), ("lut1", ""))
    assert make_config(json.loads(json.dumps(config.model_dump()))) == config


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"other_devices": ["host:ort"]}, "twice"),
        ({"weights": "2,x"}, "weights"),
        ({"combine": "best"}, "combine"),
        ({"dtype": "int4"}, "dtype"),
        ({"confidence": 1.0}, "confidence"),
        ({"lut": "a,b"}, "2 tables"),
    ],
)
def test_wrong_values_of_the_new_keys_are_named(keys, said):
    with pytest.raises(ConfigError, match="CFG01") as caught:
        make_config(keys)
    assert said in str(caught.value)
