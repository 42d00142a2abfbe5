"""A table that lacks entries of the space: refused, unless they may be predicted; then everybody is told."""

import json

import pytest

from mnas.config import make_config
from mnas.errors import LutError
from search.events import EventLog
from search.study import Study, open_store
from search.testing import KeptReporter, ShortTraining

KEYS = {"data": "digits", "preset": "digits", "training": "small", "population": 4, "budget": 8, "lut": "lut1"}
KEYS |= {"finalists": 2, "finalist_seeds": 1}


@pytest.mark.slow
def test_missing_entries_are_refused_or_filled_in_and_told(copy_after_lut):
    out, reporter = copy_after_lut("lacking"), KeptReporter()
    with open_store(out) as store:
        rows = store.query("SELECT key, segment_json FROM lut_entry")
        gone = [row["key"] for row in rows if json.loads(row["segment_json"])["role"] == "block"][::3]
        for key in gone:
            store.execute("DELETE FROM lut_entry WHERE key = ?", (key,))
        with pytest.raises(LutError, match=r"LUT02.*--missing interpolate"):
            Study.create(store, make_config(KEYS)).run(out, ShortTraining(), KeptReporter())
        study = Study.create(store, make_config({**KEYS, "missing": "interpolate"}))
        log = EventLog(store, study.study_id)
        study.run(out, ShortTraining(log), reporter)
        sources = [one["latency_source"] for one in log.payloads("evaluated").values()]
    assert len(sources) == 8 and "predicted" in sources and set(sources) <= {"predicted", "lut"}
    said = f"lacks {len(gone)} of the {len(rows)} segments"
    assert any(said in warning for warning in reporter.warnings)
    assert any(said in notice for notice in json.loads((out / "front.json").read_text())["notices"])
