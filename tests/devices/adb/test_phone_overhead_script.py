"""The counting of benchmarks/phone_overhead.py: a campaign that lost, doubled or swapped a result is seen."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from software_phone.adb_server import wait_until

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


def test_the_moments_of_cuts_are_spread_over_the_campaign(script: ModuleType) -> None:
    moments = script.draw_moments(np.random.default_rng(0), 50, 200)
    assert len(moments) == 50 and moments == script.draw_moments(np.random.default_rng(0), 50, 200)
    with_launch = [moment for moment in moments if moment.launch >= 0]
    places = [moment.launch for moment in with_launch]
    assert places == sorted(places) and places[0] < 20 and 160 < places[-1] < 195 and 30 < len(places) < 50
    assert all((moment.after_bytes > 0) != (moment.wait_s > 0) for moment in with_launch)
    assert 10 < sum(moment.after_bytes > 0 for moment in with_launch) < 40
    assert moments[0].launch >= 0  # nothing recovers before the first cut


class _Sink:
    """Takes what a proxy passes on."""

    def __init__(self) -> None:
        self.taken = b""

    def sendall(self, data: bytes) -> None:
        self.taken += data


def test_a_proxy_cuts_by_the_launches_of_a_campaign(script: ModuleType) -> None:
    """A batch counts its launches from 0, after a cut too; what a runner prints is no mark."""
    proxy, results = script.CountingProxy("127.0.0.1", 1).start(), []
    proxy.results = lambda: len(results)

    def pass_on(*numbers: int, direction: str = "down") -> bytes:
        sink = _Sink()
        data = b"".join(b"@0123456789ab begin %d 1.5 - - - .\nbegin 99 \n" % number for number in numbers)
        proxy._one(sink, data, direction)
        return sink.taken

    moments = [script.Moment(1, 5, 0.0), script.Moment(3, 1, 0.0), script.Moment(4, 1, 0.0)]
    try:
        with proxy.cutting(moments):
            assert pass_on(0).endswith(b"99 \n") and proxy.cuts == 0
            assert pass_on(1).endswith(b"begin 1 1.5 -") and (proxy.cuts, proxy.launch_at_cut) == (1, 1)
            results += ["a", "b"]
            assert pass_on(7, direction="up").endswith(b"99 \n") and proxy.cuts == 1
            assert pass_on(0, 1).endswith(b"begin 1 1") and (proxy.cuts, proxy.launch_at_cut) == (2, 3)
        assert pass_on(0, 1, 2, 3).endswith(b"99 \n") and proxy.cuts == 2
    finally:
        proxy.stop()


def test_a_proxy_cuts_again_while_the_link_recovers(script: ModuleType) -> None:
    proxy = script.CountingProxy("127.0.0.1", 1).start()
    try:
        with proxy.cutting([script.Moment(0, 1, 0.0), script.Moment(-1, 0, 0.01)]):
            proxy._one(_Sink(), b"@0123456789ab begin 0 1.5 - - - .\n", "down")
            wait_until(lambda: proxy.cuts == 2, 10, "no second cut")
    finally:
        proxy.stop()
