"""What every latency estimator must do: a class to inherit in a test, and a table made up for tests."""

from __future__ import annotations

import numpy as np

from devices.testing import SimulatedDevice
from latency.calibration import Calibration
from latency.estimator import LatencyEstimator
from latency.key import segment_key
from latency.table import LatencyTable, LutEntry
from mnas.architecture import Architecture
from mnas.space import SearchSpace

_AFFINE = Calibration("affine", scale=1.1, intercept_ms=0.02, networks=4, cv_error=0.01)


def made_up_table(space: SearchSpace, calibration: Calibration = _AFFINE) -> LatencyTable:
    """Return a complete table of a space; what a segment takes, 0.5..1.5 ms, comes from the hash of its key."""
    entries = {}
    for segment in space.segments():
        ms = 0.5 + int(segment_key(segment)[:8], 16) / 16**8
        entries[segment] = LutEntry(ms, 0.9 * ms, 1.1 * ms, 10, "ok")
    return LatencyTable(
        lut_id="lut1-madeup",
        space=space.name,
        device=SimulatedDevice().info,
        dtype="float32",
        batch=1,
        settings={},
        entries=entries,
        calibration=calibration,
        validation=None,
        created_at_utc="2026-01-01T00:00:00+00:00",
    )


class LatencyEstimatorConformance:
    """Tests that every latency estimator must pass; inherit it in a ``Test...`` class and override both methods."""

    def estimator(self) -> LatencyEstimator:
        """Return an estimator, made anew at each call."""
        raise NotImplementedError

    def architectures(self) -> list[Architecture]:
        """Return three or more networks of different latency that it can estimate."""
        raise NotImplementedError

    def test_estimates_are_positive_and_lie_in_their_intervals(self) -> None:
        """Each is finite, and says where it comes from."""
        for estimate in self.estimator().estimate(self.architectures()):
            assert 0 < estimate.ms < float("inf")
            assert estimate.low_ms <= estimate.ms <= estimate.high_ms
            assert estimate.source in ("measured", "lut", "predicted", "simulated")

    def test_estimates_come_in_order_and_do_not_depend_on_company(self) -> None:
        """A network alone is estimated like the same network among others."""
        networks = self.architectures()
        together = [estimate.ms for estimate in self.estimator().estimate(networks)]
        alone = [self.estimator().estimate([network])[0].ms for network in networks]
        np.testing.assert_allclose(together, alone)
        assert together == [estimate.ms for estimate in reversed(self.estimator().estimate(networks[::-1]))]
        assert len(set(together)) > 1, "an estimator that says the same of every network is none"

    def test_no_network_no_estimate(self) -> None:
        """An empty population is no error."""
        assert self.estimator().estimate([]) == []

    def test_it_says_of_which_device_it_speaks(self) -> None:
        """Equal estimators name equal devices."""
        assert self.estimator().device_key == self.estimator().device_key != ""
