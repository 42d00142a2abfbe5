"""A headless Chromium for tests of pages; where there is none they are skipped, and the summary says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.fetch import Browser, BrowserUnavailable, find_browser

_SKIPPED = "NO BROWSER"


@pytest.fixture(scope="session")
def chromium() -> Browser:
    """A Chromium that starts; downloaded where the machine has none."""
    pytest.importorskip("selenium", reason=f"{_SKIPPED}: selenium is not installed: pip install 'mnas[dev]'")
    try:
        return find_browser()
    except BrowserUnavailable as reason:
        pytest.skip(f"{_SKIPPED}: {reason}")


@pytest.fixture(scope="session")
def driver(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A started browser that the whole session shares."""
    browser = start(chromium, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


def start(chromium: Browser, profile: Path) -> Any:
    """Start a browser with a profile of its own, which tells of every request and complaint; the caller quits it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium.binary)
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1280,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(str(chromium.driver), env=chromium.environment())
    return webdriver.Chrome(options=options, service=service)


class OpenPage:
    """A page in the browser.

    Args:
        driver: The browser.

    Attributes:
        driver: The browser.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self._path: Path | None = None
        self._requests: list[str] = []

    def open(self, path: Path, *, size: tuple[int, int] = (1280, 900)) -> OpenPage:
        """Open a file in a window of some size, px; what was said of pages before is forgotten."""
        width, height = size
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get("about:blank")
        self.complaints()
        self.requests()
        self._path, self._requests = path, []
        self.driver.get(path.absolute().as_uri())
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script gives."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        """Return every element of a selector."""
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        """Return the first element of a selector."""
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """Return the text of the first element of a selector."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        """Return the text of every element of a selector."""
        return list(
            self.run("return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)
        )

    def cells(self, selector: str) -> list[list[str]]:
        """Return the texts of the cells of every row of a selector."""
        texts = "[...row.cells].map(cell => cell.textContent)"
        script = f"return [...document.querySelectorAll(arguments[0])].map(row => {texts})"
        return [list(row) for row in self.run(script, selector)]

    def choose(self, selector: str, value: str) -> None:
        """Choose the option of a list whose value, or else the beginning of whose text, is given."""
        script = """const pick = document.querySelector(arguments[0]), options = [...pick.options];
            const found = options.find(one => one.value === arguments[1]);
            pick.value = (found || options.find(one => one.text.startsWith(arguments[1]))).value;
            pick.dispatchEvent(new Event("change"));"""
        self.run(script, selector, value)
        self.settle()

    def chosen(self, selector: str) -> str:
        """Return the text of what is chosen of a list."""
        return str(self.run("return document.querySelector(arguments[0]).selectedOptions[0].text", selector))

    def settle(self) -> None:
        """Wait until two frames are painted, so that what a frame puts off is done."""
        frames = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        self.driver.execute_async_script(frames)

    def move(self, x: float, y: float, *, drag_to: tuple[float, float] | None = None, click: bool = False) -> None:
        """Point at a place of the window, px; click there, or drag from there."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions = ActionBuilder(self.driver, duration=20)
        actions.pointer_action.move_to_location(round(x), round(y))
        if click:
            actions.pointer_action.click()
        if drag_to:
            end_x, end_y = drag_to
            actions.pointer_action.pointer_down()
            actions.pointer_action.move_to_location(round((x + end_x) / 2), round((y + end_y) / 2))
            actions.pointer_action.move_to_location(round(end_x), round(end_y))
            actions.pointer_action.pointer_up()
        actions.perform()
        self.settle()

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()
        self.settle()

    def middle(self, selector: str) -> tuple[float, float]:
        """Return the middle of the first element of a selector in the window, px, scrolled to where it can be seen."""
        script = """const one = document.querySelector(arguments[0]);
            if (one.closest(".chart")) one.closest(".chart").scrollIntoView({block: "center"});
            else one.scrollIntoView({block: "center"});
            const box = one.getBoundingClientRect();
            return [box.left + box.width / 2, box.top + box.height / 2];"""
        x, y = self.run(script, selector)
        return float(x), float(y)

    def complaints(self) -> list[str]:
        """Return warnings and errors of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """Return the address of every request since the page was opened."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                found = message["params"]
                self._requests.append(str(found.get("request", found)["url"]))
        return self._requests

    def check(self) -> None:
        """Fail where the console complained, or where anything but the page itself was asked for."""
        assert self.complaints() == []
        assert self._path is not None
        assert [one for one in self.requests() if one != self._path.absolute().as_uri()] == []


@pytest.fixture
def page(driver: Any) -> Iterator[OpenPage]:
    """A page of the browser; at its end nothing may have been complained of or asked for."""
    opened = OpenPage(driver)
    yield opened
    opened.check()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were skipped for want of a browser, which ``-q`` would pass over."""
    skipped = [report for report in terminalreporter.getreports("skipped") if _SKIPPED in str(report.longrepr)]
    if skipped:
        reason = str(skipped[0].longrepr).partition(f"{_SKIPPED}: ")[2].rstrip("')\"")
        terminalreporter.write_line(f"WARNING: {len(skipped)} tests did not run: {reason}", yellow=True, bold=True)
