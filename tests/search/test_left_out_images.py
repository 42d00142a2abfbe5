"""Images that cannot be read: whoever trains on the others says how many they are."""

import json
from dataclasses import replace

import pytest
from picture_folders import CLASSES, make_folder

from mnas.cli import main
from mnas.config import make_config
from mnas.errors import LutError
from mnas.spaces.presets import open_space
from search.accuracy.audit import Audit
from search.data.registry import open_dataset
from search.executors.executor import InProcessExecutor
from search.study import Study
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import SupernetSchedule
from search.testing import KeptReporter

TOLD = "left out, unreadable: 1 of 120 files of pets"
SPACE = open_space("mobilenetv3", "digits-3x3")


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder with an image that was cut off."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_folder(tmp_path / "pets")
    (folder / CLASSES[1] / "003.png").write_bytes((folder / CLASSES[1] / "003.png").read_bytes()[:60])
    return folder


def test_a_data_set_says_so_and_one_without_says_nothing(pets):
    assert open_dataset(str(pets)).left_out == TOLD
    assert open_dataset("digits").left_out == ""


def test_a_search_warns_and_records_it_for_every_reader(pets, store, tmp_path):
    config = make_config({"data": str(pets), "preset": "digits-3x3", "lut": "none-of-that-name"})
    study, reporter = Study.create(store, config), KeptReporter()
    with pytest.raises(LutError):
        study.run(tmp_path / "out", InProcessExecutor(), reporter)
    assert TOLD in reporter.warnings
    (notice,) = store.query("SELECT payload_json FROM event WHERE kind = 'notice'")
    assert TOLD in notice["payload_json"] and "mnas data check" in notice["payload_json"]


def test_an_audit_warns(pets, store):
    config = make_config({"data": str(pets), "preset": "digits-3x3", "training": "small"})
    reporter = KeptReporter()
    audit = Audit(config, SPACE, open_dataset(str(pets)), 6, 2, ("zero-cost:params",))
    assert audit.run(store, InProcessExecutor(), reporter, lambda: True) is None
    assert reporter.warnings == [TOLD]
    clean = replace(audit, dataset=replace(audit.dataset, facts={}))
    assert clean.run(store, InProcessExecutor(), reporter, lambda: True) is None
    assert reporter.warnings == [TOLD]


def test_a_supernets_training_tells_it_once(pets, tmp_path):
    told = []
    request = SupernetRequest(SPACE, str(pets), None, SupernetSchedule(1, batch_size=64), 0, tmp_path / "out")
    train_supernet(request, warn=told.append)
    assert told == [TOLD]


def test_mnas_train_and_mnas_data_check_tell_it(pets, tmp_path, capsys):
    genome = SPACE.extremes()[0]
    network, out = tmp_path / "architecture.json", ["--out", str(tmp_path / "out")]
    network.write_text(json.dumps(SPACE.decode(genome).to_json()))
    words = ["--epochs", "1", "--seeds", "1", "--workers", "1", "-q"]
    assert main(["train", str(network), "--data", str(pets), *words, *out]) == 0
    assert TOLD in capsys.readouterr().err
    assert main(["data", "check", str(pets)]) == 0
    assert TOLD in capsys.readouterr().out
