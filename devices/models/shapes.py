"""Sizes of a model's inputs: what ``--shape`` says, what the file fixes, and what is left open."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mnas.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]
"""Input -> its full sizes. The name "" stands for the only input of a model that has one."""

UNNAMED = ""
MAX_ELEMENTS = 2**30
_NAMELESS = frozenset({"", "?", "none", "-1", "unk"})
_NOT_BATCH = re.compile(r"seq|len|time|frame|token|sample|height|width|chan|feat|^[htlwc]$", re.IGNORECASE)
_BATCH = re.compile(r"batch|^n$|^b$|^bs$", re.IGNORECASE)
_EXAMPLE = "x=1,3,224,224"


@dataclass(frozen=True, slots=True)
class InputSizes:
    """One input as the file has it.

    Attributes:
        name: As the file has it.
        dtype: numpy's name of the element type.
        sizes: A number where the file fixes a size; where it leaves one open, that dimension's name or "". ``None``
            where not even the number of dimensions is known.
    """

    name: str
    dtype: str
    sizes: tuple[int | str, ...] | None

    def __str__(self) -> str:
        if self.sizes is None:
            return f"{self.name} (any number of dimensions)"
        return f"{self.name} ({','.join(str(size) if size != '' else '?' for size in self.sizes)})"


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read ``--shape`` options: ``x=1,3,224,224`` for the input ``x``, ``1,3,224,224`` for an only input.

    Nothing behind the equals sign is the shape of a scalar.

    Args:
        texts: One for each input.

    Returns:
        Input -> sizes; the name is "" where none was given.

    Raises:
        ModelError: ``MOD06``: not a list of positive sizes, an input named twice, or more than 2^30 elements.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        name = name.strip()
        parts = [part.strip() for part in sizes.split(",")] if sizes.strip() or not equals else []
        if not all(re.fullmatch(r"[0-9]{1,10}", part) and int(part) > 0 for part in parts) or (equals and not name):
            raise _refuse("a shape is not NAME=SIZE,SIZE,...", text, "sizes are whole numbers from 1", _EXAMPLE)
        if name in shapes:
            raise _refuse("an input has two shapes", text, f"'{name or 'the only input'}' was given before", _EXAMPLE)
        shapes[name] = tuple(int(part) for part in parts)
        if math.prod(shapes[name]) > MAX_ELEMENTS:
            raise _refuse("a shape is too large", text, f"an input may have {MAX_ELEMENTS} elements", _EXAMPLE)
    return shapes


def fit_shapes(inputs: Sequence[InputSizes], given: Shapes, label: str) -> dict[str, tuple[int, ...]]:
    """Return the full sizes of every input, in the order of the inputs.

    A dimension that has a name has one size in all inputs. An open first dimension that can be the batch is 1 unless
    something else is said.

    Args:
        inputs: As the file has them.
        given: As `parse_shapes` gives them.
        label: The model, for messages.

    Raises:
        ModelError: ``MOD06``: a shape is given for no input of this name, or contradicts the file. ``MOD07``: a size is
            open and not given.
    """
    named = _with_names(inputs, given, label)
    symbols: dict[str, int] = {}
    for one in inputs:
        if one.name in named:
            _check(one, named[one.name], symbols, label)
    _note_batches(inputs, named, symbols)
    fitted = {one.name: named[one.name] if one.name in named else _fill(one, symbols) for one in inputs}
    wanting = [one for one in inputs if not _is_full(fitted[one.name])]
    if wanting:
        forms = [InputSizes(one.name, one.dtype, fitted[one.name]) for one in wanting]
        raise ModelError(
            "MOD07",
            f"{label} has inputs with open sizes",
            value="; ".join(map(str, forms)),
            why="a model is measured with inputs of one size",
            fix="give " + " ".join(f"--shape {_option(one)}" for one in forms),
        )
    full = {name: tuple(size for size in sizes or () if isinstance(size, int)) for name, sizes in fitted.items()}
    if sum(math.prod(sizes) for sizes in full.values()) > MAX_ELEMENTS:
        raise _refuse(f"the inputs of {label} are too large", full, f"the limit is {MAX_ELEMENTS} elements", _EXAMPLE)
    return full


def symbol_sizes(inputs: Sequence[InputSizes], full: Shapes) -> dict[str, int]:
    """Return the size that each named open dimension has got."""
    return {
        symbol: size
        for one in inputs
        if one.sizes is not None
        for symbol, size in zip(one.sizes, full[one.name], strict=True)
        if isinstance(symbol, str) and not _is_nameless(symbol)
    }


def _with_names(inputs: Sequence[InputSizes], given: Shapes, label: str) -> dict[str, tuple[int, ...]]:
    has = f"its inputs are {'; '.join(map(str, inputs))}" if inputs else "it has no inputs"
    named = dict(given)
    if UNNAMED in named and UNNAMED not in {one.name for one in inputs}:
        if len(inputs) != 1 or len(named) != 1:
            raise _refuse(f"a shape for {label} names no input", _text(named[UNNAMED]), has, _EXAMPLE)
        return {inputs[0].name: named[UNNAMED]}
    unknown = sorted(set(named) - {one.name for one in inputs})
    if unknown:
        raise _refuse(f"{label} has no input of that name", ", ".join(unknown), has, "one of these names")
    return named


def _check(one: InputSizes, sizes: tuple[int, ...], symbols: dict[str, int], label: str) -> None:
    """Compare a given shape with the file's, and note what its named dimensions are."""
    if one.sizes is None:
        return
    why = f"the model has {one}"
    if len(sizes) != len(one.sizes):
        raise _refuse(f"a shape for {label} has the wrong number of sizes", _text(sizes), why, _option(one))
    for known, size in zip(one.sizes, sizes, strict=True):
        if isinstance(known, int):
            if known != size:
                raise _refuse(f"a shape contradicts {label}", _text(sizes), why, _option(one))
        elif not _is_nameless(known) and symbols.setdefault(known, size) != size:
            why = f"dimension '{known}' was {symbols[known]} before, and one name has one size"
            raise _refuse(f"shapes for {label} contradict each other", _text(sizes), why, _option(one))


