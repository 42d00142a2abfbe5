"""``mnas search`` and its objectives on the command line: plans, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from mnas.cli.app import app

PLAN = ["search", "--plan", "--data", "digits", "--preset", "digits", "--format", "json"]


def run(*arguments):
    return CliRunner().invoke(app, [*PLAN, *arguments])


def test_objectives_devices_and_weights_reach_the_configuration():
    words = ["--objectives", "params,error,latency", "--device", "host:ort", "--device", "host:litert,threads=1"]
    found = run(*words, "--combine", "weighted", "--weights", "2,1", "--dtype", "int8", "--confidence", "0.9")
    assert found.exit_code == 0, found.output
    plan = json.loads(found.stdout)
    config = plan["config"]
    assert (config["device"], config["other_devices"]) == ("host:ort", ["host:litert,threads=1"])
    assert (config["algorithm"], config["weights"], config["dtype"]) == ("nsga3", [2.0, 1.0], "int8")
    assert (config["combine"], config["confidence"]) == ("weighted", 0.9)
    assert set(plan["luts"]) == {"host:ort", "host:litert,threads=1"}


def test_one_device_is_as_before():
    plan = json.loads(run("--device", "host:litert").stdout)
    assert (plan["config"]["device"], plan["config"]["other_devices"]) == ("host:litert", [])
    assert plan["config"]["objectives"] == "error,latency" and "luts" not in plan


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--objectives", "error,speed"], "CFG40"),
        (["--objectives", "latency,macs"], "CFG41"),
        (["--objectives", "error,latency@2"], "CFG42"),
        (["--device", "host:ort", "--device", "host:ort"], "CFG01"),
        (["--weights", "a,b"], "CFG01"),
    ],
)
def test_what_is_no_objective_is_refused(arguments, code):
    found = run(*arguments)
    assert found.exit_code != 0
    assert code in str(found.exception)
