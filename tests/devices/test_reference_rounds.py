"""The references of a session, round by round."""

from __future__ import annotations

import json
import math

from devices.protocol import VisitRecord
from devices.reference_rounds import reference_rounds_ms


def test_each_round_has_the_median_of_its_runs_over_all_visits() -> None:
    records = [
        VisitRecord(0, "a", True, (1.0, 2.0)),
        VisitRecord(0, "m", False, (50.0,)),
        VisitRecord(0, "a", True, (9.0,)),
        VisitRecord(1, "a", True, (math.nan, 4.0)),
        VisitRecord(2, "a", True, (), error="failed"),
        VisitRecord(3, "foreign", True, (7.0,)),
    ]
    found = reference_rounds_ms(records, {"first": "a", "second": "b"})
    assert found == {"first": {"0": 2.0, "1": 4.0}, "second": {}}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
