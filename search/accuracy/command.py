"""Accuracy by a user's own trainer: a command that is given architecture.json and prints what it found."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.architecture import Architecture
from mnas.errors import ConfigError, TrainingError
from mnas.jsonio import canonical_json, sha256_bytes, sha256_json, shown
from mnas.seeding import derive_seed
from search.accuracy import command_guard
from search.accuracy.estimator import AccuracyEstimate
from search.executors.executor import Job, Outcome

PLACE, SEED = "{architecture}", "{seed}"
KEYS = ("accuracy", "std", "cost_s")
_TAIL = 400
_MOST_OUTPUT = 1 << 20


@dataclass(frozen=True, slots=True)
class CommandJob:
    """One call of the user's command.

    Attributes:
        architecture_json: Canonical form of the network.
        argv: The command's words, places unfilled.
        timeout_s: Wall seconds after which it is ended, with all that it started.
        seed: What ``{seed}`` stands for.
    """

    architecture_json: dict[str, Any]
    argv: tuple[str, ...]
    timeout_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What came of a call.

    Attributes:
        accuracy: 0..1; 0 after a failure.
        std: Of the accuracy, where the command told one.
        cost_s: What the command told, else the seconds that it took.
        error_message: Why there is no accuracy; empty after success.
    """

    accuracy: float = 0.0
    std: float | None = None
    cost_s: float = 0.0
    error_message: str = ""


def run_command(job: CommandJob) -> CommandOutcome:
    """Call the command; whatever it does wrong is an outcome that says so.

    The command runs in a process group of its own: when time is out, or when this process dies, the group is killed.
    Its output goes to files, so that a child that keeps the output open cannot hold anything up.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mnas-command-") as folder:
        architecture = Path(folder) / "architecture.json"
        architecture.write_text(canonical_json(job.architecture_json) + "\n", encoding="utf-8")
        filled = {PLACE: str(architecture), SEED: str(job.seed)}
        argv = [_filled(word, filled) for word in job.argv]
        status, output, errors = _call(argv, job.timeout_s, Path(folder))
    seconds = time.monotonic() - started
    if status == command_guard.TIMED_OUT and seconds >= job.timeout_s:
        return CommandOutcome(cost_s=seconds, error_message=f"it took longer than {job.timeout_s:g} s and was ended")
    if status != 0:
        return CommandOutcome(cost_s=seconds, error_message=f"it ended with exit status {status}; {_said(errors)}")
    try:
        return read_answer(output, seconds)
    except ValueError as failure:
        return CommandOutcome(cost_s=seconds, error_message=f"{failure}; {_said(errors)}")


def _filled(word: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def _call(argv: Sequence[str], timeout_s: float, folder: Path) -> tuple[int, str, str]:
    """Return exit status, the end of stdout and the end of stderr."""
    guarded = [sys.executable, "-I", command_guard.__file__, str(os.getpid()), str(timeout_s), *argv]
    paths = folder / "stdout", folder / "stderr"
    with paths[0].open("wb") as stdout, paths[1].open("wb") as stderr:
        guard = subprocess.Popen(guarded, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            status = guard.wait()
        finally:
            if guard.poll() is None:
                guard.terminate()
                guard.wait()
    return status, _end_of(paths[0]), _end_of(paths[1])


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MOST_OUTPUT))
        return file.read().decode("utf-8", errors="replace")


def _said(errors: str) -> str:
    tail = " ".join(errors.split())[-_TAIL:]
    return f"on stderr it said: {tail}" if tail else "it said nothing on stderr"


def read_answer(output: str, seconds: float) -> CommandOutcome:
    """Read the last line of a command's output that is not empty: a JSON object.

    ``accuracy`` is a number 0..1 and must be there; ``std`` (0..1, or null) and ``cost_s`` (0 or more) may be. Other
    keys, other types, percentages, infinities and NaN are refused.

    Args:
        output: Everything that the command wrote to stdout.
        seconds: What it took, for a command that does not tell its cost.

    Raises:
        ValueError: It is not that; the message says what is wrong.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines:
        raise ValueError("it printed nothing")
    try:
        value = json.loads(lines[-1], parse_constant=_refuse_constant)
    except ValueError as failure:
        raise ValueError(f"its last line is no JSON ({failure}): {shown(lines[-1])}") from failure
    if not isinstance(value, dict) or "accuracy" not in value:
        raise ValueError(f"its last line holds no object with accuracy: {shown(lines[-1])}")
    if unknown := set(value) - set(KEYS):
        raise ValueError(f"its answer has unknown keys {sorted(unknown)}; known are {', '.join(KEYS)}")
    accuracy = _number(value, "accuracy", 1.0)
    std = None if value.get("std") is None else _number(value, "std", 1.0)
    cost_s = seconds if value.get("cost_s") is None else _number(value, "cost_s", math.inf)
    return CommandOutcome(accuracy, std, cost_s)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _number(value: dict[str, Any], key: str, most: float) -> float:
    found = value[key]
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= most or math.isinf(found):
        limits = "0..1" if most == 1 else "0 or more"
        raise ValueError(f"its {key} is no number {limits}: {shown(found)}")
    return float(found)


