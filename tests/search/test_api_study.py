"""`search.api.Study` on studies as far as they have come, and who follows them."""

from __future__ import annotations

import errno
import logging
from dataclasses import asdict

import pytest

from latency.testing import made_up_table
from mnas.errors import ConfigError, StoreError, StudyError
from search.accuracy.jobs import TrainingOutcome
from search.adapters.tensorboard_log import TensorBoardLog
from search.api import Study
from search.api.log_reporter import LogReporter
from search.following import FollowedReporter, events_after, followed
from search.goal import set_goal
from search.ranking import Ranking
from search.testing import KeptReporter


@pytest.fixture
def searched(make_study):
    """A study whose two finalists are trained and measured; the first is recommended."""
    context = make_study(budget=4, population=4)
    table = made_up_table(context.space)
    goal = set_goal(context.space, table, None, 0, 10)
    context.log.append("goal", goal.to_json())
    first, second = Ranking(context, table, goal).run()[:2]
    context.log.append("finalists", {"members": [first.arch_id, second.arch_id]})
    for one, error in ((first, 0.1), (second, 0.2)):
        outcome = TrainingOutcome({"val": error}, {"val": 1.0}, {"val": 206}, 0.1, 1.0, seed=1)
        context.log.append("trained", asdict(outcome), f"{one.arch_id}/0")
    measured = {"ms": 1.5, "low_ms": 1.4, "high_ms": 1.7, "verdict": "ok"}
    networks = {first.arch_id: measured, second.arch_id: {**measured, "ms": 1.0, "low_ms": 0.9, "high_ms": 1.1}}
    context.log.append("measured", {"networks": networks})
    context.log.append("recommended", {"members": [first.arch_id], "best_under_target": first.arch_id})
    return context, first, second


def test_a_study_shows_its_front_and_its_candidates(searched):
    context, first, second = searched
    study = Study.open(out=context.out)
    assert study.study_id == context.study_id
    front = study.front()
    assert [row["arch_id"] for row in front] == [first.arch_id, second.arch_id]
    assert [row["recommended"] for row in front] == [True, False]
    assert (front[0]["measured_ms"], front[0]["low_ms"], front[0]["val_error"]) == (1.5, 1.4, 0.1)
    candidates = study.candidates()
    assert [row["number"] for row in candidates] == [0, 1, 2, 3]
    assert candidates[0]["objectives"] == [candidates[0]["error"], candidates[0]["predicted_ms"]]
    assert study.generations()[-1]["evaluations"] == 4
    assert study.rows() == front
    html = study._repr_html_()
    assert first.arch_id[:12] in html and "target" in html and context.study_id in html


def test_a_study_without_finalists_shows_its_candidates(make_study):
    context = make_study()
    study = Study.open(out=context.out)
    assert len(study.front()) == len(study.candidates()) == 0
    assert study.rows().title.startswith("candidates of study1")


def test_studies_are_listed(searched):
    context, _, _ = searched
    (row,) = Study.list(context.out)
    assert (row["study_id"], row["evaluations"]) == (context.study_id, 4)
    with pytest.raises(StudyError, match="STU01"):
        Study.open("study9", context.out)


