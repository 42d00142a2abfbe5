"""What a model file says of itself, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model.

    Attributes:
        name: As the file has it.
        dtype: numpy's name of the element type, e.g. ``float32``; ``string`` for text.
        shape: Sizes; ``None`` where the file leaves a size open.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TensorSpec:
        """Read what `to_json` wrote."""
        shape = tuple(None if size is None else int(size) for size in value["shape"])
        return cls(str(value["name"]), str(value["dtype"]), shape)


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model file says of itself, with the sizes that were given for its open dimensions.

    Attributes:
        inputs: In the file's order; no open size is left where all were given.
        outputs: In the file's order.
        operators: Operator -> how often it occurs; an operator of another domain is written ``domain:Operator``.
        macs: Multiply-accumulates of one inference, or ``None`` where they cannot be counted.
        params: Numbers stored as weights, or ``None``.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int] = field(default_factory=dict)
    macs: int | None = None
    params: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "inputs": [one.to_json() for one in self.inputs],
            "outputs": [one.to_json() for one in self.outputs],
            "operators": dict(self.operators),
            "macs": self.macs,
            "params": self.params,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelDescription:
        """Read what `to_json` wrote."""
        return cls(
            inputs=tuple(TensorSpec.from_json(one) for one in value["inputs"]),
            outputs=tuple(TensorSpec.from_json(one) for one in value["outputs"]),
            operators={str(name): int(count) for name, count in value["operators"].items()},
            macs=value["macs"],
            params=value["params"],
        )
