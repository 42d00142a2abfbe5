"""From the rows of ``lut_accuracy.py`` to its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from latency.validation import errors_of

_Z90 = 1.644854
_ERRORS = ("mape", "within_5", "within_10", "bias", "kendall_tau", "spearman")


class RowsOf(Protocol):
    """Where rows are found."""

    def of(self, part: str, kind: str) -> list[dict[str, Any]]:
        """Return the rows of one kind of a part, in order."""


def figures_of(part: str, rows: RowsOf) -> dict[str, Any]:
    """Return the figures of a part, each under its name."""
    found: dict[str, Any] = {}
    first = rows.of(part, "first")[-1]
    for build in rows.of(part, "build")[-2:]:
        found[f"{build['mode']}_build_ms_per_block"] = 1000 * build["build_s"] / build["entries"]
        found[f"{build['mode']}_build_s"], found["entries"] = build["build_s"], build["entries"]
        found[f"{build['mode']}_calibration"] = build["calibration"]
        if "calibration_s" in build:
            found["device_calibration_s"] = build["calibration_s"]
    for mode in ("accurate", "fast"):
        prefix = "" if mode == "accurate" else "fast_"
        for group in ("random", "front"):
            pairs = _pairs(first, first["predicted"][mode], first[group])
            label = prefix + ("front_" if group == "front" else "")
            errors = errors_of([one["ms"] for one, _ in pairs], [ms for _, ms in pairs])
            found |= {f"{label}{name}": getattr(errors, name) for name in _ERRORS}
    found["front_bias_size"] = abs(found["front_bias"])
    found |= _baselines(first)
    found["session_verdict"] = first["verdict"]
    networks = [one for one in first["networks"].values() if one["ms"]]
    halves = [(one["interval_ms"][1] - one["interval_ms"][0]) / 2 / one["ms"] for one in networks]
    found["measured_half_width"] = float(np.mean(halves))
    tables = [first["predicted"]["accurate"], *(row["predicted"] for row in rows.of(part, "rebuild"))]
    sessions = [first, *rows.of(part, "session")]
    found |= _coverage(tables, sessions, first["random"])
    found |= _every_pair(tables, sessions, first["random"])
    found |= _rebuilds(first, rows.of(part, "rebuild"))
    for row in rows.of(part, "transfer"):
        learned, plain = (errors_of(row[name], row["measured_ms"]) for name in ("predicted_ms", "prior_ms"))
        label = "transfer" if row["networks"] == 20 else f"transfer_of_{row['networks']}"
        found |= {f"{label}_kendall_tau": learned.kendall_tau, f"{label}_mape": learned.mape}
        found["transfer_prior_kendall_tau"] = plain.kendall_tau
    return {f"{part}_{name}": value for name, value in found.items()}


def _pairs(row: dict[str, Any], predicted: dict[str, Any], names: Sequence[str]) -> list[tuple[dict[str, Any], float]]:
    return [(predicted[one], row["networks"][one]["ms"]) for one in names if row["networks"][one]["ms"]]


def _baselines(first: dict[str, Any]) -> dict[str, float]:
    """Return the errors of a constant, a line through MACs and a scaled sum, each leaving one network out."""
    pairs = _pairs(first, first["predicted"]["accurate"], first["random"])
    measured = np.array([ms for _, ms in pairs])
    macs = np.array([float(one["macs"]) for one, _ in pairs])
    sums = np.array([one["sum_ms"] for one, _ in pairs])
    ones = np.ones_like(macs)
    designs = {"constant": ones[:, None], "macs_linear": np.stack([macs, ones], 1), "scaled_sum": sums[:, None]}
    found = {}
    for name, columns in designs.items():
        said = []
        for place in range(len(measured)):
            kept = np.arange(len(measured)) != place
            fit, *_ = np.linalg.lstsq(columns[kept] / measured[kept, None], ones[kept], rcond=None)
            said.append(float(columns[place] @ fit))
        errors = errors_of(said, measured.tolist())
        found |= {f"{name}_mape": errors.mape, f"{name}_kendall_tau": errors.kendall_tau}
    plain = errors_of(sums.tolist(), measured.tolist())
    return found | {"plain_sum_mape": plain.mape, "plain_sum_kendall_tau": plain.kendall_tau}


def _coverage(
    tables: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Return how often the 90 % intervals of each table hold what each session measured of the random networks."""
    shares, widths = [], []
    for predicted in tables:
        pairs = [pair for session in sessions for pair in _pairs(session, predicted, names)]
        shares.append(float(np.mean([abs(one["ms"] - ms) <= _Z90 * one["sd_ms"] for one, ms in pairs])))
        widths += [2 * _Z90 * one["sd_ms"] / one["ms"] for one, _ in pairs]
    share = float(np.mean(shares))
    found = {"coverage_90": share, "coverage_90_least": share, "interval_90_width": float(np.mean(widths))}
    found |= {"coverage_pairs": len(widths), "coverage_sessions": len(sessions), "coverage_of_each_table": shares}
    if len(sessions) > 1:
        logs = np.log([[session["networks"][one]["ms"] or np.nan for one in names] for session in sessions])
        found["network_cv_over_sessions"] = float(np.nanmean(np.nanstd(logs, axis=0, ddof=1)))
    return found


def _every_pair(
    tables: Sequence[dict[str, Any]], sessions: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Return the errors of each table against each session: one table and one session may be lucky or not."""
    if len(tables) * len(sessions) < 2:
        return {}
    pairs = [_pairs(session, predicted, names) for predicted in tables for session in sessions]
    errors = [errors_of([one["ms"] for one, _ in pair], [ms for _, ms in pair]) for pair in pairs]
    mapes = [one.mape for one in errors]
    return {
        "mape_of_pairs": float(np.mean(mapes)),
        "mape_of_pairs_least": min(mapes),
        "mape_of_pairs_most": max(mapes),
        "bias_of_pairs": float(np.mean([one.bias for one in errors])),
        "within_5_of_pairs": float(np.mean([one.within_5 for one in errors])),
        "kendall_tau_of_pairs_least": min(one.kendall_tau for one in errors),
    }


def _rebuilds(first: dict[str, Any], rebuilds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how predictions differ between builds, as they are and with one common scale for each."""
    if not rebuilds:
        return {}
    tables = [first["predicted"]["accurate"], *(row["predicted"] for row in rebuilds)]
    logs = np.log([[table[one]["ms"] for one in first["random"]] for table in tables])
    scaled = logs - logs.mean(axis=1, keepdims=True)
    return {
        "rebuild_cv": float(logs.std(axis=0, ddof=1).mean()),
        "rebuild_cv_fresh_scale": float(scaled.std(axis=0, ddof=1).mean()),
        "builds": len(tables),
    }
