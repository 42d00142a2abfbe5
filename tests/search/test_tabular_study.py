"""Studies on tables: killed at any moment and gone on with, they come to the front of an undisturbed run."""

import csv
import random
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import product

import pytest

from mnas.errors import ConfigError, DataError, StudyError
from mnas.store import FILE_NAME, Store
from search.events import EventLog
from search.listing import study_lines
from search.result import load_result, study_row
from search.schema import SEARCH
from search.tabular_config import make_tabular_config
from search.tabular_result import load_tabular
from search.tabular_study import TabularStudy, table_sha256
from search.testing import KeptReporter

OBJECTIVES = "top1:max,latency_ms:min"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "networks.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d", "top1", "latency_ms"])
        for genes in product(range(6), range(5), range(5), range(4)):
            a, b, c, d = genes
            top1 = 40 + 6 * a + 4 * b + 3 * c + 2 * d - 0.5 * a * b - 0.2 * c * d
            writer.writerow([*genes, round(top1, 3), round(1 + 0.7 * a + 0.2 * b + 0.5 * c * d + 0.1 * a * c, 3)])
    return path


def configs_of(table, seeds=(0,), **keys):
    given = {"table": str(table), "table_sha256": table_sha256(table), "objectives": OBJECTIVES}
    given |= {"genes": ("a", "b", "c", "d"), "population": 10, **keys}
    return [make_tabular_config({**given, "seed": seed}) for seed in seeds]


@pytest.fixture
def tables_store(tmp_path):
    with Store(tmp_path / "tables" / FILE_NAME, (SEARCH,)) as opened:
        yield opened


def record(store, study_id=""):
    """All of a study but ids and times."""
    found = load_tabular(store, study_row(store, study_id)).to_json()
    return {key: found[key] for key in ("front", "evaluations", "generations", "table")}


class Cut(Exception):
    """The study was stopped."""


class CuttingStore(Store):
    """Fails like a killed process: after so many events nothing is written any more."""

    left = 10**9

    def transaction(self):
        CuttingStore.left -= 1
        if CuttingStore.left < 0:
            raise Cut
        return super().transaction()


@pytest.mark.parametrize("algorithm", ["nsga2", "random", "local", "evolution", "surrogate"])
def test_replay_equals_the_uninterrupted_run(tables_store, table, tmp_path, algorithm):
    keys = {"algorithm": algorithm, "budget": 45}
    (whole,) = TabularStudy.create(tables_store, configs_of(table, **keys))
    whole.run(KeptReporter())
    expected = record(tables_store)
    assert len(expected["evaluations"]) == 45
    with CuttingStore(tmp_path / "cut" / FILE_NAME, (SEARCH,)) as store:
        (study,) = TabularStudy.create(store, configs_of(table, **keys))
        for writes in (1, 4, 17, 23):
            CuttingStore.left = writes
            with pytest.raises(Cut):
                study.run(KeptReporter())
            CuttingStore.left = 10**9
            (study,) = TabularStudy.resume(store, "", {})
        study.run(KeptReporter())
        assert record(store) == expected


def test_one_study_a_seed_all_begun_at_once_and_gone_on_with_together(tables_store, table):
    studies = TabularStudy.create(tables_store, configs_of(table, seeds=(0, 1, 2), budget=20))
    studies[1].run(KeptReporter())
    again = TabularStudy.resume(tables_store, "", {})
    assert [one.study_id for one in again] == [studies[0].study_id, studies[2].study_id]
    for one in again:
        one.run(KeptReporter())
    fronts = [record(tables_store, one.study_id)["front"] for one in studies]
    assert fronts[0] != fronts[1] and all(fronts)
    with pytest.raises(StudyError, match="STU01"):
        TabularStudy.resume(tables_store, "", {})
    assert {line.status for line in study_lines(tables_store)} == {"finished"}


def test_a_larger_budget_goes_on_and_another_key_is_refused(tables_store, table):
    (study,) = TabularStudy.create(tables_store, configs_of(table, budget=40))
    with pytest.raises(ConfigError, match=r"CFG03.*algorithm"):
        TabularStudy.resume(tables_store, study.study_id, {"algorithm": "random"})
    (larger,) = TabularStudy.resume(tables_store, study.study_id[:6], {"budget": 60})
    larger.run(KeptReporter())
    assert len(record(tables_store)["evaluations"]) == 60


