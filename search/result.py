"""What a study has found so far, read from its event log alone; reports, listings and exports are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from latency.marks import TableMarks, stored_marks, texts_of
from latency.on_device import public_device
from mnas.config import StudyConfig, make_config
from mnas.errors import StudyError
from mnas.ids import matching_ids
from mnas.store import Store
from search.candidate import Candidate, ObjectiveValue
from search.events import EventLog, device_key
from search.final_values import MeasuredFinalists
from search.foreign import ForeignTable
from search.goal import Goal
from search.reward import mnasnet_reward
from search.simulated import is_simulated
from search.study_audit import NO_STUDY_AUDIT, StudyAudit, audit_of


@dataclass(frozen=True, slots=True)
class FrontMember:
    """A finalist with everything known of it; fields are ``None`` as long as their stage has not been reached.

    Attributes:
        candidate: As it was ranked.
        measured_ms: Latency of the exported file on the device.
        interval_ms: Its 95 % interval.
        verdict: Of its measurement.
        val_errors: One for each seed, final schedule.
        val_images: Images of val.
        seeds: Of the final trainings, in the same order.
        test_errors: Likewise; chose nothing.
        test_images: Images of test.
        is_recommended: Non-dominated by mean val error and measured latency.
        ties_with: Neighbours whose accuracy the seeds cannot tell from its own.
        same_latency_as: Neighbours whose latency the session cannot tell from its own.
        export: Folder below the output folder.
        exported_seed: The one whose weights were exported.
        exported_test_error: Of the exported weights.
        reward: MnasNet's reward of mean val accuracy and measured latency.
        foreign_lut: The table that predicted it where that is of another device.
        device_ms: Latency on each device; ``measured_ms`` has all of them combined.
        values: Every objective with its source: of the last training and measurement as far as these were.
    """

    candidate: Candidate
    measured_ms: float | None
    interval_ms: tuple[float, float] | None
    verdict: str
    val_errors: tuple[float, ...]
    val_images: int
    seeds: tuple[int, ...]
    test_errors: tuple[float, ...]
    test_images: int
    is_recommended: bool
    ties_with: tuple[str, ...]
    same_latency_as: tuple[str, ...]
    export: str | None
    exported_seed: int | None
    exported_test_error: float | None
    reward: float | None
    foreign_lut: ForeignTable | None = None
    device_ms: tuple[float | None, ...] = ()
    values: tuple[ObjectiveValue, ...] = ()

    @property
    def arch_id(self) -> str:
        """Of its architecture."""
        return self.candidate.arch_id

    @property
    def val_error(self) -> float | None:
        """Mean val error over the seeds."""
        return fmean(self.val_errors) if self.val_errors else None

    @property
    def test_error(self) -> float | None:
        """Mean test error over the seeds."""
        return fmean(self.test_errors) if self.test_errors else None

    def to_json(self) -> dict[str, Any]:
        """Return a member of ``front.json``; docs/contracts.md describes the keys."""
        return {
            "arch_id": self.arch_id,
            "predicted_ms": self.candidate.predicted_ms,
            "measured_ms": self.measured_ms,
            "interval_ms": list(self.interval_ms) if self.interval_ms else None,
            "rank_val_error": None if self.candidate.score else self.candidate.error,
            "val_error": self.val_error,
            "test_error": self.test_error,
            "accuracy_source": f"mean of {len(self.val_errors)} seeds, final schedule",
            "reward": self.reward,
            "ranking_reward": self.candidate.reward,
            "recommended": self.is_recommended,
            "ties_with": list(self.ties_with),
            "same_latency_as": list(self.same_latency_as),
            "export": self.export,
            "foreign_lut": self.foreign_lut.stamp() if self.foreign_lut else None,
            "device_ms": list(self.device_ms),
            "objectives": {one.key: {"value": one.value, "source": one.source} for one in self.values},
        }


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A study as far as it has come.

    Attributes:
        study_id: Its id.
        created_at_utc: ISO 8601.
        status: ``running`` (or interrupted), ``finished``, or ``refused`` where it could never go on.
        config: Resolved.
        versions: Package -> version when it was started.
        lut_id: Its latency table, that of the first device.
        goal: Target and reference point.
        candidates: In ask order.
        generations: Evaluations, hypervolume and front size after each generation.
        members: Finalists, fastest first.
        session: The measuring session of the finalists.
        seed_noise: SD of one final training's val error.
        best_under_target: Its arch_id.
        notices: What a reader must know, e.g. that the data cannot rank networks.
        foreign_lut: Its table where that is of another device.
        lut_ids: The tables of all devices.
        sessions: The measuring sessions of all devices.
        audit: What an audit says of its ranking.
        is_simulated: Whether any latency in it is of a device that is none.
        opened: Each device by the name that it had when it was opened, "" before: a phone's is made of its own serial.
        tables: What must be said of the tables of all devices.
    """

    study_id: str
    created_at_utc: str
    status: str
    config: StudyConfig
    versions: dict[str, str]
    lut_id: str | None
    goal: Goal | None
    candidates: tuple[Candidate, ...]
    generations: tuple[dict[str, Any], ...]
    members: tuple[FrontMember, ...]
    session: dict[str, Any] | None
    seed_noise: float | None
    best_under_target: str | None
    notices: tuple[str, ...]
    foreign_lut: ForeignTable | None = None
    lut_ids: tuple[str, ...] = ()
    sessions: tuple[dict[str, Any], ...] = ()
    audit: StudyAudit = NO_STUDY_AUDIT
    is_simulated: bool = False
    opened: tuple[str, ...] = ()
    tables: tuple[TableMarks, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Its device specs as they may go out: without serials, in the order of the configuration."""
        specs = self.config.devices
        opened = (*self.opened, *[""] * (len(specs) - len(self.opened)))
        return tuple(name or public_device(spec) for spec, name in zip(specs, opened, strict=True))

    def config_json(self) -> dict[str, Any]:
        """Return the configuration as it may go out; with it the study can be begun again."""
        first, *others = self.devices
        return {**self.config.model_dump(), "device": first, "other_devices": tuple(others)}

    @property
    def lut_marks(self) -> list[str]:
        """What must be said of its tables with every single result."""
        return texts_of(self.tables)

    def front_json(self) -> dict[str, Any]:
        """Return ``front.json``."""
        return {
            "schema": "mnas.front/1",
            "study": self.study_id,
            "target_ms": self.goal.target_ms if self.goal else None,
            "best_under_target": self.best_under_target,
            "foreign_lut": self.foreign_lut.stamp() if self.foreign_lut else None,
            "lut_marks": self.lut_marks,
            "notices": list(self.notices),
            "audit": self.audit.to_json(),
            "objectives": [objective.key for objective in self.config.sought],
            "devices": list(self.devices),
            "is_simulated": self.is_simulated,
            "combine": self.config.combine if self.config.other_devices else None,
            "dtype": self.config.dtype,
            "confidence": self.config.confidence or None,
            "members": [member.to_json() for member in self.members],
        }


def load_result(store: Store, study_id: str) -> StudyResult:
    """Read a study.

    Raises:
        StudyError: ``STU01``: no such study. ``STU08``: it is on a table; see `search.tabular_result`.
    """
    row = study_row(store, study_id, "search")
    require_search(row)
    log = EventLog(store, row["study_id"])
    candidates = tuple(
        sorted((Candidate.from_json(value) for value in log.payloads("evaluated").values()), key=lambda c: c.number)
    )
    config = make_config(json.loads(row["config_json"]))
    recommended = log.payload("recommended") or {}
    goal, lut = log.payload("goal"), log.payload("lut")
    # Studies from before foreign tables were allowed have no word of them.
    foreign = ForeignTable(**lut["foreign"]) if lut and lut.get("foreign") else None
    members = _members(log, candidates, recommended, config, Goal.from_json(goal) if goal else None)
    lut_ids = tuple(found["lut_id"] for found in _of_devices(log, "lut", config))
    return StudyResult(
        study_id=row["study_id"],
        created_at_utc=row["created_at_utc"],
        status=row["status"],
        config=config,
        versions=json.loads(row["versions_json"]),
        lut_id=lut["lut_id"] if lut else None,
        goal=Goal.from_json(goal) if goal else None,
        candidates=candidates,
        generations=tuple(sorted(log.payloads("generation").values(), key=lambda one: one["evaluations"])),
        members=tuple(replace(member, foreign_lut=foreign) for member in members),
        session=log.payload("measured"),
        seed_noise=recommended.get("seed_noise"),
        best_under_target=recommended.get("best_under_target"),
        notices=tuple(value["text"] for value in log.payloads("notice").values()),
        foreign_lut=foreign,
        lut_ids=lut_ids,
        sessions=tuple(_of_devices(log, "measured", config)),
        audit=audit_of(store, log, config, candidates),
        tables=tuple(stored_marks(store, lut_id) for lut_id in lut_ids),
        is_simulated=is_simulated(store, row["study_id"]),
        opened=tuple(
            (log.payload("lut", device_key(n + 1)) or {}).get("device", "") for n in range(len(config.devices))
        ),
    )


def require_search(row: Mapping[str, Any]) -> None:
    """Refuse a study on a table where one that trains and measures is meant.

    Raises:
        StudyError: ``STU08``.
    """
    if row["kind"] != "search":
        raise StudyError(
            "STU08",
            "this is a study on a table of networks",
            value=row["study_id"],
            why="it trains and measures nothing, so there are no networks to report or to export",
            fix="see mnas study show, compare, and run --resume",
        )


def _of_devices(log: EventLog, kind: str, config: StudyConfig) -> list[dict[str, Any]]:
    """Return what is recorded of each device, as far as it is."""
    found = [log.payload(kind, device_key(number)) for number in range(1, len(config.devices) + 1)]
    return [payload for payload in found if payload is not None]


def study_row(store: Store, study_id: str, kind: str = "") -> dict[str, Any]:
    """Return the row of a study named by its id or the beginning of it; "" names the newest.

    Args:
        store: Open.
        study_id: What names it.
        kind: Of the newest one: ``search``, ``table``, or "" for either.

    Raises:
        StudyError: ``STU01``: none, or more than one.
    """
    rows = [dict(row) for row in store.query("SELECT * FROM study ORDER BY created_at_utc DESC, rowid DESC")]
    meant = matching_ids([row["study_id"] for row in rows], study_id)
    found = [row for row in rows if row["study_id"] in meant and (study_id or kind in ("", row["kind"]))]
    if not found or (study_id and len(found) > 1):
        raise StudyError(
            "STU01",
            "no study of that id",
            value=study_id or "the newest",
            why="studies here: " + (", ".join(row["study_id"] for row in rows[:10]) or "none"),
            fix="name one of them, or start one with: mnas search",
        )
    return found[0]


def _members(
    log: EventLog,
    candidates: tuple[Candidate, ...],
    recommended: dict[str, Any],
    config: StudyConfig,
    goal: Goal | None,
) -> tuple[FrontMember, ...]:
    chosen, by_id = log.payload("finalists"), {candidate.arch_id: candidate for candidate in candidates}
    if chosen is None:
        return ()
    trained, tested, exported = log.payloads("trained"), log.payloads("tested"), log.payloads("exported")
    measured, members = MeasuredFinalists(log, config), []
    for arch_id in chosen["members"]:
        export = exported.get(arch_id)
        finals = {r: value for r, value in _by_repeat(trained, arch_id).items() if not value["error_message"]}
        tests = _by_repeat(tested, arch_id)
        some = next(iter(finals.values()), {"images": {"val": 0}})
        ms, val = measured.ms(arch_id), [value["errors"]["val"] for value in finals.values()]
        reward = None
        if goal and ms and val:
            reward = mnasnet_reward(1 - fmean(val), ms, goal.target_ms, config.alpha, config.beta)
        members.append(
            FrontMember(
                candidate=by_id[arch_id],
                measured_ms=ms,
                interval_ms=measured.interval_ms(arch_id),
                verdict=measured.verdict(arch_id),
                val_errors=tuple(val),
                val_images=some["images"]["val"],
                seeds=tuple(value["seed"] for value in finals.values()),
                test_errors=tuple(value["error"] for value in tests.values()),
                test_images=next(iter(tests.values()))["images"] if tests else 0,
                is_recommended=arch_id in recommended.get("members", []),
                ties_with=_partners(recommended.get("ties", []), arch_id),
                same_latency_as=_partners(recommended.get("latency_ties", []), arch_id),
                export=export["folder"] if export else None,
                exported_seed=finals[export["repeat"]]["seed"] if export else None,
                exported_test_error=tests.get(export["repeat"], {}).get("error") if export else None,
                reward=reward,
                device_ms=measured.device_ms(arch_id),
                values=measured.values(by_id[arch_id], val),
            )
        )
    return tuple(members)


def _partners(pairs: list[list[str]], arch_id: str) -> tuple[str, ...]:
    return tuple(other for pair in pairs if arch_id in pair for other in pair if other != arch_id)


def _by_repeat(payloads: dict[str, dict[str, Any]], arch_id: str) -> dict[int, dict[str, Any]]:
    """Return repeat -> payload of one network, in order of repeat, from payloads keyed ``arch_id/repeat``."""
    own = {int(key.rpartition("/")[2]): value for key, value in payloads.items() if key.startswith(arch_id + "/")}
    return dict(sorted(own.items()))
