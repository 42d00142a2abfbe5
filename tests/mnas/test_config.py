"""The study's configuration: keys, ranges, files, flags, and what may change on resuming."""

import json
import re
import tomllib

import pytest
import typer
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from network_cases import tampered

from mnas.cli.app import app
from mnas.config import MAY_CHANGE_ON_RESUME, StudyConfig, make_config, merge_for_resume, read_config_file
from mnas.errors import ConfigError

RESOLVED = make_config({"data": "digits", "preset": "digits"})
OTHER = {
    "space": "other",
    "preset": "fashion",
    "data": "fashion",
    "data_dir": "/somewhere",
    "device": "host:litert",
    "seed": 7,
    "algorithm": "random",
    "budget": 99,
    "patience": 3,
    "population": 12,
    "oversample": 5,
    "target_ms": 1.5,
    "alpha": -0.2,
    "beta": 0.0,
    "training": "small",
    "finalists": 3,
    "finalist_seeds": 1,
    "lut": "lut1",
    "allow_foreign_lut": True,
    "missing": "interpolate",
    "lut_mode": "fast",
    "warm_start": ("study1", "mobilenetv3-small"),
    "lut_rounds": 9,
    "lut_calibration": 5,
    "lut_validation": 6,
    "objectives": "error,macs",
    "other_devices": ("host:torch",),
    "combine": "weighted",
    "weights": (2.0, 1.0),
    "dtype": "int8",
    "confidence": 0.9,
    "accuracy": "halving",
    "accuracy_timeout": 60.0,
    "proxy_preset": "mnasnet5",
    "proxy_epochs": 3,
    "proxy_fraction": 0.5,
    "proxy_resolution": 20,
    "proxy_width": 0.5,
}
"""Another value of every key than the usual one."""


def test_every_key_is_covered_here():
    assert set(OTHER) | {"schema_version", "accuracy_cmd"} == set(StudyConfig.model_fields)
    assert all(getattr(RESOLVED, key) != value for key, value in OTHER.items())


def test_a_command_means_the_estimator_command_and_belongs_to_no_other():
    command = "python train.py {architecture}"
    assert make_config({"accuracy_cmd": command}).accuracy == "command"
    for asked in ({"accuracy_cmd": command, "accuracy": "halving"}, {"accuracy": "command"}):
        with pytest.raises(ConfigError, match=r"CFG01.*accuracy_cmd"):
            make_config(asked)


def test_every_key_has_a_flag_of_its_name_and_every_flag_is_a_key():
    command = typer.main.get_command(app).commands["search"]
    flags = {option.lstrip("-").replace("-", "_") for one in command.params for option in one.opts}
    assert set(OTHER) - {"other_devices"} <= flags, "--device is repeated for the others"
    rest = {"adb", "config", "resume", "workers", "plan", "out", "format", "o", "output", "q", "quiet", "help"}
    rest |= {"ray", "job_cpus", "job_gpus", "accuracy_cmd", "tensorboard"}
    assert flags - set(OTHER) <= rest
    assert all(one.default is None for one in command.params if one.name in OTHER), "a flag not given must not override"


@given(st.sets(st.sampled_from(sorted(OTHER))))
def test_a_configuration_survives_its_stored_form(keys):
    config = make_config({key: OTHER[key] for key in keys})
    assert make_config(config.model_dump()) == config
    assert {key for key in OTHER if getattr(config, key) == OTHER[key]} == keys


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("schema_version", [1], [0, 2]),
        ("seed", [0, 2**63 - 1], [-1, 2**63, 1.5, "x"]),
        ("algorithm", ["nsga2", "random"], ["", 3]),
        ("budget", [1, 1_000_000, "30m", "9,1h,5m-device"], [0, -1, 1_000_001, "5min", "9,9", 1.5]),
        ("patience", [0], [-1]),
        ("population", [4, 1000], [3, 1001]),
        ("oversample", [1, 1000], [0, 1001]),
        ("target_ms", [1e-9, None], [0, -1.0, "fast", float("nan"), float("inf")]),
        ("alpha", [0, -1.0], [0.1, float("-inf")]),
        ("beta", [0, -1.0], [0.1, float("nan")]),
        ("training", ["normal", "small"], ["tiny"]),
        ("finalists", [1, 100], [0, 101]),
        ("finalist_seeds", [1, 20], [0, 21]),
        ("lut_mode", ["accurate", "fast"], ["exact"]),
        ("lut_rounds", [3, 1000], [2, 1001]),
        ("lut_calibration", [1, 1000], [0, 1001]),
        ("lut_validation", [2, 1000], [1, 1001]),
        ("data", ["fashion"], ["imagenet", 3]),
    ],
)
def test_ranges(key, good, bad):
    for value in good:
        assert getattr(make_config({key: value}), key) == value
    for value in bad:
        with pytest.raises(ConfigError, match=f"CFG01.*{key}") as caught:
            make_config({key: value})
        assert caught.value.exit_code == 2


