"""``mnas --version`` and shell completion: what they say, and that they load nothing for it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from mnas.cli import main
from mnas.cli.version import PACKAGES


def test_version_names_what_results_depend_on(capsys):
    assert main(["--version"]) == 0
    captured = capsys.readouterr()
    lines = [line.rsplit(" ", 1) for line in captured.out.splitlines()]
    assert [name for name, _ in lines] == ["mnas", "python", *PACKAGES]
    assert {"torch", "onnx", "onnxruntime", "ai-edge-litert", "pymoo", "adbutils", "numpy"} <= set(PACKAGES)
    assert dict(lines)["python"] == platform.python_version()
    assert all(dict(lines)[package] == version(package) for package in PACKAGES)
    assert captured.err == ""


def test_a_package_that_is_lacking_is_said_to_be(capsys, monkeypatch):
    def without_adb(package):
        if package == "adbutils":
            raise PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr("importlib.metadata.version", without_adb)
    assert main(["--version"]) == 0
    said = capsys.readouterr().out
    assert "adbutils not installed\n" in said and "torch 1.2\n" in said


def test_version_imports_none_of_them():
    code = (
        "import sys\nfrom mnas.cli import main\nstatus = main(['--version'])\n"
        "loaded = {'torch', 'onnx', 'onnxruntime', 'ai_edge_litert', 'pymoo', 'adbutils', 'numpy'} & set(sys.modules)\n"
        "print('LOADED', status, *sorted(loaded), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["LOADED", "0"]


@pytest.mark.parametrize(
    ("typed", "word", "expected"),
    [
        ("mnas lu", 1, {"lut"}),
        ("mnas s", 1, {"search", "study", "supernet"}),
        ("mnas lut b", 2, {"build"}),
        ("mnas bench --max-", 2, {"--max-latency-ms", "--max-regression"}),
        ("mnas lut build --mode accurate --form", 5, {"--format"}),
    ],
)
def test_bash_is_given_what_can_follow(typed, word, expected):
    asked = {"_MNAS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(word)}
    command = [sys.executable, "-c", "from mnas.cli import run; run()"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **asked})
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""
