"""The accuracy estimator of a study: what it was begun with is what it goes on with."""

import shlex
import sys
from dataclasses import replace

import pytest

from latency.testing import made_up_table
from mnas.errors import StudyError
from mnas.spaces.presets import open_space
from search.executors.executor import InProcessExecutor
from search.goal import set_goal
from search.ranking import Ranking
from search.study import Study
from search.study_accuracy import ACCURACY, study_estimator
from search.supernet.checkpoint import read_checkpoint
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import SupernetSchedule

SPACE = open_space("mobilenetv3", "digits")
SCRIPT = "import sys, json; text = open(sys.argv[1]).read(); print(json.dumps({'accuracy': (len(text) % 97) / 97}))\n"


@pytest.fixture(scope="module")
def table():
    return made_up_table(SPACE)


@pytest.fixture
def study(make_study, table):
    """Return a function that runs the generations of a study, begun or gone on with, and gives its context."""

    def run(study=None, **keys):
        context = make_study(InProcessExecutor(), study, population=4, **keys)
        goal = set_goal(context.space, table, None, context.config.seed, 10)
        Ranking(context, table, goal).run()
        return context

    return run


def larger(context):
    return Study(context.store, context.study_id, context.config.model_copy(update={"budget": 8}))


def evaluated(context):
    return list(context.log.payloads("evaluated").values())


def test_an_edited_script_is_refused_on_resuming_and_the_former_one_goes_on(study, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = shlex.join([sys.executable, str(script), "{architecture}"])
    begun = study(budget=4, accuracy_cmd=command)
    assert begun.log.payload(ACCURACY)["name"] == "command"
    script.write_text(SCRIPT.replace("97", "89"))
    with pytest.raises(StudyError, match=r"STU10.*command") as refused:
        study(larger(begun))
    assert refused.value.exit_code == 6 and len(evaluated(begun)) == 4
    script.write_text(SCRIPT)
    sources = {one["accuracy_source"] for one in evaluated(study(larger(begun)))}
    assert len(evaluated(begun)) == 8 and len(sources) == 1


def test_a_script_that_is_edited_while_the_search_runs_ends_it_before_the_next_generation(make_study, table, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)

    class Edits(InProcessExecutor):
        def map_in_order(self, jobs, on_done=None):
            found = super().map_in_order(jobs, on_done)
            script.write_text(SCRIPT.replace("97", "89"))
            return found

    command = shlex.join([sys.executable, str(script), "{architecture}"])
    context = make_study(Edits(), population=4, budget=8, accuracy_cmd=command)
    with pytest.raises(StudyError, match="STU10"):
        Ranking(context, table, set_goal(context.space, table, None, 0, 10)).run()
    assert len(evaluated(context)) == 4


def test_a_supernet_that_was_trained_on_is_refused_before_the_table_is_looked_at(study, tmp_path):
    path = tmp_path / "supernet.pt"
    whole = train_supernet(SupernetRequest(SPACE, "digits", None, SupernetSchedule(1, batch_size=64), 2, tmp_path))
    replace(whole, step=whole.steps // 2).save(path)
    begun = study(budget=4, accuracy=f"supernet:{path}")
    assert "of its schedule" in begun.log.payload("notice", ACCURACY)["text"]
    assert any("of its schedule" in text for text in begun.reporter.warnings)
    name, weight = next(iter(whole.weights.items()))
    replace(whole, weights={**whole.weights, name: weight + 1}).save(path)
    with pytest.raises(StudyError, match="STU10"):
        study_estimator(begun)
    with pytest.raises(StudyError, match="STU10"):
        larger(begun).run(tmp_path / "out", InProcessExecutor(), begun.reporter)
    assert not begun.log.payloads("lut") and len(evaluated(begun)) == 4
    assert read_checkpoint(path).is_finished


def test_what_a_study_was_begun_with_is_recorded_once(study):
    begun = study(budget=4, accuracy="zero-cost:params")
    again = study(larger(begun))
    assert len(evaluated(again)) == 8
    assert [event["kind"] for event in again.log.history()].count(ACCURACY) == 1
