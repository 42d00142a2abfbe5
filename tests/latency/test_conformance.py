"""The table as a latency estimator."""

import numpy as np

from latency.testing import LatencyEstimatorConformance, made_up_table
from mnas.spaces.presets import open_space

SPACE = open_space("mobilenetv3", "digits")


class TestLatencyTable(LatencyEstimatorConformance):
    def estimator(self):
        return made_up_table(SPACE)

    def architectures(self):
        rng = np.random.default_rng(3)
        return [SPACE.decode(SPACE.sample(rng)) for _ in range(4)]
