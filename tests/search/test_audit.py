"""Audits: resumable to the same verdict, honest about noise, and told with a search's front."""

import sqlite3
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mnas.cli.audit_table import audit_result
from mnas.cli.study_view import study_document
from mnas.config import make_config
from mnas.errors import ConfigError
from mnas.jsonio import canonical_json
from mnas.spaces.presets import open_space
from mnas.spaces.toml_file import definition_sha256
from mnas.store import Store
from search.accuracy.audit import Audit
from search.accuracy.audit_log import AUDIT, TRUTH, VERDICT, Audited, AuditLog, latest_verdict
from search.accuracy.audit_notes import NO_AUDIT, ceiling_notes, notes_for_search
from search.accuracy.audit_verdict import EstimatorRows, TruthRows, make_verdict
from search.accuracy.jobs import TrainingOutcome, run_training
from search.data.registry import open_dataset
from search.executors.executor import InProcessExecutor, Job
from search.preparation import require_same_data
from search.result import load_result
from search.study import open_store
from search.testing import KeptReporter


class MadeUpTruth(InProcessExecutor):
    """Trains nothing: errors fall with a network's parameters, with noise by seed; scores are worked out really."""

    def __init__(self, stop_after=None, failing=(), why="TRN01: loss is NaN"):
        self.trained, self._stop_after, self._failing, self._why = [], stop_after, failing, why

    def map_in_order(self, jobs, on_done=None):
        made_up = [Job(self._train, job.arguments) if job.function is run_training else job for job in jobs]
        return super().map_in_order(made_up, on_done)

    def _train(self, job):
        if len(self.trained) == self._stop_after:
            raise KeyboardInterrupt
        self.trained.append(job)
        if len(self.trained) in self._failing:
            return TrainingOutcome(seed=job.seed, error_message=self._why, diverged="TRN01" in self._why)
        widest = max(block["out_channels"] for block in job.architecture_json["head"])
        error = 0.5 - 0.001 * widest - 1e-6 * len(canonical_json(job.architecture_json)) + job.seed % 997 * 1e-5
        return TrainingOutcome({"rank-val": error}, {"rank-val": error}, {"rank-val": 200}, 1.0, 2.0, job.seed)


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path) as opened:
        yield opened


def audit(networks=10, seeds=2, estimators=("proxy", "zero-cost:params"), **keys):
    config = make_config({"data": "digits", "preset": "digits", "training": "small", **keys})
    space = open_space("mobilenetv3", "digits")
    return Audit(config, space, open_dataset("digits"), networks, seeds, estimators)


def without_costs(verdict):
    return {**verdict, "estimators": [{**one, "cost_s": 0} for one in verdict["estimators"]]}


def test_an_interrupted_audit_goes_on_to_the_same_verdict(store, tmp_path):
    with Store(tmp_path / "whole.sqlite3", (AUDIT,)) as other:
        executor = MadeUpTruth()
        whole = audit().run(other, executor, KeptReporter())
    assert len(executor.trained) == 10 * 2 + 10
    with pytest.raises(KeyboardInterrupt):
        audit().run(store, MadeUpTruth(stop_after=13), KeptReporter())
    assert len(AuditLog(store, audit().audit_id).rows(TRUTH)) == 13
    again = MadeUpTruth()
    resumed = audit().run(store, again, KeptReporter())
    assert without_costs(resumed) == without_costs(whole)
    assert len(again.trained) == 30 - 13
    idle = MadeUpTruth()
    assert audit().run(store, idle, KeptReporter()) == resumed and not idle.trained
    assert len(AuditLog(store, audit().audit_id).rows(VERDICT)) == 1


def test_an_audit_can_be_stopped_by_the_clock_and_grow(store):
    looks = iter([False, True])
    assert audit().run(store, MadeUpTruth(), KeptReporter(), lambda: next(looks)) is None
    assert len(AuditLog(store, audit().audit_id).rows(TRUTH)) == 8
    assert audit().run(store, MadeUpTruth(), KeptReporter()) is not None
    more = MadeUpTruth()
    larger = audit(networks=12, seeds=3).run(store, more, KeptReporter())
    assert (larger["networks"], larger["seeds"]) == (12, 3)
    assert len(more.trained) == 12 * 3 - 10 * 2 + 2
    assert audit(networks=12).sample()[:10] == audit().sample()


