"""``mnas`` as its own process, with a stopwatch in it: ``python _timed_mnas.py FILE ARGUMENT ...``.

FILE gets the seconds spent in visits of a phone (waiting for their results included), by what they were made for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from devices import calibration
from devices.adb.device import AdbDevice
from devices.measurement import SampleEvent, Visit
from mnas.cli import main

_SPENT_S = {"calibration": 0.0, "calibration_visits": 0.0, "session_visits": 0.0}
_measure_nominals, _run = calibration.measure_nominals, AdbDevice.run
_purpose = ["session_visits"]


def _timed_run(self: AdbDevice, batch: Iterable[Visit]) -> Iterator[SampleEvent]:
    events = _run(self, batch)
    while True:
        started = time.perf_counter()
        event = next(events, None)
        _SPENT_S[_purpose[0]] += time.perf_counter() - started
        if event is None:
            return
        yield event


def _timed_calibration(*arguments: Any, **options: Any) -> Any:
    _purpose[0] = "calibration_visits"
    started = time.perf_counter()
    try:
        return _measure_nominals(*arguments, **options)
    finally:
        _purpose[0] = "session_visits"
        _SPENT_S["calibration"] += time.perf_counter() - started


if __name__ == "__main__":
    AdbDevice.run = _timed_run  # type: ignore[method-assign]
    calibration.measure_nominals = _timed_calibration
    status = main(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(_SPENT_S), encoding="utf-8")
    sys.exit(status)
