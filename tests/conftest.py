"""What holds for every test: one thread a library, hypothesis without a clock, test data that is missed aloud."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# Here, since numpy and torch read these once, when the first test module imports them.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# No command may start a server of adb at its usual port, or see the phones of whoever runs the tests.
os.environ["MNAS_ADB"] = "none"
# Tests train and measure side by side, and none of them tells what the machine's speed is.
os.environ["MNAS_BUSY"] = "ignore"

pytest_plugins = ["software_phone.fixtures", "browser.fixtures"]

_NO_DATA = "MNAS_TEST_DATA is not set: this test did not run"
_NO_RAY = "ray is not installed: this test did not run; make test-ray runs it"
_NO_PACKAGE = "an optional package is not installed: this test did not run"

# The same examples on every run and machine; `HYPOTHESIS_PROFILE=explore` looks for new ones.
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
# `make fuzz`: what is marked `fuzz` reads what others wrote, and gets as many cases as that deserves.
settings.register_profile("long", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of the test data; without it the test is skipped, and the summary says so."""
    folder = os.environ.get("MNAS_TEST_DATA")
    if not folder:
        pytest.skip(_NO_DATA)
    if not Path(folder).is_dir():
        pytest.fail(f"MNAS_TEST_DATA names no folder: {folder}")
    return Path(folder)


@pytest.fixture
def optional_package() -> Callable[[str], ModuleType]:
    """Return a function that imports a module of an optional package; without it the test is skipped aloud."""

    def take(name: str) -> ModuleType:
        if find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"{_NO_PACKAGE} ({name})")
        return import_module(name)

    return take


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Ray where there is none."""
    if find_spec("ray") is None:
        for item in items:
            if item.get_closest_marker("ray"):
                item.add_marker(pytest.mark.skip(reason=_NO_RAY))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were skipped for want of something, which ``-q`` would pass over."""
    for reason in (_NO_DATA, _NO_RAY, _NO_PACKAGE):
        skipped = [report for report in terminalreporter.getreports("skipped") if reason in str(report.longrepr)]
        if skipped:
            terminalreporter.write_line(f"WARNING: {len(skipped)} tests did not run: {reason}", yellow=True, bold=True)
            for report in skipped:
                terminalreporter.write_line(f"  {report.nodeid}")


@pytest.fixture(scope="session")
def digits_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a table of the digits preset, measured on this machine; to be read or copied alone."""
    from mnas.cli import main

    out = tmp_path_factory.mktemp("digits")
    options = ["--rounds", "3", "--calibration", "4", "--validation", "4", "--quiet", "-o", str(out / "build.txt")]
    assert main(["lut", "build", "--preset", "digits", "--mode", "fast", *options, "--out", str(out)]) == 0
    (out / "build.txt").unlink()
    return out
