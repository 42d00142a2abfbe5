"""What is known of any network before its accuracy is paid for: latency on each device, counts and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from latency.estimator import LatencyEstimate
from latency.table import LatencyTable
from mnas.config import StudyConfig
from mnas.genome_figures import GenomeFigures
from mnas.objectives import Objective
from mnas.space import Genome, SearchSpace
from search.combination import Combination, FloatArray


class Outlook:
    """The cheap objectives of a space's networks, by one latency table for each device.

    Args:
        space: The space.
        tables: One for each device, in the order of their numbers.
        objectives: As `mnas.objectives.read_objectives` gives them.
        combination: How the devices' latencies become one.

    Attributes:
        space: The space.
        tables: One for each device.
        objectives: What is minimised.
        combination: How the devices' latencies become one.
    """

    def __init__(
        self,
        space: SearchSpace,
        tables: Sequence[LatencyTable],
        objectives: Sequence[Objective],
        combination: Combination,
    ) -> None:
        self.space = space
        self.tables = tuple(tables)
        self.objectives = tuple(objectives)
        self.combination = combination
        self._figures = cache(lambda name: GenomeFigures(space, name, tables[0].dtype))

    @classmethod
    def of(cls, space: SearchSpace, tables: Sequence[LatencyTable], config: StudyConfig) -> Outlook:
        """Return the outlook of a study.

        Raises:
            ConfigError: ``CFG43``: the weights do not fit the devices.
        """
        combination = Combination.of(config.combine, config.weights, len(tables))
        return cls(space, tables, config.sought, combination)

    def device_ms(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return what the tables say of each network, milliseconds, ``(n, devices)``.

        Raises:
            LutError: ``LUT02``: a table lacks entries.
        """
        return np.stack([table.over(self.space).ms(list(genomes)) for table in self.tables], axis=1)

    def latency_ms(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the combined latencies, milliseconds, ``(n,)``."""
        return self.combination.of_devices(self.device_ms(genomes))

    def probability_within(self, genomes: Sequence[Genome], target_ms: float) -> FloatArray:
        """Return the probability that a session measures each network's combined latency within a target, ``(n,)``."""
        sd = np.stack([table.over(self.space).sd_ms(list(genomes)) for table in self.tables], axis=1)
        return self.combination.probability_within(self.device_ms(genomes), sd, target_ms)

    def estimates(self, genomes: Sequence[Genome]) -> list[tuple[LatencyEstimate, ...]]:
        """Return for each network one estimate a device, with its deviation and source."""
        architectures = [self.space.decode(genome) for genome in genomes]
        return list(zip(*(table.estimate(architectures) for table in self.tables), strict=True))

    def combined(self, estimates: Sequence[LatencyEstimate]) -> float:
        """Return the combined latency of one network's estimates, milliseconds."""
        return self.combination.of_one([one.ms for one in estimates])

    def figure(self, name: str) -> GenomeFigures:
        """Return ``macs``, ``params``, ``size`` or ``peak_memory`` of the space's networks, counted once."""
        return self._figures(name)

    def minimised(self, genomes: Sequence[Genome], objective: Objective) -> FloatArray:
        """Return one cheap objective of each network as something to minimise, ``(n,)``; latencies by the tables."""
        if objective.name == "latency":
            return self.device_ms(genomes)[:, objective.device - 1] if objective.device else self.latency_ms(genomes)
        values = self.figure(objective.name).values(list(genomes)).astype(np.float64)
        return -values if objective.is_maximised else values

    def cheap(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the objective that an algorithm may ask for freely, the last one, as something to minimise."""
        return self.minimised(genomes, self.objectives[-1])