def of_halving(networks=12):
    return audit(networks, estimators=("halving",), training="normal", population=6)


def halving_rows(store, networks=12):
    log = AuditLog(store, of_halving(networks).audit_id)
    (subject,) = [
        row["subject"]
        for row in store.query("SELECT DISTINCT subject FROM audit_row WHERE subject LIKE 'halving|%'")
        if f"|{networks} in 6s" in row["subject"]
    ]
    return log.rows(subject)


def test_halving_is_judged_by_what_it_decides_in_generations(store):
    executor = MadeUpTruth()
    verdict = of_halving().run(store, executor, KeptReporter())
    rungs = Counter(job.schedule.fidelity for job in executor.trained[24:])
    assert next(iter(rungs.values())) == 12 and sum(rungs.values()) < 3 * 12, "most are stopped on the first rung"
    rows = halving_rows(store)
    assert sum(one["fidelity"].startswith("rung 1 of 3") for one in rows.values()) >= 6
    assert all(one["error"] >= 0 for one in rows.values()) and len(rows) == 12
    (halving,) = [one for one in verdict["estimators"] if one["name"] == "halving"]
    assert halving["generation"] == 6 and halving["cost_s"] == pytest.approx(2.0 * sum(rungs.values()) / 12)
    assert "halving in generations of 6 ranks" in notes_for_search(verdict, "halving", {halving["source"]})[-1]


@pytest.mark.parametrize("stop_after", [25, 31, 40])
def test_an_interrupted_audit_of_halving_pays_for_each_rung_once(store, tmp_path, stop_after):
    with Store(tmp_path / "whole.sqlite3", (AUDIT,)) as other:
        executor = MadeUpTruth()
        of_halving().run(other, executor, KeptReporter())
        whole = halving_rows(other)
    with pytest.raises(KeyboardInterrupt):
        of_halving().run(store, MadeUpTruth(stop_after=stop_after), KeptReporter())
    again = MadeUpTruth()
    of_halving().run(store, again, KeptReporter())
    assert halving_rows(store) == whole and stop_after + len(again.trained) == len(executor.trained)
    of_halving(15).run(store, MadeUpTruth(), KeptReporter())
    assert dict(list(halving_rows(store, 15).items())[:12]) == whole, "whole generations decide as before"


@pytest.mark.slow
def test_curves_are_judged_under_the_rule_that_stops_them(store):
    of_curves = audit(12, estimators=("curves",), population=6)
    verdict = of_curves.run(store, MadeUpTruth(), KeptReporter())
    (subject,) = [
        row["subject"]
        for row in store.query("SELECT DISTINCT subject FROM audit_row")
        if row["subject"].startswith("event:curve|")
    ]
    curves = AuditLog(store, of_curves.audit_id).rows(subject)
    assert len(curves) == 12 and [one["completed"] for one in curves.values()] == [0] * 6 + [6] * 6
    assert all(one["bound"] == 1 for one in list(curves.values())[:6])
    assert any(one["bound"] < 1 for one in list(curves.values())[6:])
    assert verdict["estimators"][2]["generation"] == 6


@pytest.mark.parametrize(("workers", "at_once"), [(1, 8), (2, 8), (3, 12), (16, 20)])
def test_as_much_is_run_at_once_as_there_are_processes_for(store, workers, at_once):
    class Counted(MadeUpTruth):
        most = 0

        def map_in_order(self, jobs, on_done=None):
            self.most = max(self.most, len(jobs))
            return super().map_in_order(jobs, on_done)

    executor = Counted()
    audit(estimators=("proxy",)).run(store, executor, KeptReporter(), workers=workers)
    assert executor.most == at_once


