"""What tests of studies share: a context over an empty store, and an output folder taken after the LUT stage."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnas.config import make_config
from mnas.spaces.presets import open_space
from search.context import StudyContext
from search.data.registry import open_dataset
from search.events import EventLog
from search.study import Study, open_store
from search.testing import KeptReporter, MadeUpTraining


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "out") as opened:
        yield opened


@pytest.fixture
def make_study(store, tmp_path):
    """Return a function that begins a study on digits, or goes on with one, and gives its context."""

    def make(executor=None, study=None, **keys):
        config = make_config({"data": "digits", "preset": "digits", "training": "small", **keys})
        study = study or Study.create(store, config)
        return StudyContext(
            study_id=study.study_id,
            config=study.config,
            store=store,
            log=EventLog(store, study.study_id),
            space=open_space("mobilenetv3", "digits"),
            dataset=open_dataset("digits"),
            executor=executor or MadeUpTraining(),
            out=tmp_path / "out",
            reporter=KeptReporter(),
        )

    return make


@pytest.fixture(scope="session")
def after_lut(tmp_path_factory):
    """An output folder with a real, finished table of the digits preset, built once a session; to be copied only."""
    import fcntl

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "after-lut"
    with open(shared / "after-lut.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            options = ["--preset", "digits", "--rounds", "3", "--calibration", "3", "--validation", "3", "-q"]
            command = [sys.executable, "-m", "mnas", "lut", "build", *options, "--out", f"{folder}-new"]
            built = subprocess.run(command, capture_output=True, text=True)
            assert built.returncode == 0, built.stderr
            Path(f"{folder}-new").rename(folder)
    return folder


@pytest.fixture
def copy_after_lut(after_lut, tmp_path):
    """Return a function that copies the output folder as it was after the LUT stage."""
    return lambda name: Path(shutil.copytree(after_lut, tmp_path / name))
