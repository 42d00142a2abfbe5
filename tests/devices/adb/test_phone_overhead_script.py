"""The counting of benchmarks/phone_overhead.py: a campaign that lost, doubled or swapped a result is seen."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from devices.measurement import Sample, SampleEvent, Visit
from mnas.export.artifact import ModelArtifact

_BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    before = list(sys.path)
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        import _phone

        return _phone
    finally:
        sys.path[:] = before
        for name in ("_phone", "_result"):
            sys.modules.pop(name, None)


@pytest.fixture
def visits() -> list[Visit]:
    sizes = [20_000 + 12 * number for number in range(4)]
    return [
        Visit(ModelArtifact(Path("m"), "tflite", "float32", (1, 8, 8, 3), f"{size:064x}", size, "", "1"), 5, 2)
        for size in sizes
    ]


def event(visit: Visit, value_ms: float, error: str = "") -> SampleEvent:
    return SampleEvent(visit, () if error else (Sample(value_ms, visit.runs, "launch_median"),), error=error)


def right(script: ModuleType, visit: Visit) -> SampleEvent:
    return event(visit, script.pretended_ms(visit.artifact.size_bytes, visit.runs))


def test_one_right_result_each_is_valid(script: ModuleType, visits: list[Visit]) -> None:
    count = script.count_results([right(script, one) for one in visits], visits)
    assert (count.valid, count.missing, count.twice, count.errors) == (4, 0, 0, ())


def test_lost_doubled_swapped_and_failed_results_are_seen(script: ModuleType, visits: list[Visit]) -> None:
    first, second, third, last = visits
    swapped = event(second, script.pretended_ms(third.artifact.size_bytes, third.runs))
    events = [right(script, first), right(script, first), swapped, event(third, 0.0, "hung")]
    count = script.count_results(events, visits)
    assert (count.valid, count.missing, count.twice, count.errors) == (0, 1, 1, ("hung",))
    few = SampleEvent(last, (Sample(script.pretended_ms(last.artifact.size_bytes, 5), 3, "launch_median"),))
    assert script.count_results([few], [last]).valid == 0


def test_the_moments_of_cuts_lie_within_the_campaign(script: ModuleType) -> None:
    moments = script.draw_moments(np.random.default_rng(0), 50, 100_000)
    assert len(moments) == 50 and moments == script.draw_moments(np.random.default_rng(0), 50, 100_000)
    assert all(moment.after_bytes >= 1 for moment in moments)
    assert 50_000 < sum(moment.after_bytes for moment in moments) <= 100_050
    assert 10 < sum(moment.wait_s == 0 for moment in moments) < 40
