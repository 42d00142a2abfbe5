"""A batch while it runs: its script started on the phone, its events as they come, silence noticed."""

from __future__ import annotations

from collections.abc import Iterator

from devices.adb.batch import Batch
from devices.adb.batch_events import BatchEvent, BatchReader
from devices.adb.batch_script import write_script
from devices.adb.link import AdbLink, Completed, ShellStream

_KEPT_BYTES = 1 << 16


class BatchStream:
    """Runs a batch in one shell and gives its events.

    Args:
        link: To the phone.
        batch: The batch.
        silence_s: Seconds without a line after which the link is given up, beyond the deadline of a launch under way.

    Raises:
        PhoneLost: It did not start.
        DeviceError: It did not start.
    """

    def __init__(self, link: AdbLink, batch: Batch, *, silence_s: float) -> None:
        self._batch, self._silence_s = batch, silence_s
        self._reader = BatchReader(batch.marker, batch.file_limit_bytes)
        self._stream: ShellStream = link.stream(
            write_script(batch), deadline_s=silence_s, limit_bytes=_KEPT_BYTES, token=batch.token
        )

    def __iter__(self) -> Iterator[BatchEvent]:
        self._stream.renew(self._silence_s)
        for line in self._stream:
            yield from self._reader.feed(line)
            under_way = self._reader.under_way
            launch_s = 0 if under_way is None else self._batch.launches[under_way].deadline_s
            self._stream.renew(launch_s + self._silence_s)

    @property
    def is_under_way(self) -> bool:
        """A launch has begun, as far as its phone was heard, and not ended."""
        return self._reader.under_way is not None

    @property
    def completed(self) -> Completed:
        """How the shell ended; to be asked once there are no more events."""
        assert self._stream.completed is not None
        return self._stream.completed

    @property
    def why_lost(self) -> str:
        """Why the link counts as lost, "" when the shell told its exit code."""
        completed = self.completed
        if completed.ended == "lost":
            return completed.detail or "the link broke"
        return f"no word from the phone for {self._silence_s:g} s" if completed.ended == "deadline" else ""

    def leave(self) -> bool:
        """Close the link if the shell still runs, and say whether it did."""
        was_running = self._stream.completed is None
        self._stream.close()
        return was_running
