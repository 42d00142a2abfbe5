"""docs/extending.md: its files are written as it says, their tests are run, then its commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {
    found[1]: text[found.end() :]
    for kind, text in FENCE.findall(PAGE)
    if (found := re.match(r"# file: (\S+)\n", text)) is not None
}
COMMANDS = [line[2:] for kind, text in FENCE.findall(PAGE) if kind == "console" for line in text.splitlines()]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The page's package as pip would install it: its files, and the entry points of its pyproject.toml."""
    folder = tmp_path_factory.mktemp("package")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    about = folder / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in points.items())
        for group, points in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n".join(groups))
    return folder


def run(folder, *command):
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "MNAS_OUT": str(folder / "out")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_every_snippet_is_a_file_or_a_command():
    kinds = {kind for kind, text in FENCE.findall(PAGE) if not text.startswith("# file: ")}
    assert kinds == {"console"}
    assert len(FILES) >= 8 and len(COMMANDS) >= 7
    assert all(command.startswith("mnas ") for command in COMMANDS)


def test_what_the_page_makes_passes_the_conformance_tests(package):
    names = [name for name in FILES if "/test_" in name]
    done = run(package, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(re.search(rf"^{re.escape(name)}::.* PASSED", done.stdout, re.MULTILINE) for name in names)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_do_what_they_say(package, command):
    done = run(package, sys.executable, "-m", *command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    if "--algorithm spaced" in command:
        assert "spaced" in done.stdout
    if "host:plain" in command:
        assert "plain" in done.stdout and "not measured" not in done.stdout


def test_the_page_names_every_group_that_the_code_reads():
    groups = set(re.findall(r"`(mnas\.\w+)` \|", PAGE))
    code = (
        path.read_text(encoding="utf-8") for layer in ("devices", "search") for path in (ROOT / layer).rglob("*.py")
    )
    read = {name for text in code for name in re.findall(r'ENTRY_POINT_GROUP = "(mnas\.\w+)"', text)}
    assert groups == read
