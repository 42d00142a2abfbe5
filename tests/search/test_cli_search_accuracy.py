"""``mnas search`` by each kind of estimator, from the command line to the front, on a table that is there."""

import json
import shlex
import sys

import pytest

from mnas.cli import main
from mnas.spaces.presets import open_space
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import SupernetSchedule

WORDS = "search --data digits --preset digits --training small --population 4 --budget 4 --finalists 1 --workers 1"
TABLE = "--finalist-seeds 1 --lut-rounds 3 --lut-calibration 3 --lut-validation 3 --format json"
TRAINER = (
    "import sys, json; n = len(open(sys.argv[1]).read()) % 97; print(json.dumps({'accuracy': n / 97, 'std': 0.01}))"
)

pytestmark = pytest.mark.slow


@pytest.fixture
def run(copy_after_lut, capsys):
    """Run a search; return the study as JSON, and what was said on the way."""

    def run(*arguments):
        out = copy_after_lut("out")
        assert main([*WORDS.split(), *TABLE.split(), *map(str, arguments), "--out", str(out)]) == 0
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        assert found["status"] == "finished" and len(found["candidates"]) == 4
        (member,) = found["front"]["members"]
        assert 0 < member["val_error"] < 1 and member["reward"] > 0, "finalists are trained, whatever ranked them"
        return found["candidates"], member, captured.err

    return run


def test_a_score_ranks_and_finalists_are_trained(run):
    candidates, member, said = run("--accuracy", "zero-cost:synflow")
    for one in candidates:
        assert one["accuracy_source"].startswith("score:synflow:rank of 32 in ") and one["reward"] is None
    assert member["rank_val_error"] is None and member["ranking_reward"] is None
    assert "best under T: rank 0." in said and "by synflow at" in said


def test_a_users_own_trainer_ranks(run):
    command = shlex.join([sys.executable, "-c", TRAINER, "{architecture}"])
    candidates, member, said = run("--accuracy-cmd", command, "--accuracy-timeout", 60)
    for one in candidates:
        assert one["accuracy_source"].startswith("command:sha256:") and one["std"] == 0.01 and one["reward"] > 0
    assert member["rank_val_error"] in [one["error"] for one in candidates]
    assert "best under T: " in said and " % at " in said


def test_proxy_training_is_as_long_as_it_is_said_to_be(run):
    candidates, _, _ = run("--proxy-epochs", 2, "--proxy-fraction", 0.5, "--proxy-width", 0.5)
    (source,) = {one["accuracy_source"] for one in candidates}
    assert source.startswith("proxy-training:digits/sgd-") and "x2-" in source
    assert {one["status"] for one in candidates} == {"done"}


def test_a_supernet_ranks(run, tmp_path):
    space = open_space("mobilenetv3", "digits")
    trained = train_supernet(
        SupernetRequest(space, "digits", None, SupernetSchedule(2, batch_size=64), 2, tmp_path / "supernet")
    )
    candidates, _, _ = run("--accuracy", f"supernet:{tmp_path / 'supernet'}")
    (source,) = {one["accuracy_source"] for one in candidates}
    assert source.startswith("supernet:") and trained.sha256[:12] in source
    assert len({one["loss"] for one in candidates}) == 4


def test_halving_ranks_by_what_it_spent(run):
    candidates, _, _ = run("--accuracy", "halving", "--proxy-epochs", 9)
    sources = [one["accuracy_source"] for one in candidates]
    assert sum(source.startswith("halving:eta3") for source in sources) == 1
    assert sum("rung 1 of 3" in source for source in sources) == 3
