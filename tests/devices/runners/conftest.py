from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runner_programs import elf_bytes

MakeElf = Callable[..., Path]


@pytest.fixture
def make_elf(tmp_path: Path) -> MakeElf:
    """Write a program: ``make_elf("name", abi=...)``."""

    def make(name: str = "benchmark_model", **options: object) -> Path:
        path = tmp_path / name
        path.write_bytes(elf_bytes(**options))  # type: ignore[arg-type]
        return path

    return make
