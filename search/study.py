"""A study from its first line to its exports, and on from wherever it was interrupted."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latency.on_device import COMPONENTS, OnDevice, lut_settings, require_device
from latency.plan import LutPlan
from latency.table import LatencyTable, load_table
from mnas.config import StudyConfig, make_config, merge_for_resume
from mnas.errors import ConfigError, DataError, LutError, StudyError
from mnas.export.folder import write_card
from mnas.jsonio import canonical_json, remove_unfinished, sha256_json, write_json_atomic
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store, utc_now
from search.candidate import Candidate
from search.cards import make_card
from search.context import Reporter, StudyContext
from search.data.registry import open_dataset
from search.driver import Driver
from search.events import EventLog
from search.executors.executor import Executor
from search.finalists import choose_finalists, export_finalists, measure_finalists, train_finalists
from search.goal import Goal, set_goal
from search.ranking import Ranking
from search.recommend import read_test, recommend
from search.result import StudyResult, load_result, study_row
from search.schema import SEARCH

STORE_COMPONENTS = (*COMPONENTS, SEARCH)
_PACKAGES = ("mnas", "torch", "numpy", "onnx", "onnxruntime", "ai-edge-litert", "pymoo", "moocore")
_NEVER_GOES_ON = ("CFG05", "CFG10", "CFG11", "LUT01", "LUT02", "LUT03")
"""A target out of reach, a device that is none, or a table that is not there or not of this device and space."""
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


def resolve(config: StudyConfig, reporter: Reporter) -> StudyConfig:
    """Replace every ``auto`` and check what can be checked before a study is begun.

    Raises:
        ConfigError: ``CFG06``: the preset's networks do not fit the data; or not a device spec.
        DataError: The data set is not to be had, or damaged.
        DeviceError: The device cannot be opened.
        SpaceError: No such space or preset.
    """
    require_device(config.device)
    folder = Path(config.data_dir) if config.data_dir else None
    try:
        dataset = open_dataset("fashion" if config.data == "auto" else config.data, folder)
    except DataError as failure:
        if config.data != "auto" or folder is not None or failure.code != "DAT01":
            raise
        reporter.warn(f"Fashion-MNIST cannot be had, so the embedded digits take its place: {failure}")
        dataset = open_dataset("digits")
    preset = dataset.name if config.preset == "auto" else config.preset
    network = open_space(config.space, preset)
    smallest = network.decode(network.extremes()[0])
    if (smallest.input_shape_chw[0], smallest.classes) != (dataset.channels, dataset.classes):
        raise ConfigError(
            "CFG06",
            f"the networks of {network.name} do not fit the data {dataset.name}",
            value=f"{smallest.input_shape_chw[0]} channels and {smallest.classes} classes, data has "
            f"{dataset.channels} and {dataset.classes}",
            why="not one of them could be trained",
            fix=f"use --preset {dataset.name}",
        )
    return config.model_copy(update={"data": dataset.name, "preset": preset})


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
            study_id = f"study{number}-{sha256_json([config.model_dump(), utc_now()])[:6]}"
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
                "SELECT study_id FROM study WHERE status = 'running' ORDER BY created_at_utc DESC, rowid DESC LIMIT 1"
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
        stored = make_config(json.loads(row["config_json"]))
        config = merge_for_resume(stored, asked)
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
        if config != stored and EventLog(store, row["study_id"]).payload("finalists") is not None:
            reporter.warn("the finalists are chosen already: budget and patience change nothing any more")
        if json.loads(row["versions_json"]) != _versions():
            reporter.warn("package versions have changed since the study began: results may differ in the last digits")
        store.execute(
            "UPDATE study SET config_json = ? WHERE study_id = ?",
            (canonical_json(config.model_dump()), row["study_id"]),
        )
        return cls(store, row["study_id"], config)

    def run(self, out: Path, executor: Executor, reporter: Reporter) -> StudyResult:
        """Run every stage that is not done yet.

        Raises:
            MnasError: What went wrong; what is recorded by then stays, and `resume` goes on from there.
        """
        config = self.config
        context = StudyContext(
            study_id=self.study_id,
            config=config,
            store=self.store,
            log=EventLog(self.store, self.study_id),
            space=open_space(config.space, config.preset),
            dataset=open_dataset(config.data, Path(config.data_dir) if config.data_dir else None),
            executor=executor,
            out=out,
            reporter=reporter,
        )
        with Driver(self.store, self.study_id):
            _require_same_data(context)
            if config.data == "digits":
                context.log.append("notice", {"text": DIGITS_NOTICE}, "digits")
                reporter.warn(DIGITS_NOTICE)
            table, goal = self._prepare(context)
            finalists = _finalists(context, table, goal)
            train_finalists(context, finalists)
            exported = export_finalists(context, finalists)
            if context.log.payload("measured") is None:
                with OnDevice(config.device, self.store) as device:
                    table.require_fit(device.info)
                    measure_finalists(context, device, exported)
            recommend(context, finalists, goal)
            read_test(context, finalists)
            return self._finish(context, table)

    def _prepare(self, context: StudyContext) -> tuple[LatencyTable, Goal]:
        """Return table and goal; a study that can never go on is marked, so that no ``--resume`` picks it up."""
        try:
            table = _latency_table(context)
            return table, _goal(context, table)
        except (ConfigError, LutError) as error:
            if error.code in _NEVER_GOES_ON:
                self.store.execute("UPDATE study SET status = 'refused' WHERE study_id = ?", (self.study_id,))
            raise

    def _finish(self, context: StudyContext, table: LatencyTable) -> StudyResult:
        result = load_result(self.store, self.study_id)
        for member in result.members:
            if member.export is not None:
                architecture = context.architecture(member.candidate.genome)
                write_card(context.exports, make_card(result, member, architecture, context.dataset, table))
        remove_unfinished(context.out / "front.json")
        write_json_atomic(context.out / "front.json", result.front_json())
        self.store.execute("UPDATE study SET status = 'finished' WHERE study_id = ?", (self.study_id,))
        shutil.rmtree(context.work, ignore_errors=True)
        if context.work.parent.is_dir() and not any(context.work.parent.iterdir()):
            context.work.parent.rmdir()
        return load_result(self.store, self.study_id)


def _require_same_data(context: StudyContext) -> None:
    """Record the data set's fingerprint when the study begins, and refuse to go on with other data."""
    seen = {"name": context.dataset.name, "fingerprint": context.dataset.fingerprint}
    context.log.append("data", seen)
    if (known := context.log.payload("data")) != seen:
        raise DataError(
            "DAT05",
            "the data set has changed since the study began",
            value=f"{known}, now {seen}",
            why="accuracies on different data do not compare",
            fix="restore the data, or start a new study without --resume",
        )


