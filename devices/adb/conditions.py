"""A phone's conditions as a session asks for them: often, so that they are read from the phone only now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from devices.adb.held import HeldPhone
from devices.adb.probe import quick_conditions
from mnas.errors import DeviceError

_FRESH_S = 2.0


class ConditionsReader:
    """Reads the cheap part of a phone's state.

    Args:
        phone: Held.
        clock: Seconds on a clock that only runs forward.
    """

    def __init__(self, phone: HeldPhone, clock: Callable[[], float] = time.monotonic) -> None:
        self._phone, self._clock = phone, clock
        self._read_at_s = -_FRESH_S
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """Return it, at most two seconds old; of a phone that does not answer only that.

        It raises nothing and waits for nobody: a lost phone is for whoever runs something on it.
        """
        if self._clock() - self._read_at_s < _FRESH_S:
            return dict(self._last)
        fixed: dict[str, Any] = {"simulated": True} if self._phone.facts.is_simulated else {}
        try:
            found = quick_conditions(self._phone.link)
            is_unread = self._phone.has_thermal_service and "thermal_status" not in found
            self._last = {**fixed, **found, **({"thermal_status_unread": True} if is_unread else {})}
            self._read_at_s = self._clock()
        except DeviceError as error:
            return {**fixed, "unreadable": error.what}
        return dict(self._last)
