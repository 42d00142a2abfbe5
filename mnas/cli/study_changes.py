"""What measuring and long training changed, as part of a study's page and in a line below its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.report.page import Cell, Part, RowClass
    from search.result import StudyResult


def changes_note(result: StudyResult) -> str:
    """Return how many ranks changed and how many networks broke the target, or "" where nothing is measured."""
    from search.reranking import changes

    found = changes(result.members, result.goal.target_ms) if result.goal else []
    if not found:
        return ""
    slower = sum(one.predicted_rank != one.measured_rank for one in found)
    better = sum(one.ranked_rank != one.val_rank for one in found)
    broken = [one for one in found if one.is_violation]
    text = (
        f"of {len(found)} finalists, {slower} changed their rank by latency when measured and {better} by accuracy "
        f"when trained longer; {len(broken)} were predicted within the target and measured beyond it"
    )
    certain = sum(one.is_certain for one in broken)
    return text + (f", {certain} of them with their whole interval" if broken else "")


def changes_parts(result: StudyResult) -> list[Part]:
    """Return the table of ranks before and after."""
    from mnas.report.page import Table
    from search.reranking import changes

    found = changes(result.members, result.goal.target_ms) if result.goal else []
    if not found:
        return []
    rows: list[list[Cell]] = [
        [
            one.arch_id[:12],
            f"{one.predicted_rank} to {one.measured_rank}",
            f"{one.ranked_rank} to {one.val_rank}",
            one.excess,
            "certain" if one.is_certain else "within its interval" if one.is_violation else None,
        ]
        for one in found
    ]
    classes: list[RowClass] = ["bad" if one.is_certain else "warn" if one.is_violation else "" for one in found]
    columns = [
        "network",
        "rank by latency, predicted to measured",
        "rank by accuracy, short to long training",
        "measured over target",
        "violation",
    ]
    return [
        Table(
            columns,
            rows,
            align="lllrl",
            formats=["", "", "", "+.1%", ""],
            row_ids=[one.arch_id[:12] for one in found],
            row_classes=classes,
            caption="What measuring and longer training changed. A violation was predicted within the target.",
        )
    ]
