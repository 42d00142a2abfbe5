"""docs/dependencies.md, pyproject.toml, constraints.txt, the packages' own metadata and our imports agree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mnas", "devices", "latency", "search")
ALTERNATIVES = {"tflite_runtime"}
"""Modules that are taken where they are, and that nothing asks for."""
LICENCES = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "MIT": "MIT",
    "Apache 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
}
"""What older metadata calls a licence -> its SPDX name."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct() -> set[str]:
    """Names of every direct dependency: to run, to build, and of every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    named = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    asked = [*named, *(one for extra in extras for one in extra)]
    return {normal(re.match(r"[\w.-]+", one)[0]) for one in asked}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


def rows() -> list[tuple[str, ...]]:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if "|" in line]
    return [one for one in cells if one[0] not in ("package", "---")]


ROWS = {normal(row[0]): row for row in rows()}


def spdx(name: str) -> str | None:
    """The licence that a package's metadata names; ``None`` where it is not installed or holds a whole text."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return None
    if found["License-Expression"]:
        return found["License-Expression"]
    classifiers = [one.rpartition(" :: ")[2] for one in found.get_all("Classifier") or [] if one.startswith("License")]
    named = [one for one in (*classifiers, found["License"] or "") if one in LICENCES]
    return LICENCES[named[0]] if named else None


def imported() -> set[str]:
    """Top modules that the four packages import, wherever."""
    found = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES)


def test_the_page_has_every_direct_dependency_once_and_no_other():
    assert len(rows()) == len(ROWS)
    assert set(ROWS) == direct()


def test_the_page_has_the_versions_that_are_pinned():
    versions = pinned()
    assert {name: row[1] for name, row in ROWS.items()} == {name: versions.get(name) for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_the_page_says_the_licence_that_the_package_says(name):
    own = spdx(name)
    assert own is None or ROWS[name][2] == own
    assert ROWS[name][2] and ROWS[name][4]
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])( \(\S+\))?", ROWS[name][3])


def test_most_licences_were_compared():
    assert sum(spdx(name) is not None for name in ROWS) >= 20


def test_every_import_is_a_direct_dependency():
    homes = packages_distributions()
    lacking = {
        module
        for module in imported() - ALTERNATIVES
        if not {normal(name) for name in homes.get(module, [module])} & set(ROWS)
    }
    assert lacking == set()
