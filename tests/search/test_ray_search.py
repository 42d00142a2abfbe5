"""``mnas search --ray`` whose driver is killed: the same command with --resume evaluates what is not in the log."""

import os
import signal
import subprocess
import sys
import time

import pytest
from ray_cluster import ROOT, lose, two_nodes

from search.events import EventLog
from search.result import load_result
from search.study import open_store

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_STUDY = ["--data", "digits", "--training", "small", "--budget", "8", "--population", "4", "--seed", "3"]
_STUDY += ["--lut-rounds", "3", "--lut-calibration", "3", "--lut-validation", "3"]
_STUDY += ["--finalists", "2", "--finalist-seeds", "1"]


def start(address, out, *more):
    command = [sys.executable, "-m", "mnas", "search", *_STUDY, *more, "--ray", address, "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def evaluated(out):
    with open_store(out) as store:
        studies = store.query("SELECT study_id FROM study")
        return EventLog(store, studies[0]["study_id"]).payloads("evaluated") if studies else {}


def test_a_killed_search_on_a_cluster_goes_on_and_exports_what_was_trained_there(copy_after_lut):
    out = copy_after_lut("cluster")
    with two_nodes() as (cluster, _):
        first = start(cluster.address, out)
        while first.poll() is None and len(evaluated(out)) < 3:
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
        _, errors = first.communicate()
        assert first.returncode == -signal.SIGKILL, errors
        before = evaluated(out)
        assert 3 <= len(before) < 8
        second = start(cluster.address, out, "--resume")
        _, errors = second.communicate()
        assert second.returncode == 0, errors
    after = evaluated(out)
    assert len(after) == 8 and {key: after[key] for key in before} == before
    assert sorted(one["number"] for one in after.values()) == list(range(8))
    assert all(one["status"] == "done" for one in after.values())
    with open_store(out) as store:
        members = load_result(store, "").members
    assert members and all((out / member.export / "model.onnx").is_file() for member in members)


def test_a_node_that_is_killed_in_mid_search_costs_the_search_nothing(copy_after_lut):
    out = copy_after_lut("lost")
    with two_nodes() as (cluster, other):
        search = start(cluster.address, out)
        while search.poll() is None and len(evaluated(out)) < 3:
            time.sleep(0.1)
        assert search.poll() is None
        lose(cluster, other)
        _, errors = search.communicate()
        assert search.returncode == 0, errors
    found = evaluated(out)
    assert sorted(one["number"] for one in found.values()) == list(range(8))
    assert all(one["status"] == "done" for one in found.values())
