"""Takes the picture of a study's report that README shows: its chart, with a network pointed at.

python docs/take_picture.py mnas-out/reports/STUDY.html docs/front.png
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 1160, 900
MOST_HIGH = 556
_FRAME = """const box = document.querySelector('.board').getBoundingClientRect();
    return [box.left + window.scrollX, box.top + window.scrollY, box.width, box.height];"""


def take(page: Path, picture: Path) -> None:
    """Write a PNG of the chart of a report, with the panel of its first network.

    Args:
        page: The report.
        picture: The file.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.fetch import find_browser
    from browser.fixtures import OpenPage, start

    with tempfile.TemporaryDirectory(prefix="mnas-picture-") as profile:
        driver = start(find_browser(), Path(profile))
        try:
            opened = OpenPage(driver).open(page, size=(WIDTH, HEIGHT))
            opened.run("document.querySelector('.front').closest('[tabindex]').focus()")
            for _ in range(3):
                opened.press("\ue014")  # the right arrow
            x, y, width, height = opened.run(_FRAME)
            clip = {"x": x - 8, "y": y - 8, "width": width + 16, "height": min(height + 16, MOST_HIGH), "scale": 1}
            found = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
            picture.write_bytes(base64.b64decode(found["data"]))
        finally:
            driver.quit()


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
