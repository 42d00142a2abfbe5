"""The user's own trainer: what it may answer, and what becomes of one that fails, hangs or talks nonsense."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.testing import made_up_table
from mnas.errors import ConfigError, StudyError, TrainingError
from mnas.jsonio import canonical_json
from mnas.spaces.presets import open_space
from search.accuracy.command import CommandEstimator, CommandJob, read_answer, run_command
from search.accuracy.estimator import estimate_one
from search.accuracy.testing import AccuracyEstimatorContract
from search.candidate import Candidate
from search.executors.executor import InProcessExecutor, Outcome
from search.goal import set_goal
from search.ranking import Ranking

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "train_command.py"
FLAT = "import sys, json; text = open(sys.argv[1]).read(); print(json.dumps({'accuracy': (len(text) % 97) / 97}))"


def network(seed=3):
    space = open_space("mobilenetv3", "digits")
    return space.decode(space.sample(np.random.default_rng(seed)))


def python(code, *arguments):
    return shlex.join([sys.executable, "-c", code, *arguments])


def called(code, timeout_s=20.0):
    return run_command(CommandJob(network().to_json(), (sys.executable, "-c", code, "{architecture}"), timeout_s, 5))


class TestCommand(AccuracyEstimatorContract):
    def estimator(self):
        return CommandEstimator(python(FLAT, "{architecture}"), 7)

    def architectures(self):
        return network(3), network(4)


def test_the_command_is_given_the_network_and_a_seed():
    code = (
        "import sys, json; from mnas.architecture import Architecture as A\n"
        "a = A.from_json(json.load(open(sys.argv[1]))); print('epoch 1')\n"
        "print(json.dumps({'accuracy': int(sys.argv[2] == '5') / 2, 'std': 0.01, 'cost_s': int(a.arch_id[:4], 16)}))\n"
        "print()"
    )
    job = CommandJob(network().to_json(), (sys.executable, "-c", code, "{architecture}", "{seed}"), 60.0, 5)
    found = run_command(job)
    assert (found.accuracy, found.std, found.cost_s) == (0.5, 0.01, int(network().arch_id[:4], 16))
    assert not found.error_message


def test_a_search_by_a_command_keeps_what_it_told(make_study):
    told = FLAT.replace("97})", "97, 'std': 0.01, 'cost_s': 5})")
    command = python(told, "{architecture}")
    context = make_study(InProcessExecutor(), accuracy_cmd=command, budget=4, population=4)
    table = made_up_table(context.space)
    goal = set_goal(context.space, table, None, context.config.seed, 10)
    found = Ranking(context, table, goal).run()
    for one in found:
        text = len(canonical_json(context.architecture(one.genome).to_json()) + "\n")
        assert one.error == pytest.approx(1 - text % 97 / 97) and (one.std, one.cost_s) == (0.01, 5.0)
        assert one.accuracy_source.startswith("command:sha256:") and one.reward is not None
    kept = context.log.payloads("evaluated")
    assert [Candidate.from_json(kept[one.arch_id]) for one in found] == found
    before = {name: value for name, value in kept[found[0].arch_id].items() if name != "std"}
    assert Candidate.from_json(before) == replace(found[0], std=None), "studies from before it was kept are read"
    broken = make_study(InProcessExecutor(), accuracy_cmd=python("raise SystemExit(3)", "{architecture}"), budget=4)
    with pytest.raises(StudyError, match=r"STU03.*TRN15.*exit status 3"):
        Ranking(broken, table, goal).run()


def test_the_example_trains_digits():
    estimator = CommandEstimator(shlex.join([sys.executable, str(EXAMPLE), "{architecture}", "--seed", "{seed}"]), 1)
    estimate = estimate_one(estimator, network(), InProcessExecutor())
    assert estimate.error < 0.3 and estimate.std > 0 and estimate.cost_s > 0
    assert estimate.source == "command" and estimate.fidelity == estimator.fidelity


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit(3)", "exit status 3; it said nothing"),
        ("raise ValueError('no such data')", "exit status 1; on stderr it said: .*no such data"),
        ("import os; os.kill(os.getpid(), 9)", "exit status 137"),
        ("pass", "printed nothing"),
        ("print('accuracy: 93 %')", "no JSON"),
        ("print('[0.9]')", "no object with accuracy"),
        ("""print('{"accuracy": 93}')""", "accuracy is no number 0..1: 93"),
        ("""print('{"accuracy": NaN}')""", "NaN is no number"),
        ("""print('{"accuracy": true}')""", "accuracy is no number"),
        ("""print('{"accuracy": "0.9"}')""", "accuracy is no number"),
        ("""print('{"accuracy": 0.9, "cost_s": -1}')""", "cost_s is no number 0 or more"),
        ("""print('{"accuracy": 0.9, "cost_s": 1e999}')""", "cost_s is no number 0 or more"),
        ("""print('{"accuracy": 0.9, "loss": 1}')""", r"unknown keys \['loss'\]"),
        ("""print('{"accuracy": 0.9}'); print('done')""", "no JSON"),
        ("import sys; sys.stdout.buffer.write(bytes([255, 254]) * 9)", "no JSON"),
    ],
)
def test_what_goes_wrong_is_an_outcome_that_says_so_and_then_an_error(code, says):
    found = called(code)
    assert found.accuracy == 0 and found.error_message
    with pytest.raises(TrainingError, match=rf"(?s)TRN15.*{says}"):
        CommandEstimator("x {architecture}", 0).estimate(network(), [Outcome(found)])


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def with_child(pids):
    """A command that starts a child which keeps its output open, tells both pids and hangs."""
    return (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids) + '.new'!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(pids) + '.new'!r}, {str(pids)!r})\n"
        "time.sleep(600)"
    )


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    found = called(with_child(tmp_path / "pids"), timeout_s=3.0)
    assert "longer than 3 s" in found.error_message
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_a_child_that_outlives_the_command_holds_nothing_up(tmp_path):
    code = with_child(tmp_path / "pids").replace('time.sleep(600)"', "").rsplit("\n", 1)[0]
    started = time.monotonic()
    found = called(code + "\nprint('{\"accuracy\": 0.25}')", timeout_s=300.0)
    assert found.accuracy == 0.25 and time.monotonic() - started < 100
    wait_for(lambda: not is_running((tmp_path / "pids").read_text().split()[1]))


def test_a_command_does_not_outlive_whoever_waits_for_it(tmp_path):
    words = (sys.executable, "-c", with_child(tmp_path / "pids"), "{architecture}")
    code = (
        "from search.accuracy.command import CommandJob, run_command\n"
        f"run_command(CommandJob({network().to_json()!r}, {words!r}, 600.0, 0))"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    wait_for((tmp_path / "pids").exists, 60)
    pids = (tmp_path / "pids").read_text().split()
    assert all(is_running(pid) for pid in pids)
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()
    wait_for(lambda: not any(is_running(pid) for pid in pids))


@given(st.floats(0, 1), st.none() | st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_every_answer_that_keeps_to_the_form_is_read(accuracy, std, cost_s):
    output = f"noise\n{json.dumps({'accuracy': accuracy, 'std': std, 'cost_s': cost_s})}\n\n"
    found = read_answer(output, 4.0)
    assert (found.accuracy, found.std, found.cost_s) == (accuracy, std, 4.0 if cost_s is None else cost_s)


@given(st.text())
def test_nonsense_is_refused_and_never_an_accuracy(text):
    try:
        found = read_answer(text, 1.0)
    except ValueError:
        return
    assert json.loads(next(line for line in reversed(text.splitlines()) if line.strip()))["accuracy"] == found.accuracy


@pytest.mark.parametrize("command", ["", "python train.py", "{architecture}", "python 'train.py {architecture}"])
def test_a_command_that_cannot_be_meant_is_refused(command):
    with pytest.raises(ConfigError, match="CFG51"):
        CommandEstimator(command, 0).require_command()


def test_a_program_that_is_not_there_is_refused_and_a_changed_script_is_another_fidelity(tmp_path):
    with pytest.raises(ConfigError, match=r"CFG51.*no program no-such-program"):
        CommandEstimator("no-such-program {architecture}", 0).require_command()
    script = tmp_path / "train.py"
    estimator = CommandEstimator(f"python {shlex.quote(str(script))} {{architecture}}", 0)
    seen = {estimator.fidelity}
    for text in ("a", "b"):
        script.write_text(text)
        seen.add(estimator.fidelity)
    assert len(seen) == 3
