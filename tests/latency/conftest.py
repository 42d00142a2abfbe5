"""A simulated device whose latencies add up exactly over the operators of the model file."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import onnx
import pytest

from devices.protocol import ProtocolSettings
from devices.testing import SimulatedDevice
from latency.on_device import COMPONENTS
from latency.plan import LutPlan, LutSettings
from mnas.export.artifact import ModelArtifact
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store

PROTOCOL = ProtocolSettings(rounds=4, calibration_rounds=4, warmup=0, min_runs=1, max_runs=2, resamples=20)


class AdditiveDevice(SimulatedDevice):
    """Reads the file and sums over its operators and weights.

    Args:
        overhead_ms: What every model costs besides its operators.
        speed: Divides every latency, as another state of the machine does.
        options: Of the `SimulatedDevice`; no noise unless asked for.
    """

    def __init__(self, *, overhead_ms: float = 0.05, speed: float = 1.0, **options) -> None:
        super().__init__(**{"noise": 0.0, **options})
        self.overhead_ms = overhead_ms
        self._speed = speed
        self._known: dict[str, float] = {}

    def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
        failed = super().load(artifacts := list(artifacts))
        for artifact in artifacts:
            model = onnx.load(artifact.path)
            parts = [0.003 * len(model.graph.node), *map(_weight_ms, model.graph.initializer)]
            self._known[artifact.sha256] = self.overhead_ms + sum(parts)
        return failed

    def true_ms(self, artifact: ModelArtifact) -> float:
        return self._known[artifact.sha256] / self._speed


def _weight_ms(tensor: onnx.TensorProto) -> float:
    """Not linear in the size, so that no network's latency is one in its MACs."""
    return 0.001 * prod(tensor.dims) ** 0.7


@pytest.fixture
def additive_device():
    """Make a device: ``additive_device(overhead_ms=0.1)``."""
    return AdditiveDevice


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / FILE_NAME, COMPONENTS) as opened:
        yield opened


@pytest.fixture(scope="session")
def plan():
    """A small real plan: the digits space at 8 px."""
    return LutPlan(open_space("mobilenetv3", "digits", (8,)), LutSettings("accurate", PROTOCOL, 5, 6))
