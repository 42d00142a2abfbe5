"""Several devices at once: one worker a device, and one queue of work that a lost device gives its part back to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mnas.errors import DeviceError, MnasError

Task = TypeVar("Task")
Found = TypeVar("Found")
Worker = TypeVar("Worker")

_MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """A member that left before the work was done.

    Attributes:
        name: Of the member.
        error: Why.
    """

    name: str
    error: MnasError


@dataclass(slots=True)
class Report(Generic[Task, Found]):
    """What a team made of its work.

    Attributes:
        results: Task -> what was found, and the name of the member that found it.
        failed: Task -> why it has no result though members were there for it.
        left: Tasks that nobody was left for.
        lost: Members that left, in order.
    """

    results: dict[Task, tuple[Found, str]] = field(default_factory=dict)
    failed: dict[Task, str] = field(default_factory=dict)
    left: list[Task] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)


class Team(Generic[Task, Worker, Found]):
    """Members that share a queue of tasks; each opens its own device, in a thread of its own.

    A member that is lost (a `DeviceError`) gives its task back, at its old place, and the others go on. A task that was
    under way at the loss of several members is given up: it may be what takes them down.

    Args:
        members: Name -> opens the member's device, e.g. ``lambda: AdbDevice(spec)``; it is closed at the end.
        work: Does one task on a device, as if it were alone.
        on_loss: Told of a member that is lost, by its own thread, at once.
    """

    def __init__(
        self,
        members: Mapping[str, Callable[[], Worker]],
        work: Callable[[Worker, Task], Found],
        on_loss: Callable[[str, DeviceError], None] = lambda *_: None,
    ) -> None:
        self._members, self._work, self._on_loss = dict(members), work, on_loss
        self._lock = threading.Condition()
        self._queue: deque[tuple[int, Task]] = deque()
        self._losses: dict[int, int] = {}
        self._under_way = 0
        self._is_stopped = False
        self._failure: BaseException | None = None
        self._report: Report[Task, Found] = Report()

    @property
    def is_stopped(self) -> bool:
        """Whether the run is over or being given up; work that takes long looks here now and then and ends early."""
        return self._is_stopped

    def run(self, tasks: Sequence[Task]) -> Report[Task, Found]:
        """Do all tasks and return the results; it returns when all are done or no member is left.

        An error of the work that is no `DeviceError` ends the whole run and is raised, and so does an interruption,
        once every member has closed its device.

        Args:
            tasks: No two alike.
        """
        self._queue = deque(enumerate(tasks))
        self._losses, self._under_way, self._is_stopped, self._failure = {}, 0, False, None
        self._report = Report()
        threads = [
            threading.Thread(target=self._serve, args=(name, opens), name=f"member {name}")
            for name, opens in self._members.items()
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if self._failure is not None:
            raise self._failure
        self._report.left = [task for _, task in sorted(self._queue, key=lambda one: one[0])]
        return self._report

    def _stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            self._lock.notify_all()

    def _serve(self, name: str, opens: Callable[[], Worker]) -> None:
        device: Any = None
        try:
            device = opens()
            while (taken := self._take()) is not None:
                self._do(name, device, *taken)
        except DeviceError as error:
            with self._lock:
                self._report.lost.append(Lost(name, error))
                self._on_loss(name, error)
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            self._stop()
        finally:
            if device is not None:
                device.close()

    def _take(self) -> tuple[int, Task] | None:
        """Wait for a task; ``None`` when there is none and none can come back."""
        with self._lock:
            while not self._queue and self._under_way and not self._is_stopped:
                self._lock.wait()
            if self._is_stopped or not self._queue:
                return None
            self._under_way += 1
            return self._queue.popleft()

    def _do(self, name: str, device: Worker, place: int, task: Task) -> None:
        try:
            found = self._work(device, task)
        except DeviceError as error:
            self._give_back(place, task, error)
            raise
        except BaseException:
            self._end_task()
            raise
        with self._lock:
            self._report.results[task] = (found, name)
        self._end_task()

    def _give_back(self, place: int, task: Task, error: DeviceError) -> None:
        with self._lock:
            self._losses[place] = self._losses.get(place, 0) + 1
            if self._losses[place] >= _MOST_TRIES:
                words = f"{_MOST_TRIES} devices were lost while it was under way, the last by: {error.what}"
                self._report.failed[task] = words
            else:
                self._queue.appendleft((place, task))
        self._end_task()

    def _end_task(self) -> None:
        with self._lock:
            self._under_way -= 1
            self._lock.notify_all()
