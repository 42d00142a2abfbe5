"""Launches that gave no number and are made again: which, how often, and the results in the order asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devices.adb.intake import Job, Launched
from devices.adb.launches import result_of
from devices.runners.dialect import RunnerDialect

REPEATS_PER_JOB = 2


class Doubtful:
    """Which launches are worth another try.

    A crash or an odd output may be the phone's fault and not the model's: free memory, a program that was in the way.
    A launch that hung is not made again, for each costs a whole deadline; nor one that took the phone down. A model
    whose repeats were all in vain gets none any more until a launch of it succeeds.

    Args:
        dialect: Of the runner.
    """

    def __init__(self, dialect: RunnerDialect) -> None:
        self._dialect = dialect
        self._hopeless: set[str] = set()

    def is_worth_repeating(self, launched: Launched, repeats: int) -> bool:
        """Say whether a launch is to be made again, and remember of its model what this one says.

        Args:
            launched: It counts, as far as the phone goes.
            repeats: How often it was made again by now.
        """
        ended, job = launched.ended, launched.job
        model = job.request.model_path
        if ended is None or ended.is_hung(job.deadline_s):
            return False
        # What a profile gives is read elsewhere: of onnxruntime's tool it has no runs.
        is_profile = job.request.per_op and ended.rc == 0
        if is_profile or not result_of(launched, self._dialect).error:
            self._hopeless.discard(model)
            return False
        if repeats >= REPEATS_PER_JOB:
            self._hopeless.add(model)
        return model not in self._hopeless


class Sequel:
    """The results of jobs, given out in order while some of them are made again.

    Args:
        jobs: In the order asked for.
        doubtful: Which of them are made again.

    Attributes:
        repeated: Launches that are made again, by now.
    """

    def __init__(self, jobs: Sequence[Job], doubtful: Doubtful) -> None:
        self._jobs, self._doubtful = jobs, doubtful
        self._known: dict[int, Launched] = {}
        self._repeats: dict[int, int] = {}
        self._turn = list(range(len(jobs)))
        self._taken = 0
        self._failed: list[int] = []
        self._open: set[int] = set()
        self._given = 0
        self.repeated = 0

    def next_jobs(self) -> list[Job]:
        """Return the jobs of the next turn, in order: first all, then those that failed; none when all is done."""
        if self._taken:
            self._turn, self._failed, self._taken = self._failed, [], 0
        return [self._jobs[place] for place in self._turn]

    def take(self, launched: Launched) -> Iterator[Launched]:
        """Take the result of the turn's next job and give out what is settled up to the first that is not."""
        place = self._turn[self._taken]
        self._taken += 1
        self._known[place] = launched
        if self._doubtful.is_worth_repeating(launched, self._repeats.get(place, 0)):
            self._repeats[place] = self._repeats.get(place, 0) + 1
            self._failed.append(place)
            self._open.add(place)
            self.repeated += 1
        else:
            self._open.discard(place)
        while self._given in self._known and self._given not in self._open:
            yield self._known.pop(self._given)
            self._given += 1

    def rest(self) -> Iterator[Launched]:
        """Give out what is known and was held back, up to the first of which nothing is known: nothing follows."""
        while self._given in self._known:
            yield self._known.pop(self._given)
            self._given += 1
