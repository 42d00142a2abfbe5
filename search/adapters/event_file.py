"""A file of TensorBoard's events, written by whoever tells of them: a full disk is an error here and at once.

tensorboardX's own writer has a thread of its own for that, which a full disk ends; what is told afterwards waits
without end for a place in its queue.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from mnas.optional import optional_package

_VERSION = "brain.Event:2"
_FLUSH_S = 10.0
"""What has been written is shown so much later at most; each flush waits for the disk."""


class EventFile:
    """A new file in a folder, which hides what earlier files there say.

    Args:
        folder: Of one run; made if it is not there.

    Raises:
        PackageError: ``PKG01``: tensorboardX is not installed.
        OSError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._event = optional_package("tensorboardX.proto.event_pb2", "a log for TensorBoard", "tensorboard")
        self._summary = optional_package("tensorboardX.summary", "a log for TensorBoard", "tensorboard")
        records = optional_package("tensorboardX.record_writer", "a log for TensorBoard", "tensorboard")
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._records, self._flushed = records.RecordWriter(str(folder / name)), time.monotonic()
        start = self._event.SessionLog(status=self._event.SessionLog.START)
        for event in (
            self._event.Event(wall_time=time.time(), file_version=_VERSION),
            self._event.Event(wall_time=time.time(), step=0, session_log=start),
        ):
            self._records.write(event.SerializeToString())

    def scalar(self, name: str, value: float, step: int, at_s: float) -> None:
        """Write a number.

        Args:
            name: Of the series.
            value: Finite.
            step: Its place in the series.
            at_s: When it was found, Unix time.

        Raises:
            OSError: The disk is full, or gone.
        """
        self._write(self._summary.scalar(name, value), step, at_s)

    def text(self, name: str, text: str, step: int, at_s: float) -> None:
        """Write a text in Markdown; see `scalar`.

        Raises:
            OSError: The disk is full, or gone.
        """
        self._write(self._summary.text(name, text), step, at_s)

    def close(self) -> None:
        """Write what is left; the file is closed also when that fails.

        Raises:
            OSError: The disk is full, or gone.
        """
        self._records.close()

    def _write(self, summary: object, step: int, at_s: float) -> None:
        event = self._event.Event(wall_time=at_s, step=step, summary=summary)
        self._records.write(event.SerializeToString())
        if time.monotonic() - self._flushed >= _FLUSH_S:
            self._records.flush()
            self._flushed = time.monotonic()
