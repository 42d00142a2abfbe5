"""Writes docs/figures.md: what the benchmarks measured, with the targets, commits and machines, from their own results.

    python docs/write_figures.py

A test holds the page to ``benchmarks/results/*.json``, so that no figure is told by hand.
"""

from __future__ import annotations

import ast
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "figures.md"
_HEAD = """\
# What was measured

Written by `docs/write_figures.py` from `benchmarks/results/*.json`; a test holds the page to them. Every script prints
its figures beside a baseline of the same run, says what it does in its first lines, and can be run again by the command
that stands here. Commits are of the code that was measured: later code may do otherwise. A target that was missed says
so. All on virtual machines with 2 cores; what says *simulated* ran on a software phone, nothing on a physical one.
"""


def text_of(value: object) -> str:
    """Return a figure with four significant digits, or what stands for it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def claim_of(name: str) -> str:
    """Return the first sentence of a benchmark's docstring."""
    path = ROOT / "benchmarks" / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) < 60


def section(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one result."""
    machine, figures, targets = result["machine"], result["figures"], result["targets"]
    yield f"## {name}"
    yield ""
    yield claim_of(result["name"])
    yield ""
    state = "; the working tree held changes" if result["dirty"] else ""
    load = machine.get("load_average_at_start")
    told = f", load {load[0]:.1f}" if load else ""
    yield f"`{result['command']}`, {result['started_at_utc'][:10]}, commit `{result['code_commit'][:7]}`{state};"
    yield f"{machine['cpu']}, {machine['cores']} cores{told}."
    yield ""
    if targets:
        yield "| figure | seen | target | |"
        yield "|---|---|---|---|"
        for key, target in targets.items():
            met = "met" if result["met"][key] else "**missed**"
            yield f"| {key} | {text_of(figures.get(key))} | {target['op']} {text_of(target['value'])} | {met} |"
        yield ""
    others = [f"{key} {text_of(value)}" for key, value in figures.items() if key not in targets and _is_plain(value)]
    if others:
        yield "Beside them: " + "; ".join(others) + "."
        yield ""


def page() -> str:
    """Return the page."""
    lines = [_HEAD]
    for path in sorted(RESULTS.glob("*.json")):
        lines += section(path.stem, json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE, file=sys.stderr)
