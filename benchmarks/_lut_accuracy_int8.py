"""The part of `lut_accuracy.py` on int8: a table of int8 blocks on LiteRT, judged on whole int8 networks.

One process calibrates the device, builds the table embedded (accurate) and measures random networks of the
part of float32, written as int8 with the ranges of white noise, in one session. Its figures stand beside those of
float32; a constant and the plain sum of int8 entries stand beside it, and so does float32's own table, scaled: what one
would do without an int8 table.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _lut_accuracy_figures import RowsOf

from devices.calibration import ready_harness
from devices.protocol import protocol_for
from latency.on_device import OnDevice, lut_settings
from latency.plan import LutPlan
from latency.probes import write_network
from latency.validation import errors_of
from mnas.architecture import Architecture
from mnas.space import SearchSpace
from mnas.store import Store

KIND = "int8"
SUFFIX = "int8"
"""A part of that name ending is measured here."""

_ROUNDS = 8
_Z90 = 1.644854
_ERRORS = ("mape", "within_5", "within_10", "bias", "kendall_tau", "spearman")


def int8_rows(
    store: Store, spec: str, space: SearchSpace, networks: Sequence[Architecture], seed: int
) -> list[dict[str, Any]]:
    """Build the table of int8 blocks and measure the networks; one row of `KIND`."""
    with OnDevice(spec, store) as device:
        with tempfile.TemporaryDirectory() as folder:
            ready_harness(device._device, store, Path(folder), protocol_for("host"), rng=np.random.default_rng(0))
        started = time.perf_counter()
        plan = LutPlan(space, lut_settings("accurate", device=spec), "int8")
        table = device.build_table(plan, lambda what, done, total: None, anew=True)
        build_s = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            files = {
                one.arch_id: write_network(one, Path(folder), device.model_format, table.dtype) for one in networks
            }
            session = device.measure(files, seed=seed, rounds=_ROUNDS)
    estimates = zip(networks, table.estimate(networks), strict=True)
    return [
        {
            "kind": KIND,
            "lut_id": table.lut_id,
            "dtype": table.dtype,
            "build_s": build_s,
            "entries": len(table.entries),
            "calibration": table.calibration.to_json(),
            "validation": table.validation.to_json() if table.validation else None,
            "verdict": session.about["verdict"],
            "predicted": {
                one.arch_id: {"ms": found.ms, "sd_ms": found.sd_ms, "sum_ms": table.plain_sum_ms(one)}
                for one, found in estimates
            },
            "measured_ms": {key: one.ms for key, one in session.networks.items()},
        }
    ]


def int8_figures(part: str, rows: RowsOf) -> dict[str, Any]:
    """Return the figures of an int8 part, with those of the float32 part of the same device where that was measured."""
    row = rows.of(part, KIND)[-1]
    measured = {name: ms for name, ms in row["measured_ms"].items() if ms}
    predicted = [row["predicted"][name] for name in measured]
    ms = list(measured.values())
    errors = errors_of([one["ms"] for one in predicted], ms)
    found: dict[str, Any] = {name: getattr(errors, name) for name in _ERRORS}
    found |= {"networks": len(ms), "entries": row["entries"], "session_verdict": row["verdict"]}
    found["accurate_build_ms_per_block"] = 1000 * row["build_s"] / row["entries"]
    inside = [abs(one["ms"] - seen) <= _Z90 * one["sd_ms"] for one, seen in zip(predicted, ms, strict=True)]
    found["coverage_90"] = float(np.mean(inside))
    found |= _beside("constant", [float(np.median(ms))] * len(ms), ms)
    found |= _beside("plain_sum", [one["sum_ms"] for one in predicted], ms)
    found |= _beside_float32(measured, rows.of(part.removesuffix(SUFFIX), "first"))
    return {f"{part}_{name}": value for name, value in found.items()}


def _beside(name: str, predicted: Sequence[float], ms: Sequence[float]) -> dict[str, float]:
    errors = errors_of(list(predicted), list(ms))
    return {f"{name}_mape": errors.mape, f"{name}_kendall_tau": errors.kendall_tau}


def _beside_float32(measured: dict[str, float], first: list[dict[str, Any]]) -> dict[str, float]:
    """Return float32's own errors, what its table says of int8 networks, and how much faster these are."""
    if not first:
        return {}
    row = first[-1]
    names = [name for name in row["random"] if row["networks"][name]["ms"] and name in measured]
    float_ms = np.array([row["networks"][name]["ms"] for name in names])
    said = np.array([row["predicted"]["accurate"][name]["ms"] for name in names])
    ms = np.array([measured[name] for name in names])
    own = errors_of(said.tolist(), float_ms.tolist())
    scaled = said * float(np.median(ms / said))
    return {
        "float32_mape": own.mape,
        "float32_kendall_tau": own.kendall_tau,
        **_beside("float32_table_scaled", scaled.tolist(), ms.tolist()),
        "speedup_median": float(np.median(float_ms / ms)),
    }
