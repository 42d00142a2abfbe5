"""Which reference networks keep latency_ms the same from one session to the next.

Several processes, one after the other, each measure the same networks (small ones of the ``fashion`` preset, large
ones of ``imagenet``) in one session. Printed is the coefficient of variation over the processes of latency_ms with our
references (one nominal for all), of the q20 over the geometric mean of the cached references alone, of the streaming
ones alone, and of whole MobileNets at few pixels, and of the plain q20 and median.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _result import write_result

from devices.references import group_of
from latency.on_device import COMPONENTS, OnDevice
from latency.probes import write_network
from mnas.named_networks import named_network
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store

_SMALL, _LARGE = 6, 4
_MOBILENETS = (("mobilenetv3-small", 96), ("mobilenetv2", 64), ("mobilenetv3-large", 64))


def _session(device_spec: str, out: Path, seed: int) -> dict[str, list[float]]:
    """Return q20, median and latency_ms of every network of one session, and the q20 of the references."""
    rng = np.random.default_rng(0)
    fashion, imagenet = open_space("mobilenetv3", "fashion"), open_space("mobilenetv3", "imagenet", (160, 224))
    networks = {f"small{i}": fashion.decode(fashion.draw(rng)) for i in range(_SMALL)}
    networks |= {f"large{i}": imagenet.decode(imagenet.draw(rng)) for i in range(_LARGE)}
    networks |= {f"mobilenet:{name}": named_network(name, px) for name, px in _MOBILENETS}
    with Store(out / FILE_NAME, COMPONENTS) as store, OnDevice(device_spec, store) as device:
        artifacts = {name: write_network(one, out, device.model_format) for name, one in networks.items()}
        session = device.measure(artifacts, seed=seed)
    found = {
        name: [*np.quantile(one.samples_ms, (0.2, 0.5)), one.ms or float("nan")]
        for name, one in session.networks.items()
    }
    return found | {f"{group_of(name)}:{name}": [ms, ms, ms] for name, ms in session.about["reference_ms"].items()}


def _cv(sessions: list[dict[str, list[float]]], prefix: str, references: str, column: int = 0) -> float:
    """Return the mean over networks of the CV over sessions, as a fraction."""
    names = [name for name in sessions[0] if name.startswith(prefix)]
    scale = np.array([_level(session, references) for session in sessions])
    values = [np.log([session[name][column] for session in sessions]) - scale for name in names]
    return float(np.mean([value.std(ddof=1) for value in values]))


def _level(session: dict[str, list[float]], references: str) -> float:
    chosen = [np.log(values[0]) for name, values in session.items() if references and name.startswith(references)]
    return float(np.mean(chosen)) if chosen else 0.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="host:ort")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--session", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    if options.session >= 0:
        print(json.dumps(_session(options.device, options.out, options.session)))
        return
    sessions = []
    with tempfile.TemporaryDirectory() as out:
        for number in range(options.processes):
            # One store for all, so that they share their nominals.
            command = [sys.executable, __file__, "--device", options.device, "--session", str(number), "--out", out]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            sessions.append(json.loads(done.stdout.splitlines()[-1]))
    figures: dict[str, object] = {"processes": len(sessions)}
    for prefix in ("small", "large"):
        figures[f"{prefix}_cv_latency_ms"] = _cv(sessions, prefix, "", 2)
        figures[f"{prefix}_cv_cached_references"] = _cv(sessions, prefix, "cached:")
        figures[f"{prefix}_cv_streaming_references"] = _cv(sessions, prefix, "streaming:")
        figures[f"{prefix}_cv_mobilenet_references"] = _cv(sessions, prefix, "mobilenet:")
        figures[f"{prefix}_cv_plain_q20"] = _cv(sessions, prefix, "")
        figures[f"{prefix}_cv_plain_median"] = _cv(sessions, prefix, "", 1)
    figures["cached_references_own_cv"] = _cv(sessions, "cached:", "")
    figures["streaming_references_own_cv"] = _cv(sessions, "streaming:", "")
    figures["mobilenet_references_own_cv"] = _cv(sessions, "mobilenet:", "")
    write_result("references", figures, {}, [0], options.json)


if __name__ == "__main__":
    main()
