"""A study in a notebook or a script: run, gone on with, read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.config import StudyConfig, make_config, read_config_file
from mnas.output_folder import output_folder
from mnas.store import FILE_NAME, Store
from search.api.log_reporter import LogReporter
from search.api.rows import Rows, Tabular
from search.context import Reporter
from search.executors.executor import Executor, InProcessExecutor
from search.executors.processes import ProcessExecutor
from search.following import Follower, followed
from search.listing import study_lines
from search.resolve import resolve
from search.result import FrontMember, StudyResult, load_result
from search.schema import SEARCH
from search.study import Study as _Study
from search.study import open_store

_SHOWN_FRONT = ("network", "predicted_ms", "measured_ms", "low_ms", "high_ms", "val_error", "test_error", "recommended")
_SHOWN_CANDIDATES = ("number", "network", "generation", "predicted_ms", "error", "reward", "status")
_SHOWN_STUDIES = ("study_id", "created_at_utc", "kind", "algorithm", "seed", "status", "evaluations", "hypervolume")
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True, repr=False)
class Study(Tabular):
    """A study as far as it has come.

    Attributes:
        result: Everything that is known of it.
    """

    result: StudyResult

    @staticmethod
    def list(out: str | Path | None = None) -> Rows:
        """Return the studies of an output folder, newest first; those on tables of networks are among them.

        Args:
            out: The folder; else ``$MNAS_OUT``, else ``./mnas-out``.

        Raises:
            StoreError: ``STO06``: there is none yet.
        """
        folder = output_folder(out)
        with Store(folder / FILE_NAME, (SEARCH,), must_exist=True) as store:
            lines = study_lines(store)
        return Rows(tuple(line.to_json() for line in lines), f"studies in {folder}", shown=_SHOWN_STUDIES)

    @classmethod
    def open(cls, study_id: str = "", out: str | Path | None = None) -> Study:
        """Read a study; it may be unfinished.

        Args:
            study_id: Its id or the beginning of it; the newest search unless given.
            out: The output folder.

        Raises:
            StoreError: ``STO06``: nothing was searched into the folder yet.
            StudyError: ``STU01`` no such study, ``STU08`` it is on a table of networks.
        """
        with open_store(output_folder(out), must_exist=True) as store:
            return cls(load_result(store, study_id))

    @classmethod
    def run(
        cls,
        config: StudyConfig | Mapping[str, Any] | str | Path,
        out: str | Path | None = None,
        *,
        workers: int = 0,
        reporter: Reporter | None = None,
        followers: Sequence[Follower] = (),
    ) -> Study:
        """Search from the beginning to exports and test, and return the study.

        `resume` goes on after a kill. ``mnas report`` writes its page.

        Args:
            config: The configuration, its keys, or the path of a ``study.toml``.
            out: The output folder.
            workers: Training processes; 0 trains in this one, which needs no ``if __name__ == "__main__"``.
            reporter: Told how it gets on; the logger ``mnas.study`` unless given.
            followers: Take each event as it is recorded, e.g. `search.adapters.tensorboard_log.TensorBoardLog`.

        Raises:
            MnasError: What went wrong; what is recorded by then stays.
        """
        told = reporter or LogReporter()
        asked = resolve(_config(config), told)
        folder = output_folder(out)
        with open_store(folder) as store:
            return cls._driven(_Study.create(store, asked), folder, workers, told, followers)

    @classmethod
    def resume(
        cls,
        study_id: str = "",
        out: str | Path | None = None,
        *,
        workers: int = 0,
        reporter: Reporter | None = None,
        followers: Sequence[Follower] = (),
        **changes: Any,
    ) -> Study:
        """Go on with a study that was interrupted, and return it.

        Args:
            study_id: Its id or the beginning of it; the newest unfinished one unless given.
            out: The output folder.
            workers: As of `run`.
            reporter: As of `run`.
            followers: As of `run`; they get the events of before, too.
            changes: Keys of the configuration; ``budget`` and ``patience`` may change.

        Raises:
            ConfigError: ``CFG03``: a key differs that the result depends on.
            StudyError: ``STU01`` no such study, ``STU02`` another process drives it, ``STU06`` it is finished.
        """
        told, folder = reporter or LogReporter(), output_folder(out)
        with open_store(folder, must_exist=True) as store:
            return cls._driven(_Study.resume(store, study_id, changes, told), folder, workers, told, followers)

    @classmethod
    def _driven(
        cls, study: _Study, folder: Path, workers: int, reporter: Reporter, followers: Sequence[Follower]
    ) -> Study:
        with followed(reporter, study.store, study.study_id, followers) as told, _executor(workers) as executor:
            return cls(study.run(folder, executor, told))

    @property
    def study_id(self) -> str:
        """Its id."""
        return self.result.study_id

    def rows(self) -> Rows:
        """Return its finalists, fastest first; without any yet, its candidates."""
        return self.front() if self.result.members else self.candidates()

    def front(self) -> Rows:
        """Return its finalists, fastest first; ``recommended`` ones are the front."""
        records = tuple(_member(member, self.result) for member in self.result.members)
        return Rows(records, f"front of {self._title()}", self._notes(), _SHOWN_FRONT)

    def candidates(self) -> Rows:
        """Return every network whose accuracy was paid for, in ask order."""
        records = tuple(
            {"network": one.arch_id[:_SHOWN_DIGITS], **one.to_json(), "objectives": list(one.objectives)}
            for one in self.result.candidates
        )
        return Rows(records, f"candidates of {self._title()}", self._notes(), _SHOWN_CANDIDATES)

    def generations(self) -> Rows:
        """Return evaluations, hypervolume and size of the front after each generation."""
        names = ("evaluations", "hypervolume", "front")
        records = tuple({name: one.get(name) for name in names} for one in self.result.generations)
        return Rows(records, f"generations of {self._title()}")

    def plot(self) -> Any:
        """Return a plotly figure: candidates, and the front with its measured latencies and their intervals.

        Raises:
            PackageError: ``PKG01``: plotly is not installed.
        """
        from search.api.plots import front_figure

        return front_figure(self.candidates(), self.front())

    def _title(self) -> str:
        config = self.result.config
        return f"{self.study_id} ({self.result.status}): {config.data} on {' and '.join(config.devices)}"

    def _notes(self) -> tuple[str, ...]:
        goal = self.result.goal
        target = (f"target {goal.target_ms:.4g} ms ({goal.target_source})",) if goal else ()
        foreign = ("predicted by a FOREIGN table",) if self.result.foreign_lut else ()
        return (*target, *foreign, *self.result.audit.notes, *self.result.notices)


def _config(given: StudyConfig | Mapping[str, Any] | str | Path) -> StudyConfig:
    if isinstance(given, StudyConfig):
        return given
    return make_config(read_config_file(Path(given)) if isinstance(given, str | Path) else given)


def _executor(workers: int) -> Executor:
    return ProcessExecutor(workers) if workers else InProcessExecutor()


def _member(member: FrontMember, result: StudyResult) -> dict[str, Any]:
    low, high = member.interval_ms or (None, None)
    return {
        "network": member.arch_id[:_SHOWN_DIGITS],
        "predicted_ms": member.candidate.predicted_ms,
        "measured_ms": member.measured_ms,
        "low_ms": low,
        "high_ms": high,
        "verdict": member.verdict,
        "val_error": member.val_error,
        "test_error": member.test_error,
        "reward": member.reward,
        "recommended": member.is_recommended,
        "best_under_target": member.arch_id == result.best_under_target,
        "ties_with": ", ".join(other[:_SHOWN_DIGITS] for other in member.ties_with),
        "export": member.export,
        "arch_id": member.arch_id,
    }
