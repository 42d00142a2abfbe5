"""docs/write_api.py: a page for each module, with the names that packages give on request."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_module_has_a_page(optional_package, tmp_path):
    optional_package("pdoc")
    command = [sys.executable, str(ROOT / "docs" / "write_api.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.html")}
    packages = ("mnas", "devices", "latency", "search")
    modules = [path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py")]
    wanted = {path.with_suffix("").as_posix().removesuffix("/__init__") for path in modules}
    wanted = {one for one in wanted if not one.startswith(("mnas/cli", "mnas/__main__"))}
    lacking = {name.replace(".", "/") for name in re.findall(r"left out: (\S+):", done.stderr)}
    assert wanted - lacking <= pages
    assert len(lacking) <= 3, "only what an extra is needed for is left out"
    assert not any(page.startswith("mnas/cli") for page in pages)
    assert "BenchReport" in (tmp_path / "search" / "api" / "bench.html").read_text(encoding="utf-8")
