"""The text form of an architecture: for people to read and to type, and strict.

::

    input 3x224x224 classes 1000
    stem: conv k3 s2 o16 hswish
    stage: mbconv k5 s2 m72 se24:hsigmoid:relu o40 hswish | mbconv k3 m120 o40 hswish skip x2
    head: conv o960 hswish | pool o960 | linear o1000

Parts come in this order, one a line or with ``;`` between them; the stem may be missing, and there are as many stages
as wanted. Blocks have a ``|`` between them, behind which a line may be broken; ``x3`` at a block's end repeats it, and
``#`` begins a comment. The words of a block come in any order behind its op, each at most once; what is left out has
the default of `mnas.architecture.Block`:

=================== ==========================================================================
``k3 s2 d1 g1``     kernel_size, stride, dilation, groups
``m72 o40``         mid_channels, out_channels (always there)
``se24:gate:act``   se_channels, se_gate, se_activation (left out where it is none)
``hswish``          activation
``out:relu``        out_activation
``skip skip:pool``  skip, with its shortcut
``norm:none``       norm
``pad:none``        padding
``expands``         always_expands
=================== ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

from mnas.architecture import ACTIVATIONS, MOST, MOST_INPUT, OPS, Architecture, Block, Stage, field_fault
from mnas.errors import ArchitectureError
from mnas.jsonio import shown
from mnas.limits import MOST_BLOCKS

MOST_CHARACTERS = 400_000

_DEFAULTS = {field.name: field.default for field in fields(Block)}
_NUMBERS = {
    "k": "kernel_size",
    "s": "stride",
    "d": "dilation",
    "g": "groups",
    "m": "mid_channels",
    "o": "out_channels",
}
_WORDS = {"out": "out_activation", "norm": "norm", "pad": "padding"}
_NUMBER = re.compile(r"([ksdgmo])([^a-z:]*)")
_SHAPE = re.compile(r"([^x]+)x([^x]+)x([^x]+)")
_TOKEN = re.compile(r"(?P<gap>[ \t\r]+|#[^\n]*)|(?P<end>[\n;])|(?P<bar>\|)|(?P<word>[^\s|;#]+)")
_EXPECTED = (
    "kN sN dN gN mN oN, seN:GATE[:ACTIVATION], out:ACTIVATION, norm:none, pad:none, skip, skip:pool, skip:conv, "
    f"expands, an activation ({', '.join(ACTIVATIONS[1:])}), xN, '|' or the end of the line"
)


def to_text(architecture: Architecture) -> str:
    """Return the text form, one part a line, which `from_text` reads back exactly."""
    lines = ["input {}x{}x{}".format(*architecture.input_shape_chw) + f" classes {architecture.classes}"]
    lines += [_part("stem", architecture.stem)] if architecture.stem else []
    lines += [_part("stage", stage.blocks) for stage in architecture.stages]
    return "\n".join([*lines, _part("head", architecture.head)]) + "\n"


def _part(name: str, blocks: tuple[Block, ...]) -> str:
    texts = []
    for block, equal in groupby(blocks):
        times = sum(1 for _ in equal)
        texts.append(block_text(block) + (f" x{times}" if times > 1 else ""))
    return f"{name}: {' | '.join(texts)}".rstrip()


def block_text(block: Block) -> str:
    """Return the words of one block, defaults left out."""
    numbers = {key: f"{key}{getattr(block, name)}" for key, name in _NUMBERS.items()}
    kept = {key: text for key, text in numbers.items() if getattr(block, _NUMBERS[key]) != _DEFAULTS[_NUMBERS[key]]}
    words = [block.op, *(text for key, text in kept.items() if key != "o")]
    if block.se_channels or block.se_activation != "none":
        activation = f":{block.se_activation}" if block.se_activation != "none" else ""
        words.append(f"se{block.se_channels}:{block.se_gate}{activation}")
    words.append(numbers["o"])
    words += [block.activation] if block.activation != "none" else []
    for key, name in _WORDS.items():
        words += [f"{key}:{value}"] if (value := getattr(block, name)) != _DEFAULTS[name] else []
    if block.skip:
        words.append("skip" if block.shortcut == "identity" else f"skip:{block.shortcut}")
    return " ".join([*words, "expands"] if block.always_expands else words)


def from_text(text: str) -> Architecture:
    """Read the text form.

    Raises:
        ArchitectureError: ``ARC05``: an unknown or repeated word, a bad number, a missing part, or too much of it; the
            message names line and column, both from 1, and what was expected there.
    """
    return _Reader(text).architecture()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


def _fault(token: _Token, what: str, expected: str = "", *, why: str = "") -> ArchitectureError:
    return ArchitectureError(
        "ARC05",
        f"line {token.line}, column {token.column}: {what}",
        value={"end": "the end of the line", "stop": "the end of the text"}.get(token.kind, shown(token.text)),
        why=why or f"expected {expected}",
        fix="correct the text there",
    )


def _tokens(text: str) -> Iterator[_Token]:
    at, line, begin = 0, 1, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        here = _Token(found.lastgroup if found and found.lastgroup else "", text[at : at + 1], line, at - begin + 1)
        if at >= MOST_CHARACTERS:
            raise _fault(here, "the text is too long", f"at most {MOST_CHARACTERS:,} characters")
        if not found:
            raise _fault(here, "a character that has no meaning here", "words, '|', ';' and ordinary spaces")
        if here.kind != "gap":
            yield _Token(here.kind, found[0], line, here.column)
        at = found.end()
        if found[0] == "\n":
            line, begin = line + 1, at
    yield _Token("stop", "", line, at - begin + 1)


def _number(token: _Token, digits: str, least: int, most: int) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,6}", digits) or not least <= int(digits) <= most:
        raise _fault(token, "a bad number", f"a whole number from {least} to {most:,}")
    return int(digits)


class _Reader:
    """Reads the parts of a text in order."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._count = 0

    def _take(self) -> _Token:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _skip(self, *texts: str) -> None:
        while self._next.kind == "end" and self._next.text in texts:
            self._take()

    def architecture(self) -> Architecture:
        """Read it all."""
        self._skip("\n", ";")
        shape, classes = self._input()
        stem = self._chain("stem:") if self._next.text == "stem:" else ()
        stages = []
        while self._next.text == "stage:":
            stages.append(Stage(self._chain("stage:")))
        start = self._next
        head = self._chain("head:" if stages else "stem:, stage: or head:" if not stem else "stage: or head:")
        if self._next.kind != "stop":
            raise _fault(self._next, "text behind the head", "the end of the text")
        try:
            return Architecture(shape, classes, stem, tuple(stages), head)
        except ArchitectureError as error:
            raise _fault(start, error.what, why=error.why) from error

    def _input(self) -> tuple[tuple[int, int, int], int]:
        self._word("input")
        shape = self._take()
        found = _SHAPE.fullmatch(shape.text)
        if not found:
            raise _fault(shape, "not the shape of an input", "channels x height x width, such as 3x224x224")
        channels, height, width = (_number(shape, one, 1, MOST_INPUT) for one in found.groups())
        self._word("classes")
        classes = self._take()
        count = _number(classes, classes.text, 1, MOST)
        self._end()
        return (channels, height, width), count

    def _word(self, wanted: str) -> None:
        token = self._take()
        if token.text != wanted:
            raise _fault(token, "a missing part", wanted)

    def _end(self) -> None:
        if self._next.kind not in ("end", "stop"):
            raise _fault(self._next, "a word too many", "the end of the line, or ';'")
        self._skip("\n", ";")

    def _chain(self, wanted: str) -> tuple[Block, ...]:
        """Read a part of blocks, its name included; the last of the names that are wanted must not be missing."""
        name = self._take()
        if name.text != wanted.rpartition(" ")[2]:
            raise _fault(name, "a part that is missing, out of order or there twice", wanted)
        blocks: list[Block] = []
        if self._next.kind not in ("end", "stop"):
            blocks += self._block()
            while self._next.kind == "bar":
                self._take()
                self._skip("\n")
                blocks += self._block()
        self._end()
        return tuple(blocks)

    def _block(self) -> list[Block]:
        """Read one block as often as it is repeated."""
        op = self._take()
        if op.kind != "word" or op.text not in OPS:
            raise _fault(op, "not a block", f"one of {', '.join(OPS)}")
        found: dict[str, Any] = {}
        times = None
        while self._next.kind == "word":
            token = self._take()
            if times is not None:
                raise _fault(token, "a word behind the repeat", "'|' or the end of the line")
            if token.text[0] == "x":
                times = _number(token, token.text[1:], 1, MOST_BLOCKS)
                continue
            for field, value in _word_of_block(token).items():
                if field in found:
                    raise _fault(token, f"{field} is there twice", "each word at most once")
                found[field] = value
        return self._repeated(op, found, times or 1)

    def _repeated(self, op: _Token, found: dict[str, Any], times: int) -> list[Block]:
        if "out_channels" not in found:
            raise _fault(self._next, "a block without out_channels", "oN, such as o40")
        self._count += times
        if self._count > MOST_BLOCKS:
            raise _fault(op, f"{self._count} blocks up to here", f"at most {MOST_BLOCKS} of them")
        try:
            return [Block(op=op.text, **found)] * times
        except ArchitectureError as error:
            raise _fault(op, error.what, why=error.why) from error


def _word_of_block(token: _Token) -> dict[str, Any]:
    """Return the fields that one word of a block sets."""
    key, *values = token.text.split(":")
    found: dict[str, Any]
    if key in ACTIVATIONS and not values:
        found = {"activation": key}
    elif key == "skip" and len(values) < 2:
        found = {"skip": True, "shortcut": values[0] if values else "identity"}
    elif key == "expands" and not values:
        found = {"always_expands": True}
    elif key in _WORDS and len(values) == 1:
        found = {_WORDS[key]: values[0]}
    elif key[:2] == "se" and key[2:3].isdecimal() and len(values) < 3:
        names = ("se_gate", "se_activation")
        found = {"se_channels": _number(token, key[2:], 0, MOST), **dict.fromkeys(names, "none")}
        found |= zip(names, values, strict=False)
    elif number := _NUMBER.fullmatch(token.text):
        found = {_NUMBERS[number[1]]: _number(token, number[2], 0, MOST)}
    else:
        raise _fault(token, "not a word of a block", _EXPECTED)
    for field, value in found.items():
        if fault := field_fault(field, value):
            raise _fault(token, f"{field} is wrong", why=fault)
    return found