def test_what_cannot_be_run_is_told_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match="CFG01"):
        Study.run({"bugdet": 1}, tmp_path / "out")
    with pytest.raises(ConfigError, match="CFG02"):
        Study.run(tmp_path / "study.toml", tmp_path / "out")
    with pytest.raises(StoreError, match="STO06"):
        Study.resume(out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_resuming_with_another_key_is_refused(make_study):
    context = make_study(seed=3)
    with pytest.raises(ConfigError, match=r"CFG03.*seed"):
        Study.resume(out=context.out, seed=4)


def test_the_figure_has_candidates_front_and_the_others(searched, optional_package):
    optional_package("plotly.graph_objects")
    context, _, _ = searched
    candidates, front, others = Study.open(out=context.out).plot().data
    assert len(candidates.x) == 4
    assert (list(front.x), list(front.y)) == ([1.5], [0.9])
    assert (list(others.x), list(others.y)) == ([1.0], [0.8])
    assert front.error_x.array[0] == pytest.approx(0.2)


class Kept:
    def __init__(self):
        self.events, self.is_closed = [], False

    def take(self, event):
        self.events.append(event)

    def close(self):
        self.is_closed = True


def test_followers_get_each_event_once_and_in_order_while_it_goes_on(make_study):
    context = make_study()
    kept, told = Kept(), KeptReporter()
    with followed(told, context.store, context.study_id, [kept]) as reporter:
        context.log.append("goal", {"target": 1})
        assert kept.events == []
        reporter.line("a line")
        assert [event.kind for event in kept.events] == ["goal"]
        context.log.append("generation", {"evaluations": 4}, "0/4")
        context.log.append("generation", {"evaluations": 8}, "1/8")
        reporter.progress("training", 1, 2)
        reporter.warn("a warning")
        context.log.append("over", {"why": "budget"})
    assert [(event.kind, event.key) for event in kept.events] == [
        ("goal", ""),
        ("generation", "0/4"),
        ("generation", "1/8"),
        ("over", ""),
    ]
    assert [event.sequence for event in kept.events] == [1, 2, 3, 4]
    assert kept.events == list(events_after(context.store, context.study_id))
    assert kept.is_closed and (told.lines, told.warnings) == (["a line"], ["a warning"])


def test_followers_are_closed_when_the_study_fails(make_study):
    context, kept = make_study(), Kept()
    with pytest.raises(KeyboardInterrupt), followed(KeptReporter(), context.store, context.study_id, [kept]):
        raise KeyboardInterrupt
    assert kept.is_closed


class Failing(Kept):
    def take(self, event):
        super().take(event)
        if len(self.events) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        super().close()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_follower_that_fails_is_warned_of_once_and_left_behind(make_study):
    context, told = make_study(), KeptReporter()
    failing, kept, ending = Failing(), Kept(), Failing()
    ending.take = kept.take  # fails at its end alone
    with followed(told, context.store, context.study_id, [failing, kept, ending]) as reporter:
        for number in range(4):
            context.log.append("generation", {"evaluations": number}, str(number))
            reporter.line(f"line {number}")
    assert told.lines == [f"line {number}" for number in range(4)]
    assert len(failing.events) == 2 and failing.is_closed and ending.is_closed and kept.is_closed
    assert [event.sequence for event in kept.events] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len(told.warnings) == 2 and all("No space left" in text for text in told.warnings)
    assert "Failing follows the study no more" in told.warnings[0] and "may lack its end" in told.warnings[1]


def test_a_folder_that_cannot_be_written_does_not_end_a_study(make_study, optional_package):
    optional_package("tensorboardX")
    context, told = make_study(), KeptReporter()
    with followed(told, context.store, context.study_id, [TensorBoardLog("/dev/null/runs")]) as reporter:
        for number in range(3):
            context.log.append("generation", {"evaluations": number}, str(number))
            reporter.line("a line")
    assert len(told.lines) == 3
    assert [text.partition(":")[0] for text in told.warnings] == ["TensorBoardLog follows the study no more"]


def test_a_resumed_study_is_followed_from_its_beginning(searched):
    context, _, _ = searched
    kept = Kept()
    FollowedReporter(KeptReporter(), context.store, context.study_id, [kept]).catch_up()
    assert sorted(event.payload["number"] for event in kept.events if event.kind == "evaluated") == [0, 1, 2, 3]


def test_logging_shows_warnings_and_hides_steps(caplog):
    reporter = LogReporter("mnas.test")
    with caplog.at_level(logging.INFO, "mnas.test"):
        reporter.line("begun")
        reporter.warn("beware")
        reporter.progress("training", 1, 2)
        reporter.progress("training", 2, 2)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "begun"),
        ("WARNING", "beware"),
        ("INFO", "training: 2/2"),
    ]
