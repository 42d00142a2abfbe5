"""How whatever reads material of others is fuzzed: 500 cases each by default, 20,000 with the profile ``long``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

Test = TypeVar("Test", bound=Callable[..., None])
CASES = max(500, settings().max_examples)
LOADS = 300
"""Damaged models that a real runtime is given."""


def fuzzed(test: Test) -> Test:
    """Mark a test of a parser, above its ``@given``; ``make fuzz`` runs all of them."""
    more = settings(max_examples=CASES, suppress_health_check=[*HealthCheck])
    marked: Test = pytest.mark.fuzz(more(test))
    return marked