def _note_batches(inputs: Sequence[InputSizes], named: Shapes, symbols: dict[str, int]) -> None:
    """Note the size 1 for names of first dimensions that are a batch; they may stand elsewhere too."""
    for one in inputs:
        first = one.sizes[0] if one.sizes else None
        if isinstance(first, str) and len(one.sizes or ()) > 1 and one.name not in named and not _is_nameless(first):
            elsewhere = any(first in (other.sizes or ())[1:] for other in inputs)
            if _BATCH.search(first) or not (elsewhere or _NOT_BATCH.search(first)):
                symbols.setdefault(first, 1)


def _fill(one: InputSizes, symbols: Mapping[str, int]) -> tuple[int | str, ...] | None:
    if one.sizes is None:
        return None
    sizes = [symbols.get(size, size) if isinstance(size, str) else size for size in one.sizes]
    if len(sizes) > 1 and isinstance(sizes[0], str) and _is_nameless(sizes[0]):
        sizes[0] = 1
    return tuple(sizes)


def _is_nameless(symbol: str) -> bool:
    return symbol.lower() in _NAMELESS or symbol.startswith("unk__")


def _is_full(sizes: tuple[int | str, ...] | None) -> bool:
    return sizes is not None and all(isinstance(size, int) for size in sizes)


def _option(one: InputSizes) -> str:
    sizes = "SIZE,..." if one.sizes is None else ",".join("SIZE" if isinstance(s, str) else str(s) for s in one.sizes)
    return f"{one.name}={sizes}"


def _text(sizes: tuple[int, ...]) -> str:
    return ",".join(map(str, sizes))


def _refuse(what: str, value: object, why: str, form: str) -> ModelError:
    fix = form if form.startswith("one ") else f"--shape {form}"
    return ModelError("MOD06", what, value=value, why=why, fix=f"write {fix}")
