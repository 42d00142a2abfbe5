"""What the rows of ``phone_overhead.py`` say, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BATCHES = (10, 100, 300)
"""Launches of the batches that are timed; the claim is for those of 100."""


def overhead_figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the harness adds to launches and to staging, beside the adb client's ways."""

    def median(values: Sequence[float]) -> float:
        return float(np.median(values))

    def over(name: str) -> list[float]:
        return [row["staging_s"] / row[name] for row in rows]

    added = {
        count: [row["batches"][str(count)]["wall_ms_per_launch"] - row["own_ms"] for row in rows] for count in BATCHES
    }
    trips = {count: max(row["batches"][str(count)]["round_trips"] for row in rows) for count in BATCHES}
    naive = [row["naive_wall_ms_per_launch"] - row["own_ms"] for row in rows]
    return {
        "harness_ms_per_launch": median(added[100]),
        "harness_ms_per_launch_worst": max(added[100]),
        **{f"harness_ms_per_launch_in_batches_of_{count}": median(added[count]) for count in BATCHES if count != 100},
        "naive_ms_per_launch": median(naive),
        "runner_own_ms_per_launch": median([row["own_ms"] for row in rows]),
        "staging_over_push": median(over("push_s")),
        "staging_over_push_worst": max(over("push_s")),
        "staging_over_plain_push": median(over("plain_push_s")),
        "staging_megabytes": rows[0]["megabytes"],
        **{
            name: median([row[name] for row in rows])
            for name in ("staging_s", "push_s", "plain_push_s", "sha256sum_s", "naive_push_s", "opening_s")
        },
        "staging_round_trips": max(row["staging_round_trips"] for row in rows),
        **{f"round_trips_of_batch_of_{count}": trips[count] for count in BATCHES},
        "round_trips_of_largest_batch": trips[max(BATCHES)],
        "overhead_repeats": len(rows),
    }


def cut_figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what became of launches and phones under cuts, over all campaigns."""

    def total(name: str) -> int:
        return sum(len(row[name]) if isinstance(row[name], list) else row[name] for row in rows)

    return {
        "cuts_campaigns": len(rows),
        "cuts_made": total("cuts"),
        "cuts_made_while_staging": total("staging_cuts"),
        "cuts_fewest_in_a_campaign": min(row["cuts"] for row in rows),
        "cuts_launches": total("launches"),
        "cuts_valid": total("valid"),
        "cuts_share_valid": total("valid") / total("launches"),
        "cuts_missing": total("missing"),
        "cuts_twice": total("twice"),
        "cuts_losses_noticed": total("losses_noticed"),
        "cuts_left_on_phone": total("stray_processes") + total("stray_files") + total("settings_left"),
        "cuts_last_at_share_of_launches": min(row["last_cut_at_share_of_launches"] for row in rows),
        "cuts_seconds_per_campaign": float(np.mean([row["seconds"] for row in rows])),
    }


def first_figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how long a first number takes beyond the runs that it is made of."""

    def values(name: str) -> list[float]:
        return [row[name] for row in rows]

    return {
        "first_number_beyond_run_s": float(np.median(values("beyond_run_s"))),
        "first_number_beyond_run_worst_s": max(values("beyond_run_s")),
        "first_number_total_s": float(np.median(values("total_s"))),
        "first_number_session_s": float(np.median(values("session_s"))),
        "first_number_session_without_visits_s": float(np.median(values("session_without_visits_s"))),
        "first_number_calibration_visits_s": float(np.median(values("calibration_visits_s"))),
        "first_number_repeats": len(rows),
    }