def test_what_an_audit_is_of_makes_its_id():
    ids = [audit().audit_id, audit(seed=1).audit_id, audit(training="normal").audit_id]
    assert len(set(ids)) == 3 and audit(networks=20, seeds=5, estimators=()).audit_id == ids[0]


def test_its_seeds_are_none_of_a_search(store):
    executor = MadeUpTruth()
    audit(estimators=("proxy",)).run(store, executor, KeptReporter())
    assert len({job.seed for job in executor.trained}) == len(executor.trained)


def test_rows_never_change(store):
    log = AuditLog(store, "audit-1")
    log.append("x", "k", {"a": 1})
    log.append("x", "k", {"a": 2})
    assert log.rows("x") == {"k": {"a": 1}}
    for statement in ("UPDATE audit_row SET key = ''", "DELETE FROM audit_row"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store.execute(statement)


def test_networks_that_fail_are_left_out_and_too_few_are_refused(store):
    verdict = audit().run(store, MadeUpTruth(failing=(3, 15)), KeptReporter())
    assert (verdict["networks"], verdict["failed"]) == (8, 2)
    assert "2 networks could not be trained and are left out" in ceiling_notes(verdict)
    with pytest.raises(ConfigError, match=r"CFG55.*5 of 10.*loss is NaN"):
        audit(seed=3).run(store, MadeUpTruth(failing=range(1, 6)), KeptReporter())


def test_what_memory_was_too_small_for_is_tried_again_and_what_diverged_is_not(store, tmp_path):
    with Store(tmp_path / "whole.sqlite3", (AUDIT,)) as other:
        whole = audit().run(other, MadeUpTruth(), KeptReporter())
    short = MadeUpTruth(failing=(3, 15, 25), why="TRN10: there is not enough memory")
    first = audit().run(store, short, KeptReporter())
    assert first["failed"] == 2 and first["estimators"][2]["not_estimated"] == 1
    again = MadeUpTruth()
    assert without_costs(audit().run(store, again, KeptReporter())) == without_costs(whole)
    assert [(job.seed, job.repeat) for job in again.trained] == [
        (short.trained[number - 1].seed, short.trained[number - 1].repeat) for number in (3, 15, 25)
    ]
    log = AuditLog(store, audit().audit_id)
    assert len(log.rows(TRUTH)) == 22 and len(log.last_tries(TRUTH)) == 20
    diverged = audit(seed=1)
    diverged.run(store, MadeUpTruth(failing=(3, 25)), KeptReporter())
    idle = MadeUpTruth()
    assert diverged.run(store, idle, KeptReporter())["failed"] == 1 and not idle.trained


def truth_of(means, noise, macs, seed=0):
    rng, count = np.random.default_rng(seed), len(means)
    errors = np.asarray(means)[:, None] + rng.normal(0, noise, (count, 2))
    ids = tuple(f"{i:02}" for i in range(count))
    genomes = tuple((int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in range(count))
    return TruthRows(ids, genomes, errors, np.ones((count, 2)), 500, np.asarray(macs), np.asarray(macs) * 2, 0)


def rows_of(truth, errors):
    return {one: {"failure": "", "error": e, "cost_s": 0.5} for one, e in zip(truth.arch_ids, errors, strict=True)}


def test_a_good_estimator_beats_macs_and_one_that_knows_only_macs_does_not():
    rng = np.random.default_rng(5)
    macs = rng.uniform(1, 10, 30)
    means = 0.3 - 0.01 * macs + rng.normal(0, 0.03, 30)
    truth = truth_of(means, 0.002, macs)
    said = [
        EstimatorRows("good", "good:1", rows_of(truth, means)),
        EstimatorRows("size", "size:1", rows_of(truth, -macs)),
    ]
    verdict = make_verdict(truth, said, (3, 3), 0)
    good, size = verdict["estimators"][2:4]
    assert good["tau"]["low"] > 0.8 and good["beyond_macs"]["low"] > 0 and good["beyond_macs_within_bands"]["low"] > 0
    assert size["beyond_macs"] == {"value": 0, "low": 0, "high": 0}
    assert good["cost_s"] == 0.5 and verdict["estimators"][-1]["name"].startswith("learned")
    config = (make_config({}), {"good:1", "size:1"})
    assert notes_for_search(verdict, "good", config[1])[-1].endswith("better than MACs")
    assert "MACs would do as well" in notes_for_search(verdict, "size", config[1])[-1]
    assert "with other settings" in notes_for_search(verdict, "good", {"good:2"})[-1]
    assert "not at all" in notes_for_search(verdict, "halving", config[1])[-1]
    assert not any("not measurable" in note for note in notes_for_search(verdict, "good", config[1]))


def test_losses_are_judged_beside_errors_where_they_rank_otherwise():
    rng = np.random.default_rng(6)
    macs = rng.uniform(1, 10, 24)
    means = 0.3 - 0.02 * macs + rng.normal(0, 0.02, 24)
    truth = truth_of(means, 0.001, macs)
    coarse = rows_of(truth, np.round(means * 8) / 8)  # an error on eight images
    for row, mean in zip(coarse.values(), means, strict=True):
        row["loss"] = mean
    alike = {key: {**row, "loss": -np.log1p(-row["error"])} for key, row in rows_of(truth, means).items()}
    coarse[truth.arch_ids[int(np.argmax(means))]] = {"failure": "TRN01: NaN"}
    said = [EstimatorRows("supernet", "supernet:1", coarse), EstimatorRows("score", "score:1", alike)]
    verdict = make_verdict(truth, said, (3, 3), 0)
    supernet, score = verdict["estimators"][2:4]
    assert supernet["by_loss"]["tau"]["value"] > 0.95 > supernet["tau"]["value"] and supernet["not_estimated"] == 1
    assert "by_loss" not in score
    assert "(by its loss at 0.9" in notes_for_search(verdict, "supernet", {"supernet:1"})[-1]
    table = audit_result(verdict)
    assert [row[0] for row in table.rows][:2] == ["score", "supernet, by loss"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert {tuple(one) for one in table.records} == {tuple(table.records[0])} and len(table.records[0]) == 3 + 6 * 3
    (macs_row,) = [row for row in table.rows if row[0] == "macs"]
    place = {name: number for number, name in enumerate(table.columns)}
    assert macs_row[place["beyond MACs"]] == macs_row[place["beyond MACs in bands"]] == ""
    ends = [table.records[0][f"Spearman{end}"] for end in (" low", "", " high")]
    assert ends == [pytest.approx(score["spearman"][part], abs=1e-3) for part in ("low", "value", "high")]
    for name in ("Spearman", "beyond params", "beyond params in bands", "beyond MACs in bands"):
        assert "to" in table.rows[0][place[name]]


def test_noise_is_called_not_measurable():
    macs = np.linspace(1, 2, 20)
    truth = truth_of(np.full(20, 0.2), 0.01, macs)
    said = EstimatorRows("chance", "chance:1", rows_of(truth, np.random.default_rng(9).normal(size=20)))
    verdict = make_verdict(truth, [said], (3, 3), 0)
    assert "no better than chance" in notes_for_search(verdict, "chance", {"chance:1"})[-1]
    assert any("not measurable here" in note for note in ceiling_notes(verdict))
    assert verdict["gap"] == pytest.approx(1.96 * verdict["noise"], rel=1e-3)


def test_an_estimator_that_fails_on_every_network_is_told_of():
    macs = np.linspace(1, 2, 8)
    truth = truth_of(0.3 - macs / 10, 0.001, macs)
    rows = {one: {"failure": "TRN15: it printed nothing"} for one in truth.arch_ids}
    verdict = make_verdict(truth, [EstimatorRows("command", "command:1", rows)], (3, 3), 0)
    assert "printed nothing" in notes_for_search(verdict, "command", set())[-1]
    some = {**rows_of(truth, truth.macs), truth.arch_ids[0]: {"failure": "x"}}
    figures = make_verdict(truth, [EstimatorRows("command", "command:1", some)], (3, 3), 0)["estimators"][-1]
    assert figures["not_estimated"] == 1


def asked(**changes):
    """What a search in the audits' space, on their data and with their length of training asks for."""
    one = audit()
    definition, truth = definition_sha256(one.space.definition), one.schedule("final").fidelity
    return replace(Audited("mobilenetv3", "digits", definition, one.dataset.fingerprint, truth), **changes)


def test_the_newest_verdict_on_the_same_space_data_and_truth_is_found(store, tmp_path):
    verdict = audit().run(store, MadeUpTruth(), KeptReporter())
    assert latest_verdict(store, asked()) == verdict
    for other in (
        {"definition": "0"},
        {"fingerprint": "0"},
        {"truth": audit(training="normal").schedule("final").fidelity},
    ):
        assert latest_verdict(store, asked(**other)) is None
    larger = audit(networks=12).run(store, MadeUpTruth(), KeptReporter())
    assert latest_verdict(store, asked()) == larger != verdict
    with Store(tmp_path / "old.sqlite3") as old:
        assert latest_verdict(old, asked()) is None
    assert notes_for_search(None, "proxy", set()) == [NO_AUDIT]


def test_an_audit_that_is_run_once_more_is_the_newest_again(store):
    first, other = (audit(seed=seed).run(store, MadeUpTruth(), KeptReporter()) for seed in (0, 1))
    assert latest_verdict(store, asked()) == other
    assert audit().run(store, MadeUpTruth(), KeptReporter()) == first
    assert latest_verdict(store, asked()) == first
    for _ in range(2):
        audit().run(store, MadeUpTruth(), KeptReporter())
    assert len(AuditLog(store, audit().audit_id).rows(VERDICT)) == 2


def test_a_space_is_known_by_its_definition_and_a_verdict_of_before_by_the_name_of_its_family():
    verdict = {"space": "own.toml", "preset": "", "fingerprint": "data", "truth": "long", "definition": "d"}
    own = Audited("own.toml", "", "d", "data", "long")
    assert own.is_of(verdict) and replace(own, space="moved.toml").is_of(verdict)
    assert not replace(own, definition="edited").is_of(verdict)
    before = {name: value for name, value in verdict.items() if name != "definition"}
    assert not own.is_of(before)
    family = Audited("mnasnet", "fashion", "d", "data", "long")
    assert family.is_of({**before, "space": "mnasnet", "preset": "fashion"})
    assert not family.is_of({**before, "space": "mnasnet", "preset": "digits"})


def test_estimators_of_several_runs_add_up_and_those_that_saw_fewer_networks_are_named(store):
    def names(verdict):
        return [one["name"] for one in verdict["estimators"]][2:]

    audit(estimators=("zero-cost:params",)).run(store, MadeUpTruth(), KeptReporter())
    both = audit(estimators=("zero-cost:macs",)).run(store, MadeUpTruth(), KeptReporter())
    assert names(both) == ["zero-cost:macs", "zero-cost:params"] and both["partly_judged"] == []
    notes = notes_for_search(both, "zero-cost:params", {one["source"] for one in both["estimators"]})
    assert "zero-cost:params ranks at tau" in notes[-1]
    grown = audit(networks=12, estimators=("zero-cost:macs",)).run(store, MadeUpTruth(), KeptReporter())
    assert names(grown) == ["zero-cost:macs"] and grown["partly_judged"] == ["zero-cost:params"]
    assert any("zero-cost:params" in note and "--estimator" in note for note in audit_result(grown).notes)


def test_what_a_study_says_of_itself_holds_the_audit_of_its_own_training(make_study):
    study, normal = make_study(), make_study(training="normal")
    for context in (normal, study):
        require_same_data(context)
    verdict = audit().run(study.store, MadeUpTruth(), KeptReporter())
    for context, expected in ((study, verdict), (normal, None)):
        result = load_result(study.store, context.study_id)
        document = study_document(result)
        assert (
            result.audit.verdict == result.front_json()["audit"]["verdict"] == document["audit"]["verdict"] == expected
        )
    assert document["audit"]["notes"] == [NO_AUDIT]