def test_another_table_is_refused_and_an_altered_record_too(tables_store, table, tmp_path):
    copy = tmp_path / "networks.csv"
    copy.write_bytes(table.read_bytes())
    (study,) = TabularStudy.create(tables_store, configs_of(copy, budget=20))
    copy.write_bytes(table.read_bytes().replace(b"40.0", b"41.0", 1))
    with pytest.raises(DataError, match="TAB06"):
        study.run(KeptReporter())
    (line,) = study_lines(tables_store)
    assert line.status == "interrupted" and line.why.startswith("TAB06")
    copy.write_bytes(table.read_bytes())
    study.run(KeptReporter())
    (other,) = TabularStudy.create(tables_store, configs_of(copy, budget=20))
    first = record(tables_store, study.study_id)["evaluations"][0]
    key = "-".join(map(str, first["genome"]))
    EventLog(tables_store, other.study_id).append("evaluated", {**first, "number": 7}, key)
    with pytest.raises(StudyError, match="STU07"):
        other.run(KeptReporter())


def test_patience_and_time_end_it(tables_store, table):
    (flat, timed) = TabularStudy.create(
        tables_store, [*configs_of(table, patience=2, budget=600), *configs_of(table, budget="1s,600", seeds=(1,))]
    )
    flat.run(KeptReporter())
    timed.run(KeptReporter())
    by_id = {line.study_id: line for line in study_lines(tables_store)}
    assert "generations brought no larger hypervolume" in by_id[flat.study_id].why
    assert by_id[flat.study_id].evaluations < 600


def test_studies_on_tables_and_of_searches_stay_apart(tables_store, table):
    TabularStudy.create(tables_store, configs_of(table))
    with pytest.raises(StudyError, match="STU01"):
        load_result(tables_store, "")
    with pytest.raises(StudyError, match="STU08"):
        load_result(tables_store, "study1")


def mnas(*arguments):
    command = [sys.executable, "-m", "mnas", "study", "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def evaluated(path):
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT count(*) FROM event WHERE kind = 'evaluated'").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: kills processes")
def test_killed_at_random_moments_it_comes_to_the_same(table, tmp_path):
    """Kill -9 at random numbers of evaluations; then the same command with --resume."""
    given = [
        "--table",
        table,
        "--genes",
        "a,b,c,d",
        "--objectives",
        OBJECTIVES,
        "--budget",
        300,
        "--seeds",
        "0-1",
        "-q",
    ]
    whole = mnas(*given, "--out", tmp_path / "whole")
    stderr = whole.communicate(timeout=240)[1]
    assert whole.returncode == 0, stderr
    out, moments = tmp_path / "killed", sorted(random.Random(5).sample(range(1, 600), 4))
    for turn, moment in enumerate(moments):
        process = mnas(*given, "--out", out, *(["--resume"] if turn else []))
        end = time.monotonic() + 240
        while evaluated(out / FILE_NAME) < moment and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with Store(out / FILE_NAME, (SEARCH,), must_exist=True) as store:
        lines = study_lines(store)
    assert "interrupted" in {line.status for line in lines}
    last = mnas(*given, "--out", out, "--resume")
    stderr = last.communicate(timeout=240)[1]
    assert last.returncode == 0, stderr
    found = []
    for folder in (tmp_path / "whole", out):
        with Store(folder / FILE_NAME, (SEARCH,), must_exist=True) as store:
            ids = [line.study_id for line in study_lines(store)]
            found.append([record(store, one) for one in ids])
            rows = store.query(
                "SELECT avg(length(payload_json) + length(key)) AS n FROM event WHERE kind = 'evaluated'"
            )
            assert 0 < rows[0]["n"] < 1024
    assert found[0] == found[1] and len(found[0]) == 2


@pytest.mark.parametrize("budget", ["2s-device", "100,1m-device"])
def test_a_table_has_no_device_whose_time_could_be_a_limit(table, budget):
    with pytest.raises(ConfigError, match=r"CFG01.*no time of a device"):
        configs_of(table, budget=budget)
