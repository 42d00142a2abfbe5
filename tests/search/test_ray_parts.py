"""What the Ray executor is made of, as far as it needs no Ray: addresses, resources, versions, files, the command."""

import json
import operator
import pickle
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.host_job import needs_of
from mnas.cli import main
from mnas.cli.worker import start_command
from mnas.errors import ClusterError, ConfigError
from search.executors.executor import Job
from search.executors.files import file_for_caller, gathered_files
from search.executors.ray_cluster import RayExecutor
from search.executors.ray_link import connect, lacking, parse_address
from search.executors.ray_round import RayTerms
from search.executors.ray_task import code_versions, run_task

AMOUNTS = st.dictionaries(st.sampled_from(["CPU", "GPU", "phone-1", "phone-2"]), st.integers(0, 3), max_size=4)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("auto", None),
        ("10.0.0.7:6379", ("10.0.0.7", 6379)),
        ("head.lan:1", ("head.lan", 1)),
        ("[::1]:6379", ("::1", 6379)),
    ],
)
def test_addresses_are_read(text, place):
    assert parse_address(text) == place


@pytest.mark.parametrize("text", ["", "head", ":6379", "head:", "head:0", "head:65536", "ray://head:10001", "head:x"])
def test_what_is_no_address_is_refused_before_ray_is_needed(text):
    with pytest.raises(ConfigError, match="CFG60"):
        RayExecutor(text)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"CLU01.*mnas\[ray\]"), RayExecutor("127.0.0.1:6379"):
        pass


def test_a_port_where_nobody_listens_is_refused(monkeypatch):
    monkeypatch.setattr("search.executors.ray_link.import_ray", lambda: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ClusterError, match="CLU02"):
            connect(f"127.0.0.1:{port}")


@pytest.mark.parametrize("terms", [{"cpus": -1}, {"gpus": float("nan")}, {"attempts": 0}, {"moves": -1}, {"cpus": 0}])
def test_terms_by_which_no_job_would_run_are_refused(terms):
    with pytest.raises(ConfigError, match="CFG01"):
        RayTerms(**terms)


def test_a_job_takes_processors_or_what_it_needs_by_name():
    terms = RayTerms(cpus=2, gpus=0.5)
    assert terms.resources(Job(abs)) == {"CPU": 2, "GPU": 0.5}
    assert terms.resources(Job(abs, needs=("phone-1",))) == {"phone-1": 1}


@given(st.lists(AMOUNTS, max_size=4), AMOUNTS)
def test_something_is_lacking_unless_one_node_has_all(has, wanted):
    nodes = {str(place): one for place, one in enumerate(has)}
    found = lacking(nodes, wanted)
    fits = any(all(one.get(name, 0) >= amount for name, amount in wanted.items()) for one in has)
    assert (found == ()) == (fits or not any(wanted.values()))
    assert all(wanted[name] > 0 for name in found)


def test_a_task_runs_a_job_of_the_same_versions_alone():
    job = pickle.dumps(Job(operator.add, (2, 3)))
    place, versions, message, files = run_task(job, code_versions())
    assert versions == code_versions() and place and files == {}
    assert pickle.loads(message).value == 5
    _, versions, message, _ = run_task(job, {**code_versions(), "mnas": "another"})
    assert (versions, message) == (code_versions(), b"")


def test_files_are_written_where_they_are_meant_unless_gathered(tmp_path):
    path = tmp_path / "kept"
    with gathered_files() as found, file_for_caller(path) as written:
        written.write_bytes(b"away")
    assert found == {str(path): b"away"} and not path.exists() and not written.exists()
    with file_for_caller(path) as written:
        written.write_bytes(b"here")
    assert path.read_bytes() == b"here"


def test_a_phone_is_needed_by_its_public_name():
    (name,) = needs_of("adb:R58N123ABC/tflite")
    assert name.startswith("phone-") and "R58N" not in name
    assert needs_of(f"adb:{name}/litert,cpus=big") == (name,)
    assert needs_of("host:ort") == ()


def test_the_command_of_a_node_names_its_phones():
    words = start_command("10.0.0.7:6379", {"phone-0000abcd": 1}, cpus=0, ip="10.0.0.8")
    assert words[:2] == ["ray", "start"]
    assert {"--address=10.0.0.7:6379", "--num-cpus=0", "--node-ip-address=10.0.0.8"} <= set(words)
    (resources,) = (word.partition("=")[2] for word in words if word.startswith("--resources="))
    assert json.loads(resources) == {"phone-0000abcd": 1}
    assert "--head" in start_command("", {})


def test_worker_prints_the_command_alone(capsys):
    assert main(["worker", "10.0.0.7:6379", "--cpus", "2", "--adb", "none"]) == 0
    assert capsys.readouterr().out == "ray start --address=10.0.0.7:6379 --num-cpus=2 --disable-usage-stats\n"
    assert main(["worker", "nowhere"]) == ConfigError.exit_code
