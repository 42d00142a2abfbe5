"""``mnas search`` and its objectives on the command line: plans, and what is refused."""

import json

import pytest

from mnas.cli import main

PLAN = ["search", "--plan", "--data", "digits", "--preset", "digits", "--format", "json"]


@pytest.fixture
def run(capsys):
    """Run a plan; return its exit status, stdout and stderr."""

    def run(*arguments):
        status = main([*PLAN, *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_objectives_devices_and_weights_reach_the_configuration(run):
    words = ["--objectives", "params,error,latency", "--device", "host:ort", "--device", "host:litert,threads=1"]
    more = ["--combine", "weighted", "--weights", "2,1", "--dtype", "int8", "--confidence", "0.9"]
    status, out, err = run(*words, *more)
    assert status == 0, err
    plan = json.loads(out)
    config = plan["config"]
    assert (config["device"], config["other_devices"]) == ("host:ort", ["host:litert,threads=1"])
    assert (config["algorithm"], config["weights"], config["dtype"]) == ("nsga3", [2.0, 1.0], "int8")
    assert (config["combine"], config["confidence"]) == ("weighted", 0.9)
    assert set(plan["luts"]) == {"host:ort", "host:litert,threads=1"}


def test_one_device_is_as_before(run):
    plan = json.loads(run("--device", "host:litert")[1])
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
def test_what_is_no_objective_is_refused(run, arguments, code):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert code in err
