"""What trying a model once in a process of its own says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from devices.models.description import TensorSpec

How = Literal["ok", "refused", "crashed", "hung", "out of memory"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One loading and one inference in a fresh process, with a deadline and a limit to its memory.

    Attributes:
        how: ``ok``; ``refused`` by the runtime with a reason; the process ``crashed`` or ``hung``; or it came to its
            limit, ``out of memory``.
        error: One line, or "".
        load_ms: Until the model was ready to run; ``None`` where it never was.
        first_run_ms: Of the first inference; ``None`` where there was none.
        peak_memory_bytes: Growth of the process's resident memory from before loading to its peak; ``None`` where
            unknown.
        bad_outputs: Names of outputs that held a NaN or an infinity.
        outputs: As they came out, so no size is open.
        notes: What ran otherwise than asked for, e.g. operators that fell back to the CPU.
    """

    how: How
    error: str = ""
    load_ms: float | None = None
    first_run_ms: float | None = None
    peak_memory_bytes: int | None = None
    bad_outputs: tuple[str, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "outputs": [one.to_json() for one in self.outputs]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trial:
        """Read what `to_json` wrote."""
        made = {name: value[name] for name in cls.__dataclass_fields__}
        made["outputs"] = tuple(TensorSpec.from_json(one) for one in value["outputs"])
        for name in ("bad_outputs", "notes"):
            made[name] = tuple(value[name])
        return cls(**made)
