"""Accuracy of a latency table on the ``imagenet`` preset at one resolution, random weights, this machine.

Builds the table (every block that the space reaches, embedded), calibrates it on a few whole networks and predicts
others that it has never seen, all measured in the same run, beside the constant and a line through MACs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from _result import write_result

from latency.on_device import COMPONENTS, OnDevice, lut_settings
from latency.plan import LutPlan
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="host:ort")
    parser.add_argument("--px", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--mode", choices=("accurate", "fast"), default="accurate")
    parser.add_argument("--calibration", type=int, default=12)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()

    settings = lut_settings(options.mode, options.rounds, options.calibration, options.networks)
    plan = LutPlan(open_space("mobilenetv3", "imagenet", (options.px,)), settings)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder) / FILE_NAME, COMPONENTS) as store, OnDevice(options.device, store) as device:
            table = device.build_table(plan, lambda what, done, total: None)
            rows = store.query("SELECT measured_ms, low_ms, high_ms FROM lut_network WHERE purpose = 'validation'")
    seconds = time.perf_counter() - started
    widths = [(row["high_ms"] - row["low_ms"]) / 2 / row["measured_ms"] for row in rows]
    figures: dict[str, object] = {
        "segments": len(table.entries),
        "probes": len(plan.probes),
        "build_s": seconds,
        "build_ms_per_segment": 1000 * seconds / len(table.entries),
        "calibration": table.calibration.to_json(),
        "measured_ms_least": min(row["measured_ms"] for row in rows),
        "measured_ms_greatest": max(row["measured_ms"] for row in rows),
        "measured_interval_half_width_mean": sum(widths) / len(widths),
    }
    assert table.validation is not None
    for name in ("table", "plain_sum", "constant", "macs_linear"):
        errors = getattr(table.validation, name)
        for metric in ("mape", "within_5", "within_10", "bias", "kendall_tau"):
            figures[f"{name}_{metric}"] = getattr(errors, metric)
    targets = {"table_mape": ("<=", 0.03), "table_kendall_tau": (">=", 0.9)}
    return int(not write_result("lut_demo", figures, targets, [settings.seed], options.json))


if __name__ == "__main__":
    sys.exit(main())
