"""Every objective of a finalist, as it stands after the last training and measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latency.estimator import LatencyEstimate
from mnas.config import StudyConfig
from search.candidate import Candidate, ObjectiveValue
from search.combination import Combination
from search.events import EventLog, device_key

_Z95 = 1.96
INT8_NOTICE = (
    "Latencies are of int8 models, accuracies of the float32 weights: they do not hold what the integers cost."
)


class MeasuredFinalists:
    """What the devices said of finalists.

    Args:
        log: Of the study.
        config: Of the study.
    """

    def __init__(self, log: EventLog, config: StudyConfig) -> None:
        numbers = range(1, len(config.devices) + 1)
        self._networks: list[Mapping[str, Any]] = [
            (log.payload("measured", device_key(number)) or {"networks": {}})["networks"] for number in numbers
        ]
        self._combination = Combination.of(config.combine, config.weights, len(config.devices))

    def device_ms(self, arch_id: str) -> tuple[float | None, ...]:
        """Return the latency on each device, ``None`` where it is not known."""
        return tuple(networks.get(arch_id, {}).get("ms") for networks in self._networks)

    def interval_ms(self, arch_id: str) -> tuple[float, float] | None:
        """Return the 95 % interval of the combined latency: with several devices that of all lower and upper ends."""
        found = [networks[arch_id] for networks in self._networks if networks.get(arch_id, {}).get("ms")]
        if len(found) < len(self._networks):
            return None
        low, high = (self._combination.of_one([max(one[end], 0.0) for one in found]) for end in ("low_ms", "high_ms"))
        return low, high

    def ms(self, arch_id: str) -> float | None:
        """Return the latency, all devices combined; ``None`` as long as one is lacking."""
        known = [ms for ms in self.device_ms(arch_id) if ms]
        return self._combination.of_one(known) if len(known) == len(self._networks) else None

    def estimate(self, arch_id: str) -> LatencyEstimate | None:
        """Return the combined latency with the deviation that its interval speaks of."""
        ms, interval = self.ms(arch_id), self.interval_ms(arch_id)
        if ms is None or interval is None:
            return None
        return LatencyEstimate(ms, (interval[1] - interval[0]) / (2 * _Z95), "measured")

    def verdict(self, arch_id: str) -> str:
        """Return the verdict of the measurement, the first that is not ``ok`` of several."""
        verdicts = [str(networks.get(arch_id, {}).get("verdict", "")) for networks in self._networks]
        return next((one for one in verdicts if one != "ok"), "ok")

    def values(self, candidate: Candidate, val_errors: Sequence[float]) -> tuple[ObjectiveValue, ...]:
        """Return every objective of a finalist, in the study's order.

        Args:
            candidate: As it was ranked; its values stand where nothing better is known.
            val_errors: Of the final trainings; none where there are none.
        """
        ranked = candidate.values or (
            ObjectiveValue("error", candidate.error, candidate.accuracy_source),
            ObjectiveValue("latency", candidate.predicted_ms, candidate.latency_source),
        )
        return tuple(self._final(one, candidate.arch_id, val_errors) for one in ranked)

    def _final(self, ranked: ObjectiveValue, arch_id: str, val_errors: Sequence[float]) -> ObjectiveValue:
        if ranked.key == "error" and val_errors:
            source = f"mean of {len(val_errors)} seeds, final schedule"
            return ObjectiveValue("error", sum(val_errors) / len(val_errors), source)
        name, _, number = ranked.key.partition("@")
        if name != "latency":
            return ranked
        ms = self.device_ms(arch_id)[int(number) - 1] if number else self.ms(arch_id)
        return ranked if ms is None else ObjectiveValue(ranked.key, ms, "measured")
