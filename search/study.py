"""A study from its first line to its exports, and on from wherever it was interrupted."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latency.on_device import COMPONENTS
from latency.table import LatencyTable
from mnas.config import StudyConfig, make_config, merge_for_resume
from mnas.errors import StudyError
from mnas.export.folder import write_card
from mnas.ids import new_id
from mnas.jsonio import canonical_json, remove_unfinished, write_json_atomic
from mnas.store import FILE_NAME, Store, utc_now
from search.accuracy.audit_log import AUDIT
from search.candidate import Candidate
from search.cards import make_card
from search.context import Reporter, StudyContext
from search.data.registry import open_dataset
from search.driver import Driver
from search.events import EventLog
from search.executors.executor import Executor
from search.final_values import INT8_NOTICE
from search.finalists import choose_finalists, export_finalists, measure_on_devices, train_finalists
from search.goal import Goal
from search.outlook import Outlook
from search.preparation import prepare, require_same_data, tell_left_out
from search.ranking import Ranking
from search.recommend import read_test, recommend
from search.result import StudyResult, load_result, require_search, study_row
from search.schema import SEARCH
from search.study_accuracy import study_estimator
from search.study_space import keep_space, study_space

STORE_COMPONENTS = (*COMPONENTS, SEARCH, AUDIT)
_PACKAGES = ("mnas", "torch", "numpy", "onnx", "onnxruntime", "ai-edge-litert", "pymoo", "moocore")
DIGITS_NOTICE = (
    "The digits data cannot rank networks: the better half of them all reach about 99 %, so differences in accuracy "
    "between the front's members are noise."
)


def open_store(out: Path, *, must_exist: bool = False) -> Store:
    """Open the store of an output folder.

    Raises:
        StoreError: It cannot be used; see `mnas.store.Store`.
    """
    return Store(out / FILE_NAME, STORE_COMPONENTS, must_exist=must_exist)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True)
class Study:
    """A study in the store.

    Attributes:
        store: Opened with `STORE_COMPONENTS`.
        study_id: Its id.
        config: Resolved.
    """

    store: Store
    study_id: str
    config: StudyConfig

    @classmethod
    def create(cls, store: Store, config: StudyConfig) -> Study:
        """Begin a study; the configuration must be resolved."""
        with store.transaction() as sql:
            number = sql.execute("SELECT count(*) FROM study").fetchone()[0] + 1
            study_id = new_id("study", number)
            sql.execute(
                "INSERT INTO study (study_id, created_at_utc, status, config_json, versions_json) "
                "VALUES (?, ?, 'running', ?, ?)",
                (study_id, utc_now(), canonical_json(config.model_dump()), canonical_json(_versions())),
            )
        return cls(store, study_id, config)

    @classmethod
    def resume(cls, store: Store, study_id: str, asked: Mapping[str, Any], reporter: Reporter) -> Study:
        """Go on with a study.

        Args:
            store: Open.
            study_id: Its id or the beginning of it; "" for the newest unfinished one.
            asked: Configuration keys that were given again.
            reporter: Is told when package versions have changed since.

        Raises:
            ConfigError: ``CFG03``: a key differs.
            StudyError: ``STU01`` no such study, ``STU06`` it is finished.
        """
        if not study_id:
            unfinished = store.query(
                "SELECT study_id FROM study WHERE status = 'running' AND kind = 'search' "
                "ORDER BY created_at_utc DESC, rowid DESC LIMIT 1"
            )
            if not unfinished:
                raise StudyError(
                    "STU01",
                    "there is no unfinished study to resume",
                    value=str(store.path),
                    why="every study here is finished, or none was started",
                    fix="leave --resume out to start one",
                )
            study_id = unfinished[0]["study_id"]
        row = study_row(store, study_id)
        require_search(row)
        stored = make_config(json.loads(row["config_json"]))
        config = merge_for_resume(stored, asked)
        _require_running(row)
        if config != stored and EventLog(store, row["study_id"]).payload("finalists") is not None:
            reporter.warn("the finalists are chosen already: budget and patience change nothing any more")
        if json.loads(row["versions_json"]) != _versions():
            reporter.warn("package versions have changed since the study began: results may differ in the last digits")
        return cls(store, row["study_id"], config)

    def run(
        self, out: Path, executor: Executor, reporter: Reporter, on_result: Callable[[StudyResult], None] | None = None
    ) -> StudyResult:
        """Run every stage that is not done yet.

        Args:
            out: The output folder.
            executor: Where networks are trained.
            reporter: Is told how it gets on.
            on_result: Called with the result before the study is marked as finished, e.g. to write its report: a kill
                in between is then mended by resuming.

        Raises:
            MnasError: What went wrong; what is recorded by then stays, and `resume` goes on from there.
        """
        config = self.config
        context = StudyContext(
            study_id=self.study_id,
            config=config,
            store=self.store,
            log=EventLog(self.store, self.study_id),
            space=study_space(EventLog(self.store, self.study_id), config),
            dataset=open_dataset(config.data, Path(config.data_dir) if config.data_dir else None),
            executor=executor,
            out=out,
            reporter=reporter,
        )
        with Driver(self.store, self.study_id):
            self._begin()
            require_same_data(context)
            keep_space(context)
            tell_left_out(context)
            if config.data == "digits":
                context.log.append("notice", {"text": DIGITS_NOTICE}, "digits")
                reporter.warn(DIGITS_NOTICE)
            if config.dtype == "int8":
                context.log.append("notice", {"text": INT8_NOTICE}, "int8")
            if context.log.payload("finalists") is None:
                study_estimator(context)
            outlook, goal = prepare(context)
            finalists = _finalists(context, outlook, goal)
            train_finalists(context, finalists)
            exported = export_finalists(context, finalists)
            measure_on_devices(context, outlook, finalists, exported)
            recommend(context, finalists, goal)
            read_test(context, finalists)
            return self._finish(context, outlook.tables[0], on_result)

    def _begin(self) -> None:
        """Keep the configuration, now that nobody else drives, if the study may still go on."""
        _require_running(study_row(self.store, self.study_id))
        self.store.execute(
            "UPDATE study SET config_json = ? WHERE study_id = ?",
            (canonical_json(self.config.model_dump()), self.study_id),
        )

    def _finish(
        self, context: StudyContext, table: LatencyTable, on_result: Callable[[StudyResult], None] | None
    ) -> StudyResult:
        result = load_result(self.store, self.study_id)
        for member in result.members:
            if member.export is not None:
                architecture = context.architecture(member.candidate.genome)
                write_card(context.exports, make_card(result, member, architecture, context.dataset, table))
        remove_unfinished(context.out / "front.json")
        write_json_atomic(context.out / "front.json", result.front_json())
        result = replace(result, status="finished")
        if on_result is not None:
            on_result(result)
        self.store.execute("UPDATE study SET status = 'finished' WHERE study_id = ?", (self.study_id,))
        shutil.rmtree(context.work, ignore_errors=True)
        if context.work.parent.is_dir() and not any(context.work.parent.iterdir()):
            context.work.parent.rmdir()
        return result


def _require_running(row: Mapping[str, Any]) -> None:
    if row["status"] != "running":
        raise StudyError(
            "STU06",
            f"the study is {row['status']}",
            value=row["study_id"],
            why="its test accuracy has been read, so nothing more may be chosen by it"
            if row["status"] == "finished"
            else "its target or its table can never be met",
            fix="start a new study without --resume",
        )


def _finalists(context: StudyContext, outlook: Outlook, goal: Goal) -> list[Candidate]:
    """Search and choose the finalists; once they are chosen, budget and patience no longer matter."""
    known = context.log.payload("finalists")
    if known is not None:
        evaluated = context.log.payloads("evaluated")
        return [Candidate.from_json(evaluated[arch_id]) for arch_id in known["members"]]
    chosen = choose_finalists(Ranking(context, outlook, goal).run(), context.config.finalists, goal)
    context.log.append("finalists", {"members": [candidate.arch_id for candidate in chosen]})
    return chosen
