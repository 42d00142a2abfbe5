"""What becomes of the events of one batch: which launches count, which are to be made again, in the order asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from devices.adb.batch import Watch
from devices.adb.batch_events import BatchEvent, Done, Ended, Heat, Reading, Stopped, Strays, Unpinned
from devices.adb.parsers.thermal import Thermal, parse_thermal
from devices.runners.launch import LaunchRequest


@dataclass(frozen=True, slots=True)
class Job:
    """One launch that is wanted.

    Attributes:
        request: What it shall do.
        deadline_s: Whole seconds after which it is killed.
        output_files: Pattern for the files that it writes and that are wanted, or "".
    """

    request: LaunchRequest
    deadline_s: int
    output_files: str = ""


@dataclass(frozen=True, slots=True)
class Launched:
    """A launch that counts, whatever came of it.

    Attributes:
        job: What was asked for.
        ended: How it ended; ``None`` when it never did.
        error: Why it never ended, or "".
        is_hot: It counts although the phone throttled, because there was no time left to wait for it.
        is_unread: It counts although the thermal service, which is there, did not say how hot the phone was.
    """

    job: Job
    ended: Ended | None
    error: str = ""
    is_hot: bool = False
    is_unread: bool = False


@dataclass(slots=True)
class Rejected:
    """How many launches were thrown away, by reason; they are made again."""

    hot: int = 0
    unread: int = 0
    capped: int = 0
    unpinned: int = 0
    failed: int = 0

    def add(self, other: Rejected) -> None:
        """Add the counts of another."""
        self.hot += other.hot
        self.unread += other.unread
        self.capped += other.capped
        self.unpinned += other.unpinned
        self.failed += other.failed


class Intake:
    """Takes the events of one batch and gives the launches that count.

    A launch counts once the thermal service has said afterwards that the phone does not throttle; until then it is
    held. Where the phone has no such service it counts at once. A service that gives no answer says nothing of heat:
    the launch is made again, or counts and is marked where the batch does not insist.

    Args:
        queue: Jobs that are left, the batch's first; one that counts is taken off.
        cpu_mask: That the launches must have had, or "".
        watch: Of the batch.

    Attributes:
        rejected: Launches that do not count.
        stopped: Why the script ended early, or "".
        unpinned: Why the batch did not run at all.
        strays: Processes that the batch left.
        thermal: The last word of the thermal service.
        is_unread: That word was none, or was set by a test command.
        is_done: The script came to its end.
        lowest_khz: Lowest clock of the pinned cores that was read right after a launch.
    """

    def __init__(self, queue: deque[Job], cpu_mask: str, watch: Watch) -> None:
        self._queue, self._cpu_mask, self._watch = queue, cpu_mask, watch
        self._held: list[Launched] = []
        self._next = 0
        self.rejected = Rejected()
        self.stopped = ""
        self.unpinned: Unpinned | None = None
        self.strays: tuple[int, ...] = ()
        self.thermal: Thermal | None = None
        self.is_unread = False
        self.is_done = False
        self.lowest_khz: int | None = None

    def take(self, event: BatchEvent) -> list[Launched]:
        """Take an event and return the launches that count by now, in order."""
        if isinstance(event, Ended):
            return self._end(event)
        if isinstance(event, Heat):
            thermal = parse_thermal(event.text, "")
            self.is_unread = not is_heat_told(thermal)
            if not self.is_unread:
                self.thermal = thermal
            return self._judge(is_throttling(thermal), self.is_unread)
        if isinstance(event, Stopped):
            # The first one says why: heat is asked for once more after it, and may give a reason of its own.
            self.stopped = self.stopped or event.reason
        elif isinstance(event, Unpinned):
            self.unpinned = event
        elif isinstance(event, Strays):
            self.strays = event.pids
        elif isinstance(event, Done):
            self.is_done = True
        return []

    def settle(self, is_hot: bool, is_unread: bool = False) -> list[Launched]:
        """Return the launches that were held when the link broke, judged by how hot the phone is found to be.

        Args:
            is_hot: It throttles.
            is_unread: It does not say.
        """
        return self._judge(is_hot, is_unread)

    @property
    def is_waiting(self) -> bool:
        """Launches are held."""
        return bool(self._held)

    @property
    def next_job(self) -> Job | None:
        """The job whose launch did not end yet."""
        return self._queue[len(self._held)] if len(self._held) < len(self._queue) else None

    def _end(self, event: Ended) -> list[Launched]:
        # After a gap nothing counts any more: what follows it is made again, in its place.
        if event.index != self._next:
            return []
        if self._cpu_mask and event.mask != self._cpu_mask:
            self.rejected.unpinned += 1
            return []
        is_capped = self._is_capped(event.before) or self._is_capped(event.after)
        if is_capped and self._watch.stops:
            self.rejected.capped += 1
            return []
        self._note_clock(event.after)
        self._next += 1
        self._held.append(Launched(self._queue[len(self._held)], event, is_hot=is_capped))
        return [] if self._watch.reads_heat else self._judge(False)

    def _judge(self, is_hot: bool, is_unread: bool = False) -> list[Launched]:
        held, self._held = self._held, []
        if is_hot and self._watch.stops:
            self.rejected.hot += len(held)
            return []
        if is_unread and self._watch.insists:
            self.rejected.unread += len(held)
            return []
        for _ in held:
            self._queue.popleft()
        return [replace(one, is_hot=one.is_hot or is_hot, is_unread=is_unread) for one in held]

    def _is_capped(self, reading: Reading) -> bool:
        pairs = zip(reading.caps_khz, self._watch.caps_khz, strict=False)
        return any(now is not None and now < before for now, before in pairs)

    def _note_clock(self, reading: Reading) -> None:
        known = [khz for khz in (self.lowest_khz, *reading.clocks_khz) if khz is not None]
        self.lowest_khz = min(known, default=None)


def is_heat_told(thermal: Thermal | None) -> bool:
    """Say whether a phone tells how hot it is: a status that a test command set does not."""
    return thermal is not None and thermal.status is not None and not thermal.is_override


def is_throttling(thermal: Thermal | None) -> bool:
    """Say whether a phone says that it throttles; a status that a test command set says nothing."""
    return thermal is not None and bool(thermal.status) and not thermal.is_override
