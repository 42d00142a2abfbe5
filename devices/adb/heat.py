"""Keeping a phone cool while it measures: when to wait, for how long in all, and what was thrown away for heat."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from devices.adb.cooling import INTERVAL_S, TARGET_C, Cooling, HeatReading, wait_until_cool
from devices.adb.intake import Intake, Launched, Rejected, is_throttling
from devices.adb.link import AdbLink
from devices.adb.parsers.thermal import Thermal

_REST_S = 5.0
"""Rest after a cap that comes back though the phone says that it is cool, and after a thermal service that gave no
answer, which may be starting anew; longer each time.
"""

_UNREAD_TRIES = 3
"""Batches in a row that end without a word on heat; after them the thermal service counts as broken."""


@dataclass(frozen=True, slots=True)
class HeatLimits:
    """When a phone counts as hot.

    Attributes:
        cool_c: Cooled down at or below.
        hot_c: Skin or battery at or above this is cooled down before the next batch, even when nothing throttles.
        budget_s: Seconds of waiting in all. Beyond it launches of a hot phone count, and are counted.
        interval_s: Seconds between two questions while it cools down.
    """

    cool_c: float = TARGET_C
    hot_c: float = 43.0
    budget_s: float = 300.0
    interval_s: float = INTERVAL_S


@dataclass(frozen=True, slots=True)
class Rejections:
    """What heat, heat that was not told, lost pins and launches without a number cost.

    Attributes:
        hot: Launches thrown away because the thermal status rose; they were made again.
        unread: Launches thrown away because the thermal service gave no answer; they were made again.
        capped: Launches thrown away because a clock was capped; they were made again.
        unpinned: Launches thrown away because they did not keep their cores; they were made again.
        failed: Launches thrown away because they crashed or said nothing that can be read; they were made again.
        kept_hot: Launches that count although the phone throttled: the budget for waiting was used up.
        kept_unread: Launches that count although the thermal service gave no answer again and again.
        cool_downs: How often it was waited.
        waited_s: Seconds of waiting in all.
    """

    hot: int = 0
    unread: int = 0
    capped: int = 0
    unpinned: int = 0
    failed: int = 0
    kept_hot: int = 0
    kept_unread: int = 0
    cool_downs: int = 0
    waited_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


class HeatKeeper:
    """Watches one phone's heat over a session.

    Args:
        limits: When it counts as hot.
        tell: Told of each reading while it cools down.
        clock: Seconds on a clock that only runs forward.
        sleep: Waits.
    """

    def __init__(
        self,
        limits: HeatLimits | None = None,
        *,
        tell: Callable[[HeatReading], None] = lambda reading: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limits = limits or HeatLimits()
        self._tell, self._clock, self._sleep = tell, clock, sleep
        self._rejected = Rejected()
        self._kept_hot = self._kept_unread = self._cool_downs = 0
        self._waited_s = 0.0
        self._caps_in_a_row = self._unread_in_a_row = 0
        self.last_cooling: Cooling | None = None

    @property
    def is_patient(self) -> bool:
        """There are seconds left to wait."""
        return self._waited_s < self.limits.budget_s

    @property
    def insists(self) -> bool:
        """Launches of which the heat cannot be read are still made again."""
        return self._unread_in_a_row < _UNREAD_TRIES

    @property
    def rejections(self) -> Rejections:
        """What it cost by now."""
        lost = self._rejected
        return Rejections(
            hot=lost.hot,
            unread=lost.unread,
            capped=lost.capped,
            unpinned=lost.unpinned,
            failed=lost.failed,
            kept_hot=self._kept_hot,
            kept_unread=self._kept_unread,
            cool_downs=self._cool_downs,
            waited_s=round(self._waited_s, 1),
        )

    def note_kept(self, launched: Launched) -> None:
        """Count a launch that counts although the phone throttled, or did not say whether it does."""
        self._kept_hot += launched.is_hot
        self._kept_unread += launched.is_unread

    def note_failed(self, count: int) -> None:
        """Count launches that gave no number and are made again."""
        self._rejected.failed += count

    def after(self, intake: Intake) -> bool:
        """Take stock of a batch that is over and say whether the phone must cool down, or rest, before the next."""
        self._rejected.add(intake.rejected)
        self._unread_in_a_row = self._unread_in_a_row + 1 if intake.is_unread else 0
        is_capped = intake.stopped == "capped"
        self._caps_in_a_row = self._caps_in_a_row + 1 if is_capped else 0
        is_untold = intake.is_unread and self.insists
        return is_capped or is_untold or intake.stopped == "hot" or self.is_hot(intake.thermal)

    def is_hot(self, thermal: Thermal | None) -> bool:
        """Say whether a reading asks for a cool-down."""
        if thermal is None:
            return False
        sensors = (thermal.hottest("skin"), thermal.hottest("battery"))
        is_warm = any(one is not None and one.value_c >= self.limits.hot_c for one in sensors)
        return is_throttling(thermal) or is_warm

    def cool(self, link: AdbLink) -> None:
        """Wait until a phone is cool, or until the budget is used up.

        Raises:
            DeviceError: The link is lost.
        """
        left_s = self.limits.budget_s - self._waited_s
        if left_s <= 0:
            return
        self._cool_downs += 1
        began = self._clock()
        try:
            self.last_cooling = wait_until_cool(
                link,
                target_c=self.limits.cool_c,
                bound_s=left_s,
                interval_s=self.limits.interval_s,
                clock=self._clock,
                sleep=self._sleep,
                tell=self._tell,
            )
            in_a_row = max(self._caps_in_a_row - 1, self._unread_in_a_row)
            rest_s = min(_REST_S * in_a_row, left_s) - (self._clock() - began)
            if rest_s > 0:
                self._sleep(rest_s)
        finally:
            self._waited_s += self._clock() - began
