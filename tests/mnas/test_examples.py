"""The scripts of docs/examples that use `search.api`, run for real one after the other in one output folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("api_bench", "api_table", "api_study")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", [*SCRIPTS[:2], pytest.param(SCRIPTS[2], marks=pytest.mark.slow)])
def test_an_example_runs_and_says_what_it_found(out, name):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MNAS_OUT": str(out / "mnas-out"), "MNAS_ADB": "none"}
    script = ROOT / "docs" / "examples" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(script)], cwd=out, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    said = {
        "api_bench": "mobilenetv2@64 takes ",
        "api_table": "validation   predicted ",
        "api_study": " finished",
    }
    assert said[name] in done.stdout
    assert " ms" in done.stdout and "nan" not in done.stdout


def test_every_example_of_the_api_is_run():
    assert {path.stem for path in (ROOT / "docs" / "examples").glob("api_*.py")} == set(SCRIPTS)
