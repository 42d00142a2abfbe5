"""Studies in the forms of other tools: what Optuna and TensorBoard read is what the study has recorded."""

from __future__ import annotations

import csv
import json
import resource
import struct
import sys
import threading
from contextlib import suppress
from itertools import product

import pytest

from latency.testing import made_up_table
from mnas.cli import main
from mnas.errors import PackageError, StudyError
from mnas.store import FILE_NAME, Store
from search.adapters.optuna_storage import copy_to_optuna
from search.adapters.tensorboard_log import TensorBoardLog, write_tensorboard
from search.following import events_after
from search.goal import set_goal
from search.ranking import Ranking
from search.schema import SEARCH
from search.tabular_config import make_tabular_config
from search.tabular_study import TabularStudy, table_sha256
from search.testing import KeptReporter, MadeUpTraining


@pytest.fixture
def searched(make_study):
    """A study of six candidates, of which the second has failed."""
    context = make_study(MadeUpTraining(failing={1: "no memory"}), budget=6, population=6)
    table = made_up_table(context.space)
    goal = set_goal(context.space, table, None, 0, 10)
    context.log.append("goal", goal.to_json())
    Ranking(context, table, goal).run()
    return context


@pytest.fixture
def on_table(tmp_path):
    """A finished study on a table of nine networks, in a store of its own."""
    file = tmp_path / "networks.csv"
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["depth", "width", "top1", "latency_ms"])
        rows.writerows(
            [depth, width, 60 + depth * width, depth + width] for depth, width in product((1, 2, 3), repeat=2)
        )
    config = make_tabular_config(
        {
            "table": str(file),
            "table_sha256": table_sha256(file),
            "objectives": "top1:max,latency_ms:min",
            "genes": ("depth", "width"),
            "algorithm": "random",
            "budget": 5,
            "population": 4,
        }
    )
    with Store(tmp_path / FILE_NAME, (SEARCH,)) as store:
        (study,) = TabularStudy.create(store, [config])
        study.run(KeptReporter())
        yield store, study


@pytest.fixture
def optuna(optional_package):
    module = optional_package("optuna")
    module.logging.set_verbosity(module.logging.ERROR)
    return module


def test_optuna_has_every_candidate_with_its_genes_and_objectives(searched, optuna, tmp_path):
    url = f"sqlite:///{tmp_path / 'optuna.sqlite3'}"
    copied = copy_to_optuna(searched.store, "", url)
    assert (copied.study_id, copied.added, copied.trials) == (searched.study_id, 6, 6)
    study = optuna.load_study(study_name=searched.study_id, storage=url)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["error", "latency"]
    known = sorted(searched.log.payloads("evaluated").values(), key=lambda one: one["number"])
    for trial, candidate in zip(study.trials, known, strict=True):
        assert list(trial.params) == list(searched.space.gene_names)
        assert list(trial.params.values()) == candidate["genome"]
        assert trial.user_attrs["arch_id"] == candidate["arch_id"]
        assert trial.datetime_complete is not None
        if candidate["status"] == "failed":
            assert trial.state.name == "FAIL" and trial.user_attrs["reason"]
        else:
            assert trial.values == [candidate["error"], candidate["predicted_ms"]]
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1


def test_a_second_copy_adds_what_has_been_found_since(searched, optuna, tmp_path):
    url = f"sqlite:///{tmp_path / 'optuna.sqlite3'}"
    first = copy_to_optuna(searched.store, searched.study_id, url)
    assert copy_to_optuna(searched.store, searched.study_id, url).added == 0
    (known, *_) = searched.log.payloads("evaluated").values()
    searched.log.append("evaluated", {**known, "number": 6, "arch_id": "new"}, "new")
    again = copy_to_optuna(searched.store, searched.study_id, url)
    assert (again.added, again.trials) == (1, first.trials + 1)


