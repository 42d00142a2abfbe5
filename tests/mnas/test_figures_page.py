"""docs/figures.md: what the benchmarks' results say, and nothing else."""

from __future__ import annotations

import json

import pytest
from docs_scripts import DOCS, load_script

SCRIPT = load_script("write_figures")


def test_the_page_is_what_the_results_say():
    now = SCRIPT.page()
    assert (DOCS / "figures.md").read_text(encoding="utf-8") == now, "run docs/write_figures.py"
    results = [json.loads(path.read_text(encoding="utf-8")) for path in SCRIPT.RESULTS.glob("*.json")]
    missed = sum(not met for result in results for met in result["met"].values())
    assert now.count("| **missed** |") == missed and now.count("| met |") > missed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.01235"), (12345.6, "12,346"), (100000, "100,000"), (1.0, "1"), (None, "None"), (True, "True")],
)
def test_figures_have_four_digits(value, text):
    assert SCRIPT.text_of(value) == text


def test_a_figure_that_is_lacking_and_a_tree_with_changes_are_told():
    result = {
        "name": "mutation",
        "command": "c",
        "code_commit": "0123456789",
        "dirty": True,
        "started_at_utc": "2026-11-30T00:00:00",
        "machine": {"cpu": "X", "cores": 2},
        "figures": {"rows": [1], "beside": 3},
        "targets": {"a": {"op": "<=", "value": 1}},
        "met": {"a": False},
    }
    text = "\n".join(SCRIPT.section("mutation", result))
    assert "| a | None | <= 1 | **missed** |" in text and "held changes" in text and "Beside them: beside 3." in text