@dataclass(frozen=True, slots=True)
class CommandEstimator:
    """Estimates by the user's own trainer.

    Attributes:
        command: Its words, quoted as for a shell; none is used to start it.
        study_seed: The study's seed.
        timeout_s: Wall seconds for one network.
    """

    command: str
    study_seed: int
    timeout_s: float = 3600.0

    @property
    def name(self) -> str:
        """What the estimate's ``source`` says."""
        return "command"

    @property
    def fidelity(self) -> str:
        """A hash of the command and of the files that it names, so that another script is another fidelity."""
        return f"sha256:{sha256_json([self.command, [_hash_of(word) for word in self.argv]])[:12]}"

    @property
    def argv(self) -> tuple[str, ...]:
        """The command's words, places unfilled.

        Raises:
            ConfigError: ``CFG51``: they cannot be told apart, or hold no ``{architecture}``.
        """
        try:
            words = tuple(shlex.split(self.command))
        except ValueError as failure:
            raise _refused(self.command, str(failure)) from failure
        if not any(PLACE in word for word in words[1:]):
            raise _refused(self.command, f"{PLACE} stands in none of its arguments, so it would train nothing")
        return words

    def require_command(self) -> None:
        """Check that the command is there.

        Raises:
            ConfigError: ``CFG51``: it is not, or it is no command.
        """
        if shutil.which(self.argv[0]) is None:
            raise _refused(self.command, f"there is no program {self.argv[0]} that can be run")

    def _seed(self, architecture: Architecture) -> int:
        return derive_seed(self.study_seed, "command", architecture.arch_id, self.command)

    def jobs(self, architecture: Architecture) -> tuple[Job, ...]:
        """Return the one call of the command."""
        job = CommandJob(architecture.to_json(), self.argv, self.timeout_s, self._seed(architecture))
        return (Job(run_command, (job,)),)

    def estimate(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> AccuracyEstimate:
        """Return what the command told.

        ``loss`` is ``-log(accuracy)``, cut at 1e-6: the command tells none.

        Raises:
            TrainingError: ``TRN15``: the command failed, hung or printed something else.
        """
        (outcome,) = outcomes
        found = outcome.value
        if not isinstance(found, CommandOutcome):
            found = CommandOutcome(error_message=outcome.error_message or f"its job returned {type(found).__name__}")
        if found.error_message:
            raise TrainingError(
                "TRN15",
                "the accuracy command gave no accuracy",
                value=architecture.arch_id[:12],
                why=found.error_message,
                fix="run the command by hand on this network: mnas arch show tells its architecture.json",
            )
        return AccuracyEstimate(
            error=1 - found.accuracy,
            loss=-math.log(max(found.accuracy, 1e-6)),
            split="command",
            images=1,
            repeats=1,
            std=found.std,
            cost_s=found.cost_s,
            fidelity=self.fidelity,
            seeds=(self._seed(architecture),),
            source=self.name,
        )


def _hash_of(word: str) -> str | None:
    try:
        return sha256_bytes(Path(word).read_bytes()) if Path(word).is_file() else None
    except OSError:
        return None


def _refused(command: str, why: str) -> ConfigError:
    return ConfigError(
        "CFG51",
        "the accuracy command cannot be used",
        value=command,
        why=why,
        fix=f"give a command such as --accuracy-cmd 'python train.py {PLACE}'",
    )
