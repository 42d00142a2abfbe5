"""The best networks of a study as files, and what measuring changed among its finalists."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.marks import TableMarks, stored_marks
from latency.saving import save_table
from latency.testing import made_up_table
from latency.validation import MeasuredNetworks, validate
from mnas.architecture import Architecture
from mnas.cli.output import Format, render
from mnas.cli.study_changes import changes_note, changes_parts
from mnas.cli.study_view import candidates_result, front_result, table_notes
from mnas.errors import StudyError
from search.candidate import ObjectiveValue
from search.cards import make_card
from search.foreign import ForeignTable
from search.goal import goal_of, set_goal
from search.outlook import Outlook
from search.ranking import Ranking
from search.reranking import changes
from search.result import FrontMember, load_result
from search.top import top_networks, write_top


@pytest.fixture
def searched(make_study):
    """A study with candidates, as a result, with its context."""
    context = make_study(budget=12, population=4)
    table = made_up_table(context.space)
    goal = set_goal(context.space, table, None, context.config.seed, 10)
    context.log.append("goal", goal.to_json())
    Ranking(context, table, goal).run()
    return context, load_result(context.store, "")


def member_of(candidate, measured_ms, val_error, export="exports/one"):
    return FrontMember(
        candidate=candidate,
        measured_ms=measured_ms,
        interval_ms=(measured_ms * 0.99, measured_ms * 1.01),
        verdict="ok",
        val_errors=(val_error,),
        val_images=100,
        seeds=(1,),
        test_errors=(),
        test_images=0,
        is_recommended=True,
        ties_with=(),
        same_latency_as=(),
        export=export,
        exported_seed=1,
        exported_test_error=None,
        reward=1 - val_error,
    )


def test_finalists_come_first_and_candidates_fill_up_by_reward(searched, tmp_path):
    context, result = searched
    worst = max(result.candidates, key=lambda one: one.error)
    with_member = replace(result, members=(member_of(worst, result.goal.target_ms * 2, 0.9),))
    source = context.out / "exports" / "one"
    source.mkdir(parents=True)
    (source / "model.onnx").write_bytes(b"model")
    top = top_networks(with_member, 4)
    assert [one.rank for one in top] == [1, 2, 3, 4]
    assert (top[0].arch_id, top[0].split, top[0].latency_source) == (worst.arch_id, "val", "measured")
    rewards = [one.reward for one in top[1:]]
    others = sorted((one.reward for one in result.candidates if one is not worst), reverse=True)
    assert rewards == others[:3]
    for _ in range(2):  # written a second time it is the same
        write_top(with_member, top, context.space, context.out, tmp_path / "top")
        folders = [tmp_path / "top" / f"{one.rank}-{one.arch_id[:12]}" for one in top]
        assert (folders[0] / "model.onnx").read_bytes() == b"model"
        for one, folder in zip(top[1:], folders[1:], strict=True):
            text = (folder / "architecture.json").read_text(encoding="utf-8")
            assert Architecture.from_json(json.loads(text)).arch_id == one.arch_id
            assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["weights"] is None
            assert "without weights" in (folder / "card.md").read_text(encoding="utf-8")
    document = json.loads((tmp_path / "top" / "top.json").read_text(encoding="utf-8"))
    assert [one["arch_id"] for one in document["networks"]] == [one.arch_id for one in top]


def test_what_is_predicted_by_a_doubtful_or_foreign_table_says_so_in_every_file(searched, tmp_path):
    context, result = searched
    foreign = ForeignTable("lut2", "Phone | <b>X</b>", "key", {"model": ["Phone", "PC"]}, {})
    marked = replace(result, tables=(TableMarks("lut2", ("UNVALIDATED",)),), foreign_lut=foreign)
    for shown, marks, stamp in ((result, [], None), (marked, ["UNVALIDATED"], foreign.stamp())):
        top, folder = top_networks(shown, 2), tmp_path / str(len(marks))
        write_top(shown, top, context.space, context.out, folder)
        documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]
        stamped = [one for one in documents if one["schema"] in ("mnas.top/1", "mnas.architecture-card/1")]
        assert [(one["lut_marks"], one["foreign_lut"]) for one in stamped] == [(marks, stamp)] * 3
        for path in folder.rglob("card.md"):
            text = path.read_text(encoding="utf-8")
            assert ("UNVALIDATED" in text) == ("by the FOREIGN table of Phone \\| \\<b>X" in text) == bool(marks)


@pytest.mark.parametrize("output_format", list(Format))
def test_every_candidate_is_shown_with_the_marks_of_the_table(searched, output_format):
    _, result = searched
    notices = ("latency table lut2 is UNVALIDATED: its predictions may be far off",)
    foreign = ForeignTable("lut2", "a phone", "key", {"model": ["Phone", "PC"]}, {})
    for shown in (candidates_result, front_result):
        members = (member_of(result.candidates[0], 1.0, 0.1),)
        sound = replace(result, members=members, tables=(TableMarks("lut2", ()),))
        marked = replace(sound, tables=(TableMarks("lut2", ("SIMULATED", "UNVALIDATED")),), notices=notices)
        marked = replace(marked, foreign_lut=foreign)
        for word in ("SIMULATED", "UNVALIDATED", "a phone"):
            assert word in render(shown(marked), output_format)
            assert word not in render(shown(sound), output_format)
    assert table_notes(marked) == ["latency table lut2: SIMULATED"], "what a notice says is not said twice"


def test_cards_and_results_carry_the_marks_of_every_devices_table(make_study):
    context = make_study(budget=8, population=4, device="host:ort", other_devices=("host:litert",))
    sound, doubtful = made_up_table(context.space), made_up_table(context.space)
    sound.validation = validate(*[MeasuredNetworks([1.0, 2.0], [1.0, 2.0], [1, 2], [1.0, 2.0])] * 2)
    doubtful.created_at_utc, doubtful.space = "2026-01-02", "another"
    tables = [save_table(context.store, one, []) for one in (sound, doubtful)]
    for key, table in zip(("", "2"), tables, strict=True):
        context.log.append("lut", {"lut_id": table.lut_id, "foreign": None}, key)
    outlook = Outlook.of(context.space, tables, context.config)
    goal = goal_of(outlook, None, 0, 10)
    context.log.append("goal", goal.to_json())
    Ranking(context, outlook, goal).run()
    result = load_result(context.store, "")
    first, second = (table.lut_id for table in tables)
    marks = [f"{first}: SIMULATED", f"{second}: SIMULATED", f"{second}: UNVALIDATED"]
    assert [one.marks for one in result.tables] == [tuple(table.marks()) for table in tables]
    assert result.lut_marks == result.front_json()["lut_marks"] == marks
    member = replace(member_of(result.candidates[0], 1.0, 0.1), device_ms=(1.0, 0.9))
    card = make_card(result, member, context.architecture(member.candidate.genome), context.dataset, tables[0])
    assert card["latency"]["lut_marks"] == marks and not card["latency"]["is_table_validated"]
    alone = replace(result, tables=result.tables[:1])
    assert alone.lut_marks == ["SIMULATED"] and alone.tables[0].is_validated


def test_a_table_that_is_gone_is_no_sound_one(store):
    gone = stored_marks(store, "lut7")
    assert gone.marks == ("NOT IN THIS STORE",) and not gone.is_validated


def test_by_accuracy_only_what_meets_the_target(searched):
    _, result = searched
    target = result.goal.target_ms
    within = sorted((one.error, one.predicted_ms) for one in result.candidates if one.predicted_ms <= target)
    found = top_networks(result, 100, "accuracy")
    assert [(pytest.approx(1 - one.top1), one.ms) for one in found] == within
    assert all(one.is_within_target for one in found)


def test_nothing_to_export_is_told(searched):
    _, result = searched
    with pytest.raises(StudyError, match="STU09"):
        top_networks(replace(result, candidates=()), 5)


@given(measured=st.lists(st.floats(0.5, 2.0), min_size=12, max_size=12), data=st.data())
def test_ranks_are_permutations_up_to_ties_and_violations_are_beyond(searched_once, measured, data):
    result = searched_once
    errors = data.draw(st.lists(st.floats(0, 1), min_size=12, max_size=12))
    target = result.goal.target_ms
    members = [
        member_of(one, target * factor, error)
        for one, factor, error in zip(result.candidates, measured, errors, strict=True)
    ]
    found = changes(members, target)
    for name, values in (("measured_rank", measured), ("val_rank", errors)):
        ranks = [getattr(one, name) for one in found]
        assert [1 + sum(other < value for other in values) for value in values] == ranks
    for one, member in zip(found, members, strict=True):
        assert one.is_violation == (member.candidate.predicted_ms <= target < member.measured_ms)
        assert one.is_violation or not one.is_certain
        assert (one.excess > 0) == (member.measured_ms > target)
    shown = replace(result, members=tuple(members))
    assert changes_note(shown).startswith("of 12 finalists")
    (table,) = changes_parts(shown)
    assert len(table.rows) == 12


@pytest.fixture(scope="module")
def searched_once(tmp_path_factory):
    from mnas.config import make_config
    from search.context import StudyContext
    from search.data.registry import open_dataset
    from search.events import EventLog
    from search.study import Study, open_store
    from search.study_space import study_space
    from search.testing import KeptReporter, MadeUpTraining

    out = tmp_path_factory.mktemp("top")
    with open_store(out) as store:
        config = make_config({"data": "digits", "preset": "digits", "training": "small", "budget": 12, "population": 4})
        study = Study.create(store, config)
        log = EventLog(store, study.study_id)
        dataset, space = open_dataset("digits"), study_space(log, config)
        context = StudyContext(
            study.study_id, config, store, log, space, dataset, MadeUpTraining(), out, KeptReporter()
        )
        table = made_up_table(space)
        goal = set_goal(space, table, None, 0, 10)
        log.append("goal", goal.to_json())
        Ranking(context, table, goal).run()
        return load_result(store, "")


def test_without_measured_finalists_nothing_changed(searched):
    _, result = searched
    assert changes_note(result) == "" and changes_parts(result) == []


def test_a_latency_that_was_measured_in_the_search_is_the_one_that_is_told(searched):
    _, searched = searched
    first = next(one for one in searched.candidates if one.reward is not None)
    value = ObjectiveValue("latency", 3 * first.predicted_ms, "measured")
    measured = replace(first, values=(ObjectiveValue("error", first.error, "proxy"), value))
    others = tuple(measured if one is first else one for one in searched.candidates)
    found = top_networks(replace(searched, candidates=others), len(others))
    (told,) = [one for one in found if one.arch_id == first.arch_id]
    assert (told.ms, told.latency_source) == (3 * first.predicted_ms, "measured")
