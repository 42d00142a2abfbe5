"""Launches on a phone, batch by batch, until each has one result: through lost links, heat and lost pins."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Generator, Iterator, Sequence

from devices.adb.batch import FILE_LIMIT_BYTES, Batch, Launch
from devices.adb.batch_stream import BatchStream
from devices.adb.failures import PhoneLost
from devices.adb.heat import HeatKeeper
from devices.adb.held import HeldPhone
from devices.adb.intake import Intake, Job, Launched, is_heat_told, is_throttling
from devices.adb.link import WORK_DIR
from devices.adb.pinning import watch_of
from devices.adb.repeats import Doubtful, Sequel
from devices.adb.runner_place import RunnerPlace
from devices.adb.states import PhoneState
from mnas.errors import DeviceError

_PIN_TRIES = 3
_KILLED_TRIES = 5
_RESTARTS_PER_JOB = 2
_LOSSES_PER_JOB = 10
_EXIT_FOLDER = 70


class Campaign:
    """Makes launches on a held phone.

    Args:
        phone: Held; it stays held.
        runner: On the phone.
        cpu_mask: Cores of every launch, or "".
        heat: Keeps the phone cool.
        silence_s: A link on which nothing comes for so long, though something should, counts as lost.

    Attributes:
        lowest_khz: Lowest clock of the pinned cores that was seen right after a launch that counts.
    """

    def __init__(
        self, phone: HeldPhone, runner: RunnerPlace, cpu_mask: str, heat: HeatKeeper, *, silence_s: float = 30.0
    ) -> None:
        self._phone, self._runner, self._cpu_mask, self._heat = phone, runner, cpu_mask, heat
        self._silence_s = silence_s
        self._pin_failures = self._kills = 0
        # A cap from before may come of heat, though nothing throttles by now; on a cool phone this costs one look.
        self._must_cool = heat.is_hot(phone.facts.thermal) or phone.is_capped
        self._restarts: dict[int, int] = {}
        self._losses: dict[int, int] = {}
        self._doubtful = Doubtful(runner.dialect)
        self.lowest_khz: int | None = None

    def run(self, jobs: Sequence[Job], *, file_limit_bytes: int = FILE_LIMIT_BYTES) -> Generator[Launched, None, None]:
        """Make launches and yield each once, in order, as soon as it counts; one that fails is made up to twice again.

        Raises:
            DeviceError: ``ADB62`` the phone stays away, ``ADB64`` the cores cannot be had, ``ADB65`` the script cannot
                run there, ``ADB66`` it is killed again and again; what the link and the phone raise.
        """
        sequel = Sequel(jobs, self._doubtful)
        try:
            while turn := deque(sequel.next_jobs()):
                for launched in self._turn(turn, file_limit_bytes):
                    known = sequel.repeated
                    yield from sequel.take(launched)
                    self._heat.note_failed(sequel.repeated - known)
        except DeviceError:
            yield from sequel.rest()
            raise
        finally:
            self._phone.tell(PhoneState.STAGED, "between two batches")

    def _turn(self, queue: deque[Job], file_limit_bytes: int) -> Iterator[Launched]:
        """Make launches, batch by batch, until each counts."""
        self._restarts.clear()
        self._losses.clear()
        while queue:
            if self._must_cool:
                self._cool()
            yield from self._attempt(queue, file_limit_bytes)

    def _cool(self) -> None:
        self._phone.tell(PhoneState.COOLING, "cooling down")
        self._phone.with_recovery(lambda: self._heat.cool(self._phone.link))
        self._phone.with_recovery(self._phone.refresh)
        self._must_cool = False

    def _attempt(self, queue: deque[Job], file_limit_bytes: int) -> Iterator[Launched]:
        batch = self._batch(queue, file_limit_bytes)
        self._phone.tell(PhoneState.RUNNING, f"running a batch of {len(queue)} launches")
        intake = Intake(queue, self._cpu_mask, batch.watch)
        stream, held, lost = None, list[Launched](), ""
        try:
            stream = BatchStream(self._phone.link, batch, silence_s=self._silence_s)
            for event in stream:
                held += self._counted(intake.take(event))
                if queue:  # the last ones wait for the shell's end, so that who takes them leaves nothing behind
                    while held:
                        yield held.pop(0)
            lost = stream.why_lost
            if not lost:
                self._phone.tell(PhoneState.COLLECTING, "ending a batch")
        except PhoneLost as error:
            lost = str(error)
        finally:
            # Interrupted before the stream was there, the shell may have started all the same.
            is_left = stream is None or stream.leave()
            if is_left and not lost:
                self._phone.kill_quietly(batch.token)
        try:
            if lost:
                held += self._recover(lost, batch, intake, queue, stream is not None and stream.is_under_way)
            else:
                self._close(batch, intake, stream)
        except DeviceError:
            yield from held
            raise
        self._must_cool = self._heat.after(intake) and self._heat.is_patient
        yield from held

    def _batch(self, queue: deque[Job], file_limit_bytes: int) -> Batch:
        token = secrets.token_hex(8)
        runner = self._runner
        launches = tuple(
            Launch(
                index,
                tuple(runner.dialect.command(runner.path, job.request)),
                job.deadline_s,
                job.output_files,
            )
            for index, job in enumerate(queue)
        )
        return Batch(
            token,
            f"{WORK_DIR}/batch/{token}",
            launches,
            self._cpu_mask,
            watch_of(
                self._phone.cool_facts,
                self._cpu_mask,
                reads_heat=self._phone.has_thermal_service,
                stops=self._heat.is_patient,
                insists=self._heat.insists,
            ),
            runner.library_path,
            file_limit_bytes=file_limit_bytes,
        )

    def _counted(self, launched: list[Launched]) -> list[Launched]:
        for one in launched:
            self._phone.recovery.progress()
            self._pin_failures = self._kills = 0
            self._heat.note_kept(one)
        return launched

    def _recover(
        self, lost: str, batch: Batch, intake: Intake, queue: deque[Job], was_under_way: bool
    ) -> list[Launched]:
        """Get the phone back; what was under way is made again, unless it takes the phone down each time.

        A link that broke before a launch was heard of says nothing against that launch.
        """
        is_new_boot = self._phone.recover(lost, batch.token)
        thermal = self._phone.facts.thermal
        is_unread = self._phone.has_thermal_service and not is_heat_told(thermal)
        held = self._counted(intake.settle(is_new_boot or is_throttling(thermal), is_unread))
        left = len(queue)
        restarts = self._restarts[left] = self._restarts.get(left, 0) + is_new_boot
        losses = self._losses[left] = self._losses.get(left, 0) + was_under_way
        if queue and restarts >= _RESTARTS_PER_JOB:
            words = f"the phone restarted {restarts} times while this model ran"
            held.append(Launched(queue.popleft(), None, words))
        elif queue and losses >= _LOSSES_PER_JOB:
            words = f"the link broke {losses} times while this model ran"
            held.append(Launched(queue.popleft(), None, words))
        return held

    def _close(self, batch: Batch, intake: Intake, stream: BatchStream | None) -> None:
        """Take stock of a batch whose shell came to its end."""
        known = [khz for khz in (self.lowest_khz, intake.lowest_khz) if khz is not None]
        self.lowest_khz = min(known, default=None)
        if intake.strays:
            self._phone.kill(batch.token)
        if intake.unpinned or intake.stopped == "unpinned":
            self._pin_failures += 1
            if self._pin_failures >= _PIN_TRIES:
                raise self._unpinned(intake)
        elif stream is not None and not intake.is_done:
            self._broken(batch, stream)

    def _unpinned(self, intake: Intake) -> DeviceError:
        seen = intake.unpinned
        why = "they were taken away while launches ran"
        if seen:
            why = f"the kernel gave the mask {seen.mask}; online are {seen.online}; taskset said: {seen.detail or '-'}"
        return DeviceError(
            "ADB64",
            "a program cannot be kept on the cores asked for",
            value=f"mask {self._cpu_mask}",
            why=why,
            fix="name cores that are online with cpus=, or let the phone cool down until it turns them on again",
        )

    def _broken(self, batch: Batch, stream: BatchStream) -> None:
        completed = stream.completed
        self._phone.kill(batch.token)
        if completed.ended == "signal":
            self._kills += 1
            if self._kills < _KILLED_TRIES:
                return
            raise DeviceError(
                "ADB66",
                f"the shell on the phone was killed {_KILLED_TRIES} times in a row",
                value=self._phone.link.serial,
                why=f"exit code {completed.rc}",
                fix="close other programs on the phone: it may be out of memory",
            )
        what = "the batch's folder cannot be made on the phone" if completed.rc == _EXIT_FOLDER else "the script ended"
        raise DeviceError(
            "ADB65",
            what,
            value=f"{batch.folder}: exit code {completed.rc}",
            why=" ".join(completed.stderr.split())[-300:],
            fix="look at the phone's free storage, then 'mnas devices clean'",
        )
