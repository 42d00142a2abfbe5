"""A candidate: a network of the space with what is known about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mnas.objectives import Objective
from mnas.space import Genome
from search.accuracy.estimator import SCORE

Status = Literal["done", "failed"]
_WORST_ERROR = 1.0


@dataclass(frozen=True, slots=True)
class ObjectiveValue:
    """What one objective came to.

    Attributes:
        key: Of the objective, e.g. ``latency@2`` or ``params:max``; see `mnas.objectives.Objective.key`.
        value: In its own unit; ``None`` for an error that is not known.
        source: ``lut``, ``measured``, ``predicted``, ``simulated``, ``counted``, or an estimator of accuracy.
    """

    key: str
    value: float | None
    source: str

    @classmethod
    def of(cls, objective: Objective, value: float | None, source: str) -> ObjectiveValue:
        """Return the value of an objective."""
        return cls(objective.key, value, source)

    @property
    def minimised(self) -> float:
        """The value as something to minimise; an error that is not known is the worst."""
        if self.value is None:
            return _WORST_ERROR
        return -self.value if self.key.endswith(":max") else self.value


@dataclass(frozen=True, slots=True)
class Candidate:
    """One evaluated network of a study.

    Attributes:
        number: Order in which it was asked for, from 0.
        arch_id: Of its architecture.
        genome: Canonical genome in the study's space.
        generation: Generation that asked for it, from 0.
        predicted_ms: Latency before it was trained, all devices combined.
        latency_source: Of ``predicted_ms``: ``lut``, ``predicted`` or ``simulated``.
        status: ``done`` or ``failed``.
        error: Fraction 0..1 on rank-val, or the rank by a score (see `score`); ``None`` when it failed.
        loss: Cross-entropy on rank-val; ``None`` when it failed.
        accuracy_source: E.g. ``proxy:<fidelity>``.
        reward: MnasNet's reward; ``None`` when it failed, or was ranked by a score.
        seed: Of its training.
        cost_s: CPU seconds.
        reason: Why it failed, or "".
        values: Every objective of the study with its source; empty in studies from before there were others than
            error and latency.
        std: Standard deviation of the error over repeats, or as a user's trainer told it; ``None`` where not known.
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
    values: tuple[ObjectiveValue, ...] = ()
    std: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        value["genome"] = list(self.genome)
        value["seed"] = str(self.seed)  # 63 bits are more than many readers of JSON keep
        value["values"] = [asdict(one) for one in self.values]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Candidate:
        """Read what `to_json` wrote."""
        values = tuple(ObjectiveValue(**one) for one in value.get("values", ()))
        own = {"genome": tuple(value["genome"]), "seed": int(value["seed"]), "values": values}
        return cls(**{**value, **own})

    @property
    def score(self) -> str:
        """Name of the score that ranked it, or "": then ``error`` is the share of networks ahead of it."""
        return self.accuracy_source.split(":")[1] if self.accuracy_source.startswith(SCORE) else ""

    @property
    def objectives(self) -> tuple[float, ...]:
        """Every objective as something to minimise, the error first; a failed candidate has the worst error."""
        if not self.values:
            return (_WORST_ERROR if self.error is None else self.error, self.predicted_ms)
        return tuple(one.minimised for one in self.values)

    @property
    def latency_ms(self) -> float:
        """Latency that it was ranked by, all devices combined: measured where that is an objective, else predicted."""
        found = next((one.value for one in self.values if one.key == "latency"), None)
        return self.predicted_ms if found is None else found
