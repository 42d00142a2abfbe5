"""``mnas report``: the page is written and named, and opened where that is asked for and can be done."""

import os
import subprocess
import sys

import pytest
from recorded_study import RecordedStudy


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return RecordedStudy(tmp_path_factory.mktemp("a study, it's 5 %") / "out", candidates=10, finalists=2)


def run(study, *words, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "mnas", "report", *words, "--out", str(study.out)]
    return subprocess.run(command, capture_output=True, text=True, env={**kept, **environment}, check=False)


def test_the_path_alone_goes_to_stdout(study):
    done = run(study, study.study_id[:8])
    page = study.out / "reports" / f"{study.study_id}.html"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{page}\n", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_open_hands_the_page_to_the_browser(study, tmp_path):
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{seen}"\n')
    browser.chmod(0o755)
    done = run(study, "--open", BROWSER=f"{browser} %s")
    page = study.out / "reports" / f"{study.study_id}.html"
    assert (done.returncode, done.stderr) == (0, "")
    assert seen.read_text() == page.absolute().as_uri()


@pytest.mark.parametrize("environment", [{"PATH": ""}, {"PATH": "", "BROWSER": "/nowhere/browser %s"}])
def test_where_nothing_opens_it_that_is_said_and_the_page_is_there(study, environment):
    done = run(study, "--open", **environment)
    page = study.out / "reports" / f"{study.study_id}.html"
    assert done.returncode == 0 and done.stdout == f"{page}\n"
    assert "no browser could be opened here" in done.stderr and page.absolute().as_uri() in done.stderr


def test_an_unknown_study_is_refused(study):
    done = run(study, "nothing")
    assert done.returncode == 6 and "STU01" in done.stderr
