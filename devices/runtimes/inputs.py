"""What a model is fed while it is measured: random numbers from a fixed seed, or the number that the caller names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_INPUT_SEED = 20240229
_SAMPLE_RATE_NAMES = ("sr", "sample_rate", "sampling_rate")
_SAMPLE_RATE = 16000
"""Speech models take one of a few sampling rates as a scalar; a random integer would be none of them."""


def random_input(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an input from a fixed seed: standard normal, integers 0 .. 99, or true and false at random.

    Random, because zeros make runtimes and CPUs faster than real images do. A shape without sizes gives a scalar.
    """
    rng, sizes = np.random.default_rng(_INPUT_SEED), tuple(int(size) for size in shape)
    if np.issubdtype(dtype, np.bool_):
        return np.asarray(rng.integers(0, 2, size=sizes) == 1)
    if np.issubdtype(dtype, np.integer):
        return np.asarray(rng.integers(0, 100, size=sizes)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        return np.asarray(rng.standard_normal(sizes)).astype(dtype)
    raise ValueError(f"an input of type {np.dtype(dtype)} cannot be filled with numbers")


def fixed_shape(shape: Sequence[object], given: Sequence[int]) -> tuple[int, ...]:
    """Replace the free dimensions of a model's input by those of the artefact.

    Raises:
        ValueError: A dimension is free and the artefact does not say it.
    """
    sizes = []
    for place, size in enumerate(shape):
        if isinstance(size, int) and size > 0:
            sizes.append(size)
        elif len(given) == len(shape):
            sizes.append(int(given[place]))
        else:
            raise ValueError(f"input shape {list(shape)} has free dimensions and the artefact says {list(given)}")
    return tuple(sizes)


@dataclass(frozen=True, slots=True)
class Feed:
    """What is known of a model's inputs beside what its file says.

    Attributes:
        shape: Sizes of whichever input has as many dimensions, for its free ones; empty where unknown.
        shapes: Name of an input -> its sizes; goes before ``shape``.
        fill: Name of an input -> the number that all of it is filled with, in place of random ones.
    """

    shape: tuple[int, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fill: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, request: Mapping[str, Any]) -> Feed:
        """Read the fields ``shape``, ``shapes`` and ``fill`` of a request; those that are missing are empty."""
        return cls(
            tuple(request.get("shape", ())),
            {name: tuple(sizes) for name, sizes in request.get("shapes", {}).items()},
            dict(request.get("fill", {})),
        )

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse shapes and fillings for inputs that the model does not have.

        Raises:
            ValueError: Names that are not among ``names``.
        """
        known = list(names)
        strange = sorted({*self.shapes, *self.fill} - set(known))
        if strange:
            raise ValueError(f"the model has no input {', '.join(strange)}; its inputs are {', '.join(known)}")

    def sizes(self, name: str, shape: Sequence[object], *, may_resize: bool = False) -> tuple[int, ...]:
        """Return the sizes of an input.

        Args:
            name: Of the input.
            shape: As the file has it; a size that is no positive integer is free.
            may_resize: The runtime can change fixed sizes too.

        Raises:
            ValueError: A free size is not given, or a size given is not what the file fixes.
        """
        given = self.shapes.get(name)
        if given is None:
            try:
                return fixed_shape(shape, self.shape)
            except ValueError:
                raise ValueError(f"input {name} has free sizes, {_sizes(shape)}, and none were given for it") from None
        fits = len(given) == len(shape) and all(
            may_resize or not isinstance(size, int) or size < 1 or size == new
            for size, new in zip(shape, given, strict=True)
        )
        if not fits:
            raise ValueError(f"input {name}: sizes {_sizes(given)} were given and the model has {_sizes(shape)}")
        return given

    def value(self, name: str, sizes: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return what an input is fed.

        Raises:
            ValueError: The type holds no numbers, or the number to fill in does not fit it.
        """
        number = self.fill.get(name)
        if number is None and not tuple(sizes) and name.lower() in _SAMPLE_RATE_NAMES:
            number = _SAMPLE_RATE if np.issubdtype(dtype, np.integer) else None
        if number is None:
            try:
                return random_input(sizes, dtype)
            except ValueError as error:
                raise ValueError(f"input {name}: {error}") from None
        wanted = np.asarray(number)
        with np.errstate(all="ignore"):
            filled = np.full(tuple(sizes), wanted.astype(dtype), dtype=dtype)
        if not np.issubdtype(dtype, np.floating) and wanted.astype(dtype) != wanted:
            raise ValueError(f"input {name}: {number:g} does not fit into {np.dtype(dtype)}")
        return filled


def _sizes(shape: Sequence[object]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
