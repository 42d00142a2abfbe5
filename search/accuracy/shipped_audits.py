"""Verdicts of audits that come with the tool, of the spaces and data that its examples use.

What networks are worth does not depend on the machine that trains them, so an audit that was made once speaks for every
machine with the same space, data and schedules. Each is the ``audit`` of ``mnas accuracy audit --format json``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from search.accuracy.audit_log import Audited

_FOLDER = "audits"


def shipped_verdicts() -> list[dict[str, Any]]:
    """Return every verdict that comes with the tool, marked as such."""
    folder = files("search.accuracy").joinpath(_FOLDER)
    if not folder.is_dir():
        return []
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".json")), key=lambda one: one.name)
    return [{**json.loads(one.read_text(encoding="utf-8")), "is_shipped": True} for one in found]


def shipped_verdict(asked: Audited) -> dict[str, Any] | None:
    """Return the verdict that comes with the tool and speaks for a search, or None."""
    return next((one for one in shipped_verdicts() if asked.is_of(one)), None)