def _latency_table(context: StudyContext) -> LatencyTable:
    """Return the study's table: the one it began with, the one asked for, or one that is built now."""
    config, known = context.config, context.log.payload("lut")
    if known is not None:
        return load_table(context.store, known["lut_id"])
    with OnDevice(config.device, context.store) as device:
        if config.lut:
            table = load_table(context.store, config.lut)
            table.require_fit(device.info)
            if table.device.os_build != device.info.os_build:
                context.reporter.warn(
                    f"table {table.lut_id} was measured under {table.device.os_build}, this is {device.info.os_build}"
                )
        else:
            settings = lut_settings(config.lut_mode, config.lut_rounds, config.lut_calibration, config.lut_validation)
            plan = LutPlan(context.space, settings)
            context.reporter.line(f"latency table of {len(plan.segments)} segments on {device.info.device_id}")
            table = device.build_table(plan, context.reporter.progress)
    context.log.append("lut", {"lut_id": table.lut_id})
    _say_how_good(context, table)
    return table


def _say_how_good(context: StudyContext, table: LatencyTable) -> None:
    if table.validation is None:
        context.reporter.warn(f"latency table {table.lut_id} is not validated: its predictions may be far off")
        return
    errors = table.validation.table
    context.reporter.line(
        f"latency table {table.lut_id}: MAPE {errors.mape:.1%}, Kendall tau {errors.kendall_tau:.2f} "
        f"on {table.validation.networks} other networks"
    )


def _goal(context: StudyContext, table: LatencyTable) -> Goal:
    known = context.log.payload("goal")
    if known is not None:
        return Goal.from_json(known)
    config = context.config
    goal = set_goal(context.space, table, config.target_ms, config.seed, context.dataset.classes)
    context.log.append("goal", goal.to_json())
    return goal


def _finalists(context: StudyContext, table: LatencyTable, goal: Goal) -> list[Candidate]:
    """Search and choose the finalists; once they are chosen, budget and patience no longer matter."""
    known = context.log.payload("finalists")
    if known is not None:
        evaluated = context.log.payloads("evaluated")
        return [Candidate.from_json(evaluated[arch_id]) for arch_id in known["members"]]
    chosen = choose_finalists(Ranking(context, table, goal).run(), context.config.finalists, goal)
    context.log.append("finalists", {"members": [candidate.arch_id for candidate in chosen]})
    return chosen
