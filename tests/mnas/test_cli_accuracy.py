"""``mnas accuracy audit``: its plan, its table, and what is refused."""

import json

import pytest
from picture_folders import make_folder

from mnas.cli import main
from mnas.config import make_config
from search.accuracy.proxy_schedule import schedule_of
from search.data.registry import open_dataset

ARGUMENTS = ["accuracy", "audit", "--data", "digits", "--training", "small", "--quiet"]


def told(capsys, *arguments):
    status = main([*ARGUMENTS, *arguments])
    return status, capsys.readouterr()


def test_a_plan_starts_nothing(tmp_path, capsys):
    status, said = told(
        capsys, "--plan", "--networks", "30", "--seeds", "3", "--format", "json", "--out", str(tmp_path)
    )
    plan = json.loads(said.out)["audit"]
    assert status == 0 and not list(tmp_path.iterdir())
    assert plan["trainings of the truth"] == 90 and plan["estimates"] == 30 * 7 and "proxy" in plan["estimators"]


def test_the_proxy_that_is_judged_is_the_one_that_a_search_with_the_same_flags_takes(tmp_path, capsys):
    flags = [
        "--proxy-preset",
        "mnasnet5",
        "--proxy-fraction",
        "0.5",
        "--proxy-resolution",
        "12",
        "--proxy-width",
        "0.5",
    ]
    keys = {"proxy_preset": "mnasnet5", "proxy_fraction": 0.5, "proxy_resolution": 12, "proxy_width": 0.5}
    _, said = told(capsys, "--plan", *flags, "--format", "json", "--out", str(tmp_path))
    config = make_config({"data": "digits", "training": "small", **keys})
    wanted = schedule_of(config, "proxy", open_dataset("digits").size("train")).fidelity
    assert json.loads(said.out)["audit"]["schedule of the proxy"] == wanted
    _, said = told(capsys, "--plan", "--proxy-epochs", "2", "--format", "json", "--out", str(tmp_path))
    assert "x2-" in json.loads(said.out)["audit"]["schedule of the proxy"]


def test_a_plan_of_a_folder_decodes_nothing_and_an_estimator_that_is_none_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pets = make_folder(tmp_path / "pets", count=100)
    plan = ["accuracy", "audit", "--data", str(pets), "--plan", "--format", "json"]
    assert main(plan) == 0
    assert json.loads(capsys.readouterr().out)["audit"]["space"] == "mobilenetv3/digits-3x3"
    assert not (tmp_path / "cache").exists()
    assert main([*plan, "--estimator", "magic"]) == 2 and "CFG52" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--estimator", "magic"], "CFG52"),
        (["--estimator", "zero-cost:magic"], "CFG53"),
        (["--accuracy-cmd", "python train.py"], "CFG51"),
        (["--training", "endless"], "CFG01"),
        (["--population", "3"], "--population"),
        (["--proxy-fraction", "2"], "CFG01"),
        (["--preset", "fashion-wide", "--space", "no-such-space"], ""),
    ],
)
def test_what_cannot_be_audited_is_refused_before_anything_is_trained(tmp_path, capsys, arguments, code):
    status, said = told(capsys, *arguments, "--out", str(tmp_path))
    assert status == 2 and code in said.err


@pytest.mark.slow
def test_an_audit_stops_by_the_clock_goes_on_and_is_told(tmp_path, capsys):
    small = ["--networks", "6", "--estimator", "zero-cost:params", "--out", str(tmp_path), "--workers", "2"]
    status, said = told(capsys, *small, "--minutes", "0.0001")
    assert status == 5 and said.out == ""
    status, said = told(capsys, *small, "--format", "json")
    verdict = json.loads(said.out)["audit"]
    assert status == 0 and verdict["networks"] == 6 and verdict["seeds"] == 2
    names = [one["name"] for one in verdict["estimators"]]
    assert names == ["macs", "params", "zero-cost:params"]
    figures = {one["name"]: one["tau"] for one in verdict["estimators"]}
    assert figures["params"] == figures["zero-cost:params"]
    status, said = told(capsys, *small)
    assert status == 0 and "seed noise" in said.out and "zero-cost:params" in said.out
