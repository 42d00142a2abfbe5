"""Tells the standard library's logging how a study gets on: warnings are seen unless they are turned off."""

from __future__ import annotations

import logging


class LogReporter:
    """Lines and progress of level INFO, warnings of level WARNING.

    Args:
        logger: Name of the logger; ``logging.basicConfig(level="INFO")`` shows all of it.
    """

    def __init__(self, logger: str = "mnas.study") -> None:
        self._logger = logging.getLogger(logger)

    def line(self, text: str) -> None:
        """Say something once."""
        self._logger.info(text)

    def warn(self, text: str) -> None:
        """Say something that a person must not miss."""
        self._logger.warning(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """Say when a part is done; the steps before are of level DEBUG."""
        self._logger.log(logging.INFO if done >= total else logging.DEBUG, "%s: %d/%d", what, done, total)
