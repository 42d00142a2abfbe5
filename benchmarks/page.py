"""How large and how quick the page of a study of 2,000 candidates is, in a headless Chromium.

The study is made up, with one device and two objectives, and again with two devices and five objectives. While a
pointer is moved over the chart, and while it drags a brush over it, the time from frame to frame is read in the page
itself; beside it stands that of the same page at rest. Painted without a GPU.

    python benchmarks/page.py --json benchmarks/results/page.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _result import ROOT, write_result

CANDIDATES, MOVES = 2000, 120
TARGETS = {
    "one_device_page_mb": ("<=", 2.0),
    "two_devices_page_mb": ("<=", 2.0),
    "one_device_pointing_frame_ms_p95": ("<=", 50.0),
    "one_device_brushing_frame_ms_p95": ("<=", 100.0),
}
STUDIES: dict[str, dict[str, Any]] = {
    "one_device": {},
    "two_devices": {"objectives": "error,latency,params,macs,peak_memory", "other_devices": ("host:litert",)},
}
_FRAMES = """const [how, moves, done] = arguments, chart = document.querySelector('.chart svg');
    chart.scrollIntoView({block: 'center'});
    const box = chart.getBoundingClientRect(), times = [];
    const send = (name, share) => chart.dispatchEvent(new PointerEvent(name, {bubbles: true, pointerId: 1, button: 0,
        clientX: box.left + (0.15 + 0.7 * share) * box.width,
        clientY: box.top + (0.5 + 0.3 * Math.sin(9 * share)) * box.height}));
    chart.setPointerCapture = () => {};
    if (how === 'brushing') send('pointerdown', 0);
    let count = 0, last = performance.now();
    const frame = now => {
        if (count) times.push(now - last);
        last = now;
        if (++count > moves) { if (how === 'brushing') send('pointerup', 1); return done(times); }
        if (how !== 'rest') send('pointermove', count / moves);
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);"""


def figures_of(folder: Path) -> dict[str, Any]:
    """Write each study's page, open it and read its frames."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.fetch import find_browser
    from browser.fixtures import OpenPage, start
    from recorded_study import RecordedStudy

    from mnas.cli.study_report import write_report
    from search.study import open_store

    driver, found = start(find_browser(), folder / "profile"), dict[str, Any]()
    driver.set_script_timeout(120)
    try:
        for name, keys in STUDIES.items():
            made = RecordedStudy(folder / name, candidates=CANDIDATES, preset="imagenet", population=20, **keys)
            with open_store(made.out) as store:
                page = write_report(store, made.result(), made.out)
            found |= {f"{name}_candidates": len(made.candidates), f"{name}_page_mb": page.stat().st_size / 1e6}
            opened = OpenPage(driver).open(page)
            for how in ("rest", "pointing", "brushing"):
                times = driver.execute_async_script(_FRAMES, how, MOVES)
                found[f"{name}_{how}_frame_ms_median"] = float(np.median(times))
                found[f"{name}_{how}_frame_ms_p95"] = float(np.quantile(times, 0.95))
            opened.check()
    finally:
        driver.quit()
    return found


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnas-page-") as folder:
        figures = figures_of(Path(folder))
    return int(not write_result("page", figures, TARGETS, [0], options.json))


if __name__ == "__main__":
    sys.exit(main())
