"""What a study says of the table that it takes: not validated, or of a device that has drifted since."""

import pytest

from mnas.config import make_config
from mnas.errors import LutError
from mnas.spaces.presets import open_space
from search.context import StudyContext
from search.data.registry import open_dataset
from search.events import EventLog
from search.preparation import prepare
from search.study import Study, open_store
from search.testing import KeptReporter, MadeUpTraining


@pytest.fixture
def prepared(copy_after_lut):
    """Change a finished table by a statement, prepare a study on it, and return its reporter and its notices."""

    def prepare_after(statement="", *, is_begun=False, **keys):
        out = copy_after_lut("prepared")
        lut = {"lut_rounds": 3, "lut_calibration": 3, "lut_validation": 3}
        with open_store(out) as store:
            if statement:
                store.execute(statement)
            config = make_config({"data": "digits", "preset": "digits", "training": "small", **lut, **keys})
            study = Study.create(store, config)
            context = StudyContext(
                study_id=study.study_id,
                config=config,
                store=store,
                log=EventLog(store, study.study_id),
                space=open_space("mobilenetv3", "digits"),
                dataset=open_dataset("digits"),
                executor=MadeUpTraining(),
                out=out,
                reporter=KeptReporter(),
            )
            if is_begun:
                (row,) = store.query("SELECT lut_id FROM lut")
                context.log.append("lut", {"lut_id": row["lut_id"], "foreign": None, "is_simulated": False})
            sittings = store.query("SELECT count(*) FROM lut_sitting")[0][0]
            prepare(context)
            assert store.query("SELECT count(*) FROM lut_sitting")[0][0] == sittings, "nothing was built"
            return context.reporter, context.log.payloads("notice")

    return prepare_after


DRIFTED = "UPDATE lut_network SET measured_ms = 3 * measured_ms, high_ms = 3 * high_ms"


@pytest.mark.parametrize("keys", [{}, {"lut": "lut1"}], ids=["found", "named"])
def test_no_search_begins_on_a_device_that_has_drifted_far_since_the_table_was_built(prepared, keys):
    with pytest.raises(LutError, match=r"LUT10.*at least, 30% allowed.*--allow-foreign-lut") as refused:
        prepared(DRIFTED, **keys)
    assert refused.value.exit_code == 6


@pytest.mark.parametrize("keys", [{"is_begun": True}, {"lut": "lut1", "allow_foreign_lut": True}])
def test_drift_that_is_allowed_or_came_later_is_told_on_everything_that_follows(prepared, keys):
    reporter, notices = prepared(DRIFTED, **keys)
    (warning,) = [text for text in reporter.warnings if "drifted" in text]
    assert "lut build --anew" in warning and notices["drift"]["text"] == warning


def test_a_table_without_validation_is_marked_on_everything_that_follows(prepared):
    reporter, notices = prepared("UPDATE lut SET validation_json = NULL")
    assert "UNVALIDATED" in notices["unvalidated"]["text"]
    assert notices["unvalidated"]["text"] in reporter.warnings


def test_a_device_on_which_sums_of_blocks_do_not_hold_is_told_with_what_can_be_done(prepared):
    reporter, notices = prepared("UPDATE lut SET calibration_json = json_set(calibration_json, '$.cv_error', 0.9)")
    text = notices["not additive"]["text"]
    assert "not additive here" in text and "--objectives error,latency=measured" in text
    assert text in reporter.warnings


def test_of_a_sound_table_nothing_is_noted_and_drift_has_been_looked_for(prepared):
    # Stored intervals that are wide: what these tiny networks take on a busy machine is then no drift for sure.
    reporter, notices = prepared("UPDATE lut_network SET low_ms = 0.1 * measured_ms, high_ms = 1.9 * measured_ms")
    assert notices == {}
    assert any("of its networks are off by" in text for text in reporter.lines)
