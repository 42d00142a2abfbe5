"""``mnas search --ray`` whose driver is killed: the same command with --resume evaluates what is not in the log."""

import os
import signal
import subprocess
import sys
import time

import pytest
from ray_cluster import ROOT, lose, two_nodes
from software_phone.adb_server import OwnAdbServer
from software_phone.fixtures import software_phone_build  # noqa: F401
from software_phone.phone import SoftwarePhone

from devices.adb.privacy import public_serial
from devices.runners.library import RunnerLibrary
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


def on_host(environment, *words):
    """Run a command as the host of the phone does."""
    done = subprocess.run(
        [sys.executable, "-m", "mnas", *map(str, words)], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.software_phone
def test_a_search_measures_on_the_phone_of_another_node(software_phone_build, tmp_path, monkeypatch):  # noqa: F811
    """The driver reaches no phone itself: all that it knows of this one comes from the node that it hangs on."""
    library = RunnerLibrary(tmp_path / "runners")
    library.add(software_phone_build.runners["benchmark_model"], "tflite")
    space = tmp_path / "own.toml"
    tiny = (ROOT / "docs" / "spaces" / "tiny.toml").read_text(encoding="utf-8")
    space.write_text(tiny.replace("[8, 12]", "[16]").replace("channels = 16", "channels = 32"), encoding="utf-8")
    places = {"MNAS_RUNNERS": str(tmp_path / "runners"), "MNAS_STATE": str(tmp_path / "state")}
    own = OwnAdbServer(tmp_path / "adb").start()
    try:
        with SoftwarePhone(software_phone_build) as phone:
            own.attach(phone.address)
            environment = {**os.environ, **places, "MNAS_ADB": own.server.address, "PYTHONPATH": str(ROOT)}
            host, out = ("--out", tmp_path / "host"), ("--out", tmp_path / "out")
            words = ["--space", space, "--device", f"adb:{phone.address}/tflite", "--rounds", "3"]
            on_host(environment, "lut", "build", *words, "--calibration", "2", "--validation", "2", *host)
            on_host(environment, "lut", "export", "lut1", "--to", "json", "-o", tmp_path / "table.json", *host)
            public = public_serial(phone.serial)
            with monkeypatch.context() as patch:
                for name, value in (*places.items(), ("MNAS_ADB", own.server.address)):
                    patch.setenv(name, value)
                nodes = two_nodes(resources={public: 1})
                cluster, _ = nodes.__enter__()
            try:
                driver = {**os.environ, "MNAS_STATE": str(tmp_path / "drivers-state"), "PYTHONPATH": str(ROOT)}
                assert driver["MNAS_ADB"] == "none"
                on_host(driver, "lut", "import", tmp_path / "table.json", *out)
                words = ["--data", "digits", "--space", space, "--device", f"adb:{public}/tflite", "--lut", "lut1"]
                words += ["--training", "small", "--budget", "4", "--population", "4", "--finalists", "2"]
                on_host(driver, "search", *words, "--finalist-seeds", "1", "--ray", cluster.address, *out)
            finally:
                nodes.__exit__(None, None, None)
    finally:
        own.stop()
    with open_store(tmp_path / "out") as store:
        result = load_result(store, "")
    assert result.is_simulated and result.foreign_lut is None and result.devices == (f"adb:{public}/tflite",)
    assert result.members and all(one.measured_ms > 0 for one in result.members)