def test_a_study_on_a_table_keeps_the_table_s_own_directions_and_values(on_table, optuna):
    store, study = on_table
    storage = optuna.storages.InMemoryStorage()
    assert copy_to_optuna(store, study.study_id, storage).added == 5
    there = optuna.load_study(study_name=study.study_id, storage=storage)
    assert [direction.name for direction in there.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert there.metric_names == ["top1", "latency_ms"]
    for trial in there.trials:
        depth, width = trial.params["depth"] + 1, trial.params["width"] + 1
        assert trial.values == [60 + depth * width, depth + width]


def test_the_command_copies_into_the_output_folder(on_table, optuna, tmp_path, capsys):
    _, study = on_table
    assert main(["study", "optuna", "--out", str(tmp_path), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["study_id"], row["added"], row["trials"]) == (study.study_id, 5, 5)
    assert len(optuna.load_study(study_name=study.study_id, storage=row["storage"]).trials) == 5


def test_without_the_packages_the_errors_say_what_to_install(on_table, monkeypatch, tmp_path, capsys):
    store, _ = on_table
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(PackageError, match=r"PKG01.*mnas\[optuna\]"):
        copy_to_optuna(store, "", "sqlite:///never.db")
    with pytest.raises(PackageError, match=r"PKG01.*mnas\[tensorboard\]"):
        TensorBoardLog(tmp_path)
    for command in (["study", "optuna"], ["search", "--data", "digits", "--tensorboard", str(tmp_path / "runs")]):
        assert main([*command, "--out", str(tmp_path)]) == PackageError.exit_code
        assert capsys.readouterr().err.startswith("mnas: PKG01")


def scalars(folder, event_class):
    """Return tag -> [(step, value)] of every event file below a folder, in the order of the file.

    Source: TensorFlow's TFRecord: length (uint64), its checksum (uint32), the data, its checksum (uint32).
    """
    found = {}
    for path in sorted(folder.rglob("events.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = event_class.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_has_candidates_by_number_and_generations_by_evaluations(searched, optional_package, tmp_path):
    events = optional_package("tensorboardX.proto.event_pb2")
    assert write_tensorboard(searched.store, "", tmp_path / "runs") == searched.study_id
    found = scalars(tmp_path / "runs" / searched.study_id, events.Event)
    known = sorted(searched.log.payloads("evaluated").values(), key=lambda one: one["number"])
    done = [one for one in known if one["error"] is not None]
    assert sorted(found["candidate/error"]) == [(one["number"], pytest.approx(one["error"])) for one in done]
    assert sorted(found["candidate/predicted_ms"]) == [
        (one["number"], pytest.approx(one["predicted_ms"])) for one in known
    ]
    (generation,) = searched.log.payloads("generation").values()
    assert found["search/hypervolume"] == [(6, pytest.approx(generation["hypervolume"]))]
    assert found["search/front"] == [(6, generation["front"])]


def test_a_full_disk_is_an_error_at_once_and_nothing_waits_for_it(searched, optional_package, tmp_path, monkeypatch):
    optional_package("tensorboardX")
    monkeypatch.setattr("search.adapters.event_file._FLUSH_S", 0.0)
    first, *others = events_after(searched.store, searched.study_id)
    log, threads = TensorBoardLog(tmp_path), threading.active_count()
    log.take(first)
    (file,) = (tmp_path / searched.study_id).iterdir()
    room = file.stat().st_size + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            for event in others * 20:
                log.take(event)
        with suppress(OSError):
            log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert threading.active_count() == threads
    assert file.stat().st_size == room


def test_tensorboard_takes_studies_on_tables_too(on_table, optional_package, tmp_path):
    events = optional_package("tensorboardX.proto.event_pb2")
    store, study = on_table
    write_tensorboard(store, study.study_id, tmp_path / "runs")
    found = scalars(tmp_path / "runs", events.Event)
    assert sorted(step for step, _ in found["objective/0"]) == [0, 1, 2, 3, 4]
    with pytest.raises(StudyError, match="STU01"):
        write_tensorboard(store, "study9", tmp_path / "runs")


@pytest.mark.slow
def test_a_search_is_logged_while_it_runs(optional_package, tmp_path):
    events = optional_package("tensorboardX.proto.event_pb2")
    config = {"data": "digits", "training": "small", "budget": 4, "population": 4, "finalists": 1, "finalist_seeds": 1}
    table = {"lut_mode": "fast", "lut_rounds": 3, "lut_calibration": 4, "lut_validation": 4}
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in {**config, **table}.items())
    (tmp_path / "study.toml").write_text(keys)
    given = ["--config", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out"), "-q"]
    assert main(["search", *given, "--tensorboard", str(tmp_path / "runs")]) == 0
    found = scalars(tmp_path / "runs", events.Event)
    assert sorted(step for step, _ in found["candidate/error"]) == [0, 1, 2, 3]
    assert [step for step, _ in found["search/hypervolume"]] == [4]
    assert len(found["finalist/val_error"]) == 1