def test_unknown_keys_are_named_all_at_once():
    with pytest.raises(ConfigError, match=r"CFG01.*bugdet.*saw 3.*seeed"):
        make_config({"bugdet": 3, "seeed": 4, "budget": 5})


def test_a_file_gives_its_keys(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('data = "digits"\nbudget = 5\ntarget_ms = 0.5\n')
    assert make_config(read_config_file(path)) == make_config({"data": "digits", "budget": 5, "target_ms": 0.5})


@pytest.mark.parametrize("content", [b"data = \n", b"\xff\xfe", b"a = 1\na = 2\n", b"[section"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, content):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises((tomllib.TOMLDecodeError, UnicodeDecodeError)):
        tomllib.loads(content.decode())
    for place in (path, tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(ConfigError, match=r"CFG02.*cannot be read") as caught:
            read_config_file(place)
        assert str(place) in str(caught.value)


WHOLE = "".join(f"{key} = {json.dumps(value)}\n" for key, value in OTHER.items())
PIECE = re.compile(r"[\w.]+|\[+|\]+|[=,]|\"[^\"]*\"|\n")


def is_read_or_told(path, text):
    path.write_text(text, encoding="utf-8")
    try:
        config = make_config(read_config_file(path))
    except ConfigError as error:
        assert error.code in ("CFG01", "CFG02", "CFG40", "CFG41", "CFG42") and len(str(error)) < 2000
        assert str(path) in str(error) or error.code != "CFG02"
        return False
    assert make_config(config.model_dump()) == config
    assert config.limits.most_evaluations >= 1 and len(config.sought) >= 2
    return True


@fuzzed
@given(tampered(st.just(WHOLE), PIECE))
def test_a_study_file_that_was_tampered_with_is_read_or_told(tmp_path_factory, text):
    is_read_or_told(tmp_path_factory.getbasetemp() / "study.toml", text)


@fuzzed
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_of_a_study_file_is_read_or_told(tmp_path_factory, text):
    is_read_or_told(tmp_path_factory.getbasetemp() / "study.toml", text)


HUGE = "0x" + "f" * 5000
BAD = (HUGE, f"[{HUGE}]", "1" * 5000, "[" * 3000, "nan", "1e400", "2020-01-01", "[[1]]", "{}")
ODD = (*BAD, '"\\u0000"', '"~nobody/x"')


@pytest.mark.parametrize("key", [*OTHER, "accuracy_cmd", "schema_version", "self", "a.b", ".".join("a" * 90)])
def test_no_value_of_a_study_file_is_an_error_of_python(tmp_path, key):
    found = [is_read_or_told(tmp_path / "study.toml", f"{key} = {value}\n") for value in ODD]
    assert not all(found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("seed = " + "1" * 5000, "digits"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (".".join("a" * 500) + " = 1", "line 1 is nested too deeply"),
        ("#" * 300_000, "larger than 262,144 bytes"),
    ],
)
def test_a_study_file_that_cannot_be_held_is_refused(tmp_path, text, why):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(ConfigError, match=rf"CFG02.*study\.toml.*{why}"):
        read_config_file(tmp_path / "study.toml")


@pytest.mark.parametrize("key", OTHER)
def test_on_resume_only_budget_and_patience_may_change(key):
    same = {key: getattr(RESOLVED, key)}
    assert merge_for_resume(RESOLVED, same) == RESOLVED
    if key in MAY_CHANGE_ON_RESUME:
        assert merge_for_resume(RESOLVED, {key: OTHER[key]}) == RESOLVED.model_copy(update={key: OTHER[key]})
        return
    with pytest.raises(ConfigError, match=f"CFG03.*{key}: study ") as caught:
        merge_for_resume(RESOLVED, {key: OTHER[key], "budget": 99})
    assert repr(OTHER[key]) in str(caught.value)


def test_on_resume_the_same_command_may_say_auto_again():
    assert merge_for_resume(RESOLVED, {"data": "auto", "preset": "auto", "budget": 30}).data == "digits"
    assert merge_for_resume(RESOLVED, {"preset": "auto"}) == RESOLVED


def test_on_resume_keys_are_checked_like_all_others():
    for asked in ({"bugdet": 3}, {"budget": 0}, {"seed": -1}):
        with pytest.raises(ConfigError, match="CFG01"):
            merge_for_resume(RESOLVED, asked)
