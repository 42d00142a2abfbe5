"""The Ray executor on two nodes on loopback: what every executor does, and lost workers, nodes and drivers."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from ray_cluster import ROOT, lose, two_nodes
from ray_jobs import begin_and_sleep, node_id, span

from mnas.errors import ClusterError
from search.executors import ray_round
from search.executors.executor import Job
from search.executors.ray_cluster import RayExecutor
from search.executors.ray_round import RayTerms
from search.executors.testing import ProcessExecutorConformance, note_and_sleep

pytestmark = [
    pytest.mark.ray,
    # Of Ray itself, which leaves sockets and processes to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PHONE = "phone-0000abcd"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster whose second node has a phone; no test of it may lose a node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNAS_STATE", str(tmp_path_factory.mktemp("state")))
        with two_nodes(resources={PHONE: 1}) as (made, second):
            made.second = second
            yield made


@pytest.fixture
def executor(cluster):
    with RayExecutor(cluster.address) as made:
        yield made


class TestRay(ProcessExecutorConformance):
    @pytest.fixture
    def executor(self, cluster):
        with RayExecutor(cluster.address) as made:
            yield made


def test_results_are_told_as_they_finish_not_at_the_end(executor):
    executor.map_in_order([Job(abs, (-1,))] * 4)
    order = []
    jobs = [Job(time.sleep, (3.0,)), Job(time.sleep, (0.01,)), Job(time.sleep, (0.01,))]
    executor.map_in_order(jobs, lambda index, outcome: order.append(index))
    assert order[-1] == 0 and sorted(order) == [0, 1, 2]


def test_what_needs_a_phone_runs_on_its_host_and_has_it_alone(cluster, executor):
    outcomes = executor.map_in_order([Job(node_id, needs=(PHONE,)) for _ in range(3)])
    assert {one.value for one in outcomes} == {cluster.second.node_id}
    spans = sorted(one.value for one in executor.map_in_order([Job(span, (0.3,), needs=(PHONE,)) for _ in range(3)]))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.slow
def test_networks_are_measured_on_the_host_that_has_the_device(executor, tmp_path):
    from latency.host_job import MeasuringRequest, measure_on_host
    from latency.on_device import MeasuringSession
    from mnas.export.network import write_network
    from mnas.spaces.presets import open_space

    space = open_space("mobilenetv3", "digits")
    networks = zip(("small", "large"), map(space.decode, space.extremes()), strict=True)
    artifacts = {name: write_network(network, tmp_path, "onnx") for name, network in networks}
    request = MeasuringRequest.of("host:ort", artifacts, seed=1, rounds=3)
    for artifact in artifacts.values():
        artifact.path.unlink()
    (outcome,) = executor.map_in_order([Job(measure_on_host, (request,), needs=(PHONE,))])
    assert isinstance(outcome.value, MeasuringSession), outcome.error_message
    found = outcome.value.networks
    assert 0 < found["small"].ms < found["large"].ms


@pytest.mark.parametrize(
    ("terms", "needs", "named"),
    [
        (RayTerms(gpus=1, room_s=1.5), (), "GPU"),
        (RayTerms(cpus=64, room_s=1.5), (), "CPU"),
        (RayTerms(room_s=1.5), ("phone-ffffffff",), "phone-ffffffff"),
    ],
)
def test_what_no_node_has_is_named_after_a_while(cluster, terms, needs, named):
    told = []
    with RayExecutor(cluster.address, terms) as executor, pytest.raises(ClusterError, match="CLU03") as caught:
        jobs = [Job(abs, (-1,), needs=(PHONE,)), Job(abs, (-2,), needs=needs)]
        executor.map_in_order(jobs, lambda index, outcome: told.append(index))
    assert f"1 jobs take {named};" in str(caught.value) and PHONE in str(caught.value)
    assert told == [0]


def test_a_worker_that_is_evicted_costs_a_try(executor, tmp_path):
    killed = []

    def evict():
        while not (begun := list(tmp_path.iterdir())):
            time.sleep(0.02)
        killed.append(int(begun[0].name))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=evict)
    thread.start()
    (outcome,) = executor.map_in_order([Job(begin_and_sleep, (str(tmp_path), 3.0))])
    thread.join()
    assert outcome.is_ok and outcome.attempts == 2 and outcome.value not in killed


def test_other_versions_on_a_node_are_refused(executor, monkeypatch):
    mine = ray_round.code_versions()
    monkeypatch.setattr(ray_round, "code_versions", lambda: {**mine, "torch": "1.0"})
    with pytest.raises(ClusterError, match=r"CLU04.*torch: .* there, 1\.0 here"):
        executor.map_in_order([Job(abs, (-1,))])


def test_no_job_is_written_to_a_disk(cluster, executor):
    marker = "never-on-a-disk-" + os.urandom(8).hex()
    assert executor.map_in_order([Job(str.upper, (marker,))])[0].value == marker.upper()
    session = Path(cluster.head_node.get_session_dir_path())
    files = [path for path in session.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if marker.encode() in path.read_bytes()] == []


def test_servers_listen_on_loopback_alone(cluster, executor):
    executor.map_in_order([Job(abs, (-1,))])
    listening = listening_addresses(cluster.head_node.get_session_dir_path())
    assert listening
    assert {one for one in listening if not one.endswith("0100007F")} <= {"00000000000000000000000001000000"}


def listening_addresses(session):
    """Addresses, in hexadecimal, on which processes of a session and their children listen for TCP connections."""
    parents, own, inodes = {}, set(), set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[process] = Path("/proc") / (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
            own |= {process} if session.encode() in (process / "cmdline").read_bytes() else set()
        except OSError:
            continue
    for process in own | {child for child, parent in parents.items() if parent in own}:
        try:
            inodes |= {os.readlink(link) for link in (process / "fd").iterdir()}
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1].partition(":")[0])
    return found


def test_an_address_where_nobody_is_is_refused_soon():
    with pytest.raises(ClusterError, match="CLU02"), RayExecutor("127.0.0.1:9"):
        pass


def begun(note):
    return Counter(note.read_text(encoding="utf-8").split())


def test_a_lost_node_loses_no_result(tmp_path):
    note, told = tmp_path / "begun", Counter()
    jobs = [Job(note_and_sleep, (str(note), str(number), 1.0)) for number in range(24)]
    with two_nodes() as (cluster, second):

        def on_done(index, outcome):
            told[index] += 1
            if told.total() == 8:
                lose(cluster, second)

        with RayExecutor(cluster.address) as executor:
            outcomes = executor.map_in_order(jobs, on_done)
    assert [one.value for one in outcomes] == [str(number) for number in range(24)]
    assert told == Counter(range(24))
    counts = begun(note)
    again = [number for number, count in counts.items() if count > 1]
    # Begun twice is what the lost node had under way then: two jobs at most, none where the machine is busy.
    assert max(counts.values()) <= 2 and len(again) <= 2
    assert all(outcomes[int(number)].attempts == 2 for number in again)


def test_a_job_whose_node_is_lost_too_often_fails_by_no_fault_of_its_own(tmp_path):
    with two_nodes(resources={PHONE: 1}) as (cluster, second):

        def lose_it():
            while not list(tmp_path.iterdir()):
                time.sleep(0.02)
            lose(cluster, second)

        with RayExecutor(cluster.address, RayTerms(moves=0)) as executor:
            thread = threading.Thread(target=lose_it)
            thread.start()
            (outcome,) = executor.map_in_order([Job(begin_and_sleep, (str(tmp_path), 30.0), needs=(PHONE,))])
            thread.join()
    assert "node was lost" in outcome.error_message and not outcome.is_lost and outcome.attempts == 1


def test_a_node_that_joins_in_time_takes_what_waits_for_it():
    with two_nodes() as (cluster, _), RayExecutor(cluster.address) as executor:
        # The first is told here, in the main thread, where alone a node can be started.
        def join(index, outcome):
            if index == 0:
                time.sleep(1.5)
                cluster.add_node(node_ip_address="127.0.0.1", num_cpus=1, resources={PHONE: 1})

        outcomes = executor.map_in_order([Job(abs, (-1,)), Job(abs, (-4,), needs=(PHONE,))], join)
    assert [one.value for one in outcomes] == [1, 4]


_DRIVER = """
import sys
from pathlib import Path
from mnas.store import Store
from search.events import EventLog
from search.executors.executor import Job
from search.executors.ray_cluster import RayExecutor
from search.executors.testing import note_and_sleep
from search.schema import SEARCH

