"""A candidate: a network of the space with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mnas.space import Genome

Status = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One evaluated network of a study.

    Attributes:
        number: Order in which it was asked for, from 0.
        arch_id: Of its architecture.
        genome: Canonical genome in the study's space.
        generation: Generation that asked for it, from 0.
        predicted_ms: Latency before it was trained.
        latency_source: ``lut``, ``measured``, ``predicted`` or ``simulated``.
        status: ``done`` or ``failed``.
        error: Fraction 0..1 on rank-val; ``None`` when it failed.
        loss: Cross-entropy on rank-val; ``None`` when it failed.
        accuracy_source: E.g. ``proxy:<fidelity>``.
        reward: MnasNet's reward; ``None`` when it failed.
        seed: Of its training.
        cost_s: CPU seconds.
        reason: Why it failed, or "".
    """

    number: int
    arch_id: str
    genome: Genome
    generation: int
    predicted_ms: float
    latency_source: str
    status: Status
    error: float | None
    loss: float | None
    accuracy_source: str
    reward: float | None
    seed: int
    cost_s: float
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        value["genome"] = list(self.genome)
        value["seed"] = str(self.seed)  # 63 bits are more than many readers of JSON keep
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Candidate:
        """Read what `to_json` wrote."""
        return cls(**{**value, "genome": tuple(value["genome"]), "seed": int(value["seed"])})

    @property
    def objectives(self) -> tuple[float, float]:
        """Error and latency; a failed candidate has the worst error."""
        return (1.0 if self.error is None else self.error, self.predicted_ms)
