"""The counting of benchmarks/phone_overhead.py: a campaign that lost, doubled or swapped a result is seen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from software_phone.adb_server import wait_until
from software_phone.cutting_proxy import CuttingProxy

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


@given(st.integers(0, 2**32), st.integers(1, 100), st.integers(1, 300))
def test_moments_of_cuts_are_as_many_as_asked_for_and_within_the_campaign(
    script: ModuleType, seed: int, count: int, launches: int
) -> None:
    moments, launch, seen = script.Moments(np.random.default_rng(seed), count, launches), -1, []
    while (moment := moments.draw(launch)) is not None:
        seen.append(moment)
        assert moment.launch == -1 or launch <= moment.launch < launches
        launch = max(launch, moment.launch)
    assert len(seen) == count and seen[0].launch >= 0


def test_moments_of_cuts_are_spread_over_the_campaign(script: ModuleType) -> None:
    lasts, halves = [], []
    for seed in range(50):
        moments, places = script.Moments(np.random.default_rng(seed), 50, 200), [-1]
        while (moment := moments.draw(places[-1])) is not None:
            places.append(max(places[-1], moment.launch))
        lasts.append(places[-1])
        halves.append(np.mean(np.array(places) < 100))
    assert 175 < np.median(lasts) < 195 and 0.4 < np.mean(halves) < 0.7


class _Sink:
    """Takes what a proxy passes on."""

    def __init__(self) -> None:
        self.taken = b""

    def sendall(self, data: bytes) -> None:
        self.taken += data


class _Dead(_Sink):
    def sendall(self, data: bytes) -> None:
        raise BrokenPipeError


class _Listed:
    """Moments that are known before."""

    def __init__(self, *moments: object) -> None:
        self._left = list(moments)

    def draw(self, launch: int) -> object:
        return self._left.pop(0) if self._left else None


def _marks(*numbers: int) -> bytes:
    return b"".join(b"@0123456789ab begin %d 1.5 - - - .\nbegin 99 \n" % number for number in numbers)


@pytest.fixture
def proxy(script: ModuleType) -> Iterator[CuttingProxy]:
    made = script.CountingProxy("127.0.0.1", 1).start()
    yield made
    made.stop()


def test_a_proxy_cuts_by_the_launches_of_a_campaign(script: ModuleType, proxy: CuttingProxy) -> None:
    """A batch counts its launches from 0, after a cut too; what a runner prints is no mark."""
    results: list[str] = []
    proxy.results = lambda: len(results)

    def pass_on(*numbers: int, direction: str = "down") -> bytes:
        sink = _Sink()
        proxy._one(sink, _marks(*numbers), direction)
        return sink.taken

    with proxy.cutting(_Listed(script.Moment(1, 5), script.Moment(3, 1), script.Moment(4, 1))):
        assert pass_on(0).endswith(b"99 \n") and proxy.cuts == 0
        assert pass_on(1, 2).endswith(b"begin 1 1.5 -") and (proxy.cuts, proxy.launch_at_cut) == (1, 1)
        results += ["a", "b"]
        assert pass_on(7, direction="up").endswith(b"99 \n") and proxy.cuts == 1
        assert pass_on(0, 1).endswith(b"begin 1 1") and (proxy.cuts, proxy.launch_at_cut) == (2, 3)
    assert pass_on(0, 1, 2, 3).endswith(b"99 \n") and proxy.cuts == 2


def test_a_moment_that_met_a_dead_connection_is_for_the_next_one(script: ModuleType, proxy: CuttingProxy) -> None:
    with proxy.cutting(_Listed(script.Moment(0, 5))):
        with pytest.raises(BrokenPipeError):
            proxy._one(_Dead(), _marks(0), "down")
        assert proxy.cuts == 0
        proxy._one(_Sink(), _marks(0), "down")
        assert proxy.cuts == 1


def test_a_proxy_cuts_again_while_the_link_recovers(script: ModuleType, proxy: CuttingProxy) -> None:
    with proxy.cutting(_Listed(script.Moment(0, 1), script.Moment(-1, wait_s=0.01))):
        proxy._one(_Sink(), _marks(0), "down")
        wait_until(lambda: proxy.cuts == 2, 10, "no second cut")
