"""What ``benchmark_model`` and LiteRT's newer tool say of the delegate: it took the graph, parts of it or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from devices.runners.launch import Extent

_APPLIED = re.compile(
    r"^(?:Explicitly a|A)pplied (.+?) delegate"
    r"(?:, and the model graph will be (completely|partially) executed (?:by|w/) the delegate"
    r"(?: w/ (\d{1,18}) delegate kernels)?)?\.?$"
)
_REFUSED = re.compile(r"^Though (.+?) delegate is explicitly applied, the model graph will not be executed by the")
_REPLACED = re.compile(
    r"^Replacing (\d{1,18})(?: out of (\d{1,18}))? node\(s\) with delegate \((.+?)\) node,"
    r" yielding (\d{1,18}) partitions"
)
_IMPLICIT = "Created TensorFlow Lite XNNPACK delegate for CPU"
_UNSUPPORTED = re.compile(
    r"(?:GPU|NNAPI|Hexagon|XNNPACK) (?:acceleration|delegate) is unsupported on this platform", re.I
)


@dataclass(frozen=True, slots=True)
class Delegation:
    """What became of the delegate that was asked for.

    Attributes:
        extent: How much of the graph it took.
        is_told: Whether the output says so; else ``extent`` is the most that can be hoped for.
        partitions: Pieces of the graph that it runs, or ``None``.
        share: Nodes that it took and nodes that there were, or ``None``.
        complaint: What the tool says against it, or "".
    """

    extent: Extent
    is_told: bool
    partitions: int | None = None
    share: tuple[int, int] | None = None
    complaint: str = ""


def read_delegation(lines: Sequence[str], kind: str) -> Delegation:
    """Read what became of a delegate.

    Args:
        lines: As `devices.runners.statistics_lines.plain_lines` gives them.
        kind: ``xnnpack``, ``gpu``, ``nnapi`` or ``external``.
    """
    complaint = next((line for line in lines if _UNSUPPORTED.search(line)), "")
    refused = any((found := _REFUSED.match(line)) and found[1].lower() == kind for line in lines)
    if refused or complaint:
        return Delegation("none", True, 0, complaint=complaint)
    share = _replaced(lines, kind)
    told = [found for line in lines if (found := _APPLIED.match(line)) and found[1].lower() == kind]
    if told and told[-1][2]:
        whole = told[-1][2] == "completely"
        kernels = int(told[-1][3]) if told[-1][3] else (1 if whole else None)
        return Delegation("full" if whole else "partial", True, kernels, share and share[:2])
    if share is not None:
        taken, nodes, partitions = share
        extent: Extent = "none" if taken == 0 else "full" if taken == nodes else "partial"
        return Delegation(extent, True, partitions, (taken, nodes))
    if told or (kind == "xnnpack" and any(_IMPLICIT in line for line in lines)):
        return Delegation("full", False)
    return Delegation("none", False)


def applied_without_asking(lines: Sequence[str]) -> str:
    """Return the name of a delegate that took a part of the graph, or ""."""
    for line in lines:
        if _IMPLICIT in line:
            return "XNNPACK"
        if found := _APPLIED.match(line):
            return found[1]
        if (found := _REPLACED.match(line)) and int(found[1]):
            return found[3]
    return ""


def _replaced(lines: Sequence[str], kind: str) -> tuple[int, int, int] | None:
    """Return nodes taken, nodes and partitions over all subgraphs, each line once, or ``None`` without such lines."""
    found = [match for line in dict.fromkeys(lines) if (match := _REPLACED.match(line)) and match[2]]
    if kind == "external":
        mine = [match for match in found if not _is_named(match[3], "xnnpack")]
    else:
        mine = [match for match in found if _is_named(match[3], kind)]
        if kind == "gpu":
            mine = mine or [match for match in found if not _is_named(match[3], "xnnpack")]
    if not mine:
        return None
    taken, nodes, partitions = (sum(int(match[group]) for match in mine) for group in (1, 2, 4))
    return taken, nodes, partitions


def _is_named(name: str, kind: str) -> bool:
    return kind in name.lower()