address, folder = sys.argv[1], Path(sys.argv[2])
with Store(folder / "store.sqlite3", (SEARCH,)) as store, RayExecutor(address) as executor:
    store.execute(
        "INSERT OR IGNORE INTO study (study_id, created_at_utc, status, config_json, versions_json) "
        "VALUES ('s', '', 'running', '{}', '{}')", ())
    log = EventLog(store, "s")
    todo = [str(number) for number in range(24) if str(number) not in log.payloads("evaluated")]
    jobs = [Job(note_and_sleep, (str(folder / "begun"), number, 0.5)) for number in todo]

    def keep(index, outcome):
        log.append("evaluated", {"value": outcome.value, "try": sys.argv[3]}, todo[index])
        print(outcome.value, flush=True)

    executor.map_in_order(jobs, keep)
"""


def test_a_killed_driver_goes_on_with_what_is_not_in_the_log(cluster, tmp_path):
    from mnas.store import Store
    from search.events import EventLog
    from search.schema import SEARCH

    script = tmp_path / "driver.py"
    script.write_text(_DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(number):
        command = [sys.executable, str(script), cluster.address, str(tmp_path), number]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    first = start("1")
    for _ in range(9):
        first.stdout.readline()
    first.kill()
    first.communicate()
    with Store(tmp_path / "store.sqlite3", (SEARCH,)) as store:
        before = EventLog(store, "s").payloads("evaluated")
    assert 9 <= len(before) < 24
    second = start("2")
    said, _ = second.communicate()
    assert second.returncode == 0
    with Store(tmp_path / "store.sqlite3", (SEARCH,)) as store:
        after = EventLog(store, "s").payloads("evaluated")
    assert set(after) == {str(number) for number in range(24)}
    assert {key: after[key] for key in before} == before
    assert set(re.findall(r"\d+", said)) == set(after) - set(before)
    counts = begun(tmp_path / "begun")
    assert all(counts[key] == 1 for key in before) and max(counts.values()) <= 2
