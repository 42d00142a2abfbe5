"""What a network is: blocks in stages between a stem and a head, with every number absolute.

Ratios, rounding and choices belong to search spaces; an `Architecture` holds only what they came to,
so that pruned networks fit too. Its canonical JSON (``mnas.architecture/1``) gives it its ``arch_id``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from mnas.errors import ArchitectureError
from mnas.jsonio import sha256_json, shown

SCHEMA = "mnas.architecture/1"
OPS = (
    "conv",
    "sepconv",
    "mbconv",
    "fire",
    "ghost",
    "shufflev1",
    "shufflev2",
    "maxpool",
    "pool",
    "flatten",
    "linear",
)
ACTIVATIONS = ("none", "relu", "relu6", "hswish", "hsigmoid", "sigmoid", "swish")
NORMS = ("none", "batch")
PADDINGS = ("half", "none")
SHORTCUTS = ("identity", "pool", "conv")
GATES = ("none", "hsigmoid", "sigmoid")
_WITH_MID = ("mbconv", "fire", "ghost", "shufflev1", "shufflev2")
_WITH_SE = ("conv", "sepconv", "mbconv", "ghost")
_WITH_OUT_ACTIVATION = ("sepconv", "mbconv", "ghost", "shufflev1")


MOST = 1_000_000
"""No size of a block is greater."""
MOST_INPUT = 65_536
"""No size of an input is greater."""


def _refuse(what: str, value: object, why: str) -> ArchitectureError:
    return ArchitectureError("ARC01", what, value=shown(value), why=why, fix="correct that field of the architecture")


@dataclass(frozen=True, slots=True)
class Block:
    """One block, every size absolute (channels, pixels).

    Attributes:
        op: ``conv`` (conv, norm, activation), ``sepconv`` (depthwise, pointwise), ``mbconv`` (expand, depthwise,
            squeeze-and-excitation, project), ``fire`` (squeeze, then 1 x 1 and k x k side by side), ``ghost`` (two
            ghost modules), ``shufflev1`` (grouped 1 x 1, shuffle, depthwise, grouped 1 x 1; without a skip its input
            is averaged and concatenated), ``shufflev2`` (split, one half computed, shuffle), ``maxpool``, ``pool``
            (global average), ``flatten`` or ``linear`` (fully connected, with bias).
        kernel_size: Odd, in pixels.
        stride: 1 or more.
        dilation: 1 or more.
        groups: Groups of a ``conv`` and of both 1 x 1 convolutions of a ``shufflev1``.
        mid_channels: Channels inside; an ``mbconv`` with as many as its input has no expanding convolution.
        se_channels: Channels of the squeeze; 0 means no squeeze-and-excitation.
        se_gate: The gate's function, ``hsigmoid`` or ``sigmoid``.
        se_activation: Activation after the squeeze.
        out_channels: Channels of the output.
        activation: Activation of the block's non-linear layers.
        norm: ``batch`` or ``none`` (then convolutions carry a bias).
        skip: Adds the block's input to its output.
        padding: ``half`` (torch's ``dilation * (kernel_size - 1) // 2`` on each side) or ``none``.
        out_activation: Applied last, behind the sum where there is a skip.
        shortcut: What the input goes through before it is added: ``identity``, ``pool`` (3 x 3 average, with the
            block's stride) or ``conv`` (depthwise with the block's kernel and stride, then 1 x 1).
        always_expands: An ``mbconv`` has its first 1 x 1 convolution even where that widens nothing.
    """

    op: str
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    mid_channels: int = 0
    se_channels: int = 0
    se_gate: str = "none"
    se_activation: str = "none"
    activation: str = "none"
    norm: str = "batch"
    skip: bool = False
    padding: str = "half"
    out_activation: str = "none"
    shortcut: str = "identity"
    always_expands: bool = False

    def __post_init__(self) -> None:
        for name in BLOCK_FIELDS:
            value = getattr(self, name)
            if fault := field_fault(name, value):
                raise _refuse(f"{name} of a block is wrong", value, fault)
        if self.always_expands and self.op != "mbconv":
            raise _refuse(f"a {self.op} has nothing to expand", self.always_expands, "only an mbconv has")
        if self.op in _WITH_MID and self.mid_channels == 0:
            raise _refuse(f"a {self.op} has no mid_channels", self.mid_channels, "it needs the width inside")
        if (self.se_channels > 0) != (self.se_gate != "none"):
            raise _refuse("se_channels and se_gate disagree", (self.se_channels, self.se_gate), "set both or neither")
        if self.se_channels and self.op not in _WITH_SE:
            raise _refuse(f"a {self.op} has no squeeze-and-excitation", self.se_channels, f"{_WITH_SE} have")
        if self.out_activation != "none" and not self.skip and self.op not in _WITH_OUT_ACTIVATION:
            raise _refuse(f"a {self.op} without a skip has no out_activation", self.out_activation, "use activation")
        if self.shortcut != "identity" and not self.skip:
            raise _refuse("a shortcut without a skip", self.shortcut, "nothing is added to this block's output")

    def label(self) -> str:
        """Return a short text for people, e.g. ``mbconv k5 s2 m72 se24 o40 hswish``."""
        parts = [self.op]
        if self.op not in ("pool", "flatten", "linear"):
            parts += [f"k{self.kernel_size}", f"s{self.stride}"]
        if self.dilation > 1:
            parts.append(f"d{self.dilation}")
        if self.groups > 1:
            parts.append(f"g{self.groups}")
        if self.mid_channels:
            parts.append(f"m{self.mid_channels}")
        if self.se_channels:
            parts.append(f"se{self.se_channels}")
        parts.append(f"o{self.out_channels}")
        if self.activation != "none":
            parts.append(self.activation)
        return " ".join(parts)


WORDS: dict[str, tuple[str, ...]] = {
    "op": OPS,
    "activation": ACTIVATIONS,
    "se_activation": ACTIVATIONS,
    "norm": NORMS,
    "se_gate": GATES,
    "padding": PADDINGS,
    "out_activation": ACTIVATIONS,
    "shortcut": SHORTCUTS,
}
"""Fields of a block that hold a word, and the words that are known."""
LEAST = {
    "out_channels": 1,
    "kernel_size": 1,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "mid_channels": 0,
    "se_channels": 0,
}
"""Fields of a block that hold a number, and the least of it; the greatest is `MOST`."""
_ADDED_LATER = {"padding": "half", "out_activation": "none", "shortcut": "identity", "always_expands": False}
"""Fields that are written only where they hold something else, so that networks written before keep their ids."""
BLOCK_FIELDS = tuple(field.name for field in fields(Block))
_ALWAYS_WRITTEN = frozenset(BLOCK_FIELDS) - _ADDED_LATER.keys()


def field_fault(name: str, value: object) -> str:
    """Return why a value cannot stand in a field of a block, whatever its other fields hold; "" where it can."""
    if name in WORDS:
        return "" if type(value) is str and value in WORDS[name] else f"known are {', '.join(WORDS[name])}"
    if name not in LEAST:
        return "" if type(value) is bool else "it must be true or false"
    if type(value) is not int or not LEAST[name] <= value <= MOST:
        return f"it must be a whole number from {LEAST[name]} to {MOST}"
    if name == "kernel_size" and value % 2 == 0:
        return "it must be odd, or padding would not be symmetric"
    return ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks that work at one resolution, the first of which may take the stride."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Architecture:
    """A whole classification network.

    Attributes:
        input_shape_chw: Channels and pixels of the input.
        classes: Number of outputs.
        stem: Blocks before the stages.
        stages: The stages.
        head: Blocks after the stages; the last one gives the classes.
    """

    input_shape_chw: tuple[int, int, int]
    classes: int
    stem: tuple[Block, ...]
    stages: tuple[Stage, ...]
    head: tuple[Block, ...]

    def __post_init__(self) -> None:
        shape = self.input_shape_chw
        if len(shape) != 3 or any(type(v) is not int or not 1 <= v <= MOST_INPUT for v in shape):
            raise _refuse("input_shape_chw is not three positive sizes", shape, "it holds channels, height and width")
        if type(self.classes) is not int or self.classes < 1:
            raise _refuse("classes is not a positive number", self.classes, "a network needs an output")
        if not self.head or self.head[-1].op not in ("linear", "flatten"):
            raise _refuse(
                "the head does not end in the classes",
                self.head[-1].label() if self.head else "no head",
                "its last block must be linear, or flatten",
            )
        if self.head[-1].out_channels != self.classes:
            raise _refuse(
                "the head ends in another number of classes", self.head[-1].out_channels, f"there are {self.classes}"
            )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block in order: stem, stages, head."""
        inner = tuple(block for stage in self.stages for block in stage.blocks)
        return self.stem + inner + self.head

    @cached_property
    def arch_id(self) -> str:
        """SHA-256 of the canonical JSON: one network has one id, whichever space it was found in."""
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the canonical form, ``{"schema": "mnas.architecture/1", ...}``."""
        return {
            "schema": SCHEMA,
            "input_shape_chw": list(self.input_shape_chw),
            "classes": self.classes,
            "stem": [block_to_json(block) for block in self.stem],
            "stages": [[block_to_json(block) for block in stage.blocks] for stage in self.stages],
            "head": [block_to_json(block) for block in self.head],
        }

    @classmethod
    def from_json(cls, value: Any) -> Architecture:
        """Read the canonical form strictly.

        Raises:
            ArchitectureError: Not that form; the message names the place.
        """
        expected = {"schema", "input_shape_chw", "classes", "stem", "stages", "head"}
        if isinstance(value, dict) and value.get("schema", SCHEMA) != SCHEMA:
            raise _refuse("unknown schema of an architecture", value["schema"], f"this version reads {SCHEMA}")
        if not isinstance(value, dict) or set(value) != expected:
            what = _differing(value, expected) if isinstance(value, dict) else value
            raise _refuse("the architecture has other keys", what, f"it must hold exactly {sorted(expected)}")
        stages = _read_list(value["stages"], "stages")
        return cls(
            input_shape_chw=_read_shape(value["input_shape_chw"]),
            classes=value["classes"],
            stem=_read_blocks(value["stem"], "stem"),
            stages=tuple(Stage(_read_blocks(stage, f"stages[{i}]")) for i, stage in enumerate(stages)),
            head=_read_blocks(value["head"], "head"),
        )


def _differing(found: dict[Any, Any], expected: Iterable[str]) -> str:
    """Say which keys are missing and which are unknown."""
    missing, unknown = sorted(set(expected) - set(found)), sorted(map(shown, set(found) - set(expected)))
    parts = [f"missing {', '.join(missing)}"] if missing else []
    return "; ".join([*parts, f"unknown {', '.join(unknown)}"] if unknown else parts)


def _read_list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refuse(f"{place} is not a list", value, "see docs/contracts.md")
    return value


def _read_shape(value: Any) -> tuple[int, int, int]:
    sizes = _read_list(value, "input_shape_chw")
    for at, size in enumerate(sizes):
        if type(size) is not int or not 1 <= size <= MOST_INPUT:
            raise _refuse(f"input_shape_chw[{at}] is wrong", size, f"it must be a whole number from 1 to {MOST_INPUT}")
    return tuple(sizes)  # its length is checked with the whole


def _read_blocks(values: Any, place: str) -> tuple[Block, ...]:
    return tuple(block_from_json(value, f"{place}[{i}]") for i, value in enumerate(_read_list(values, place)))


def block_to_json(block: Block) -> dict[str, Any]:
    """Return a block's fields; those that were added later are left out where they hold their default."""
    values = asdict(block)
    return {name: value for name, value in values.items() if name not in _ADDED_LATER or value != _ADDED_LATER[name]}


def block_from_json(value: Any, place: str = "block") -> Block:
    """Read one block strictly: every field present (but for those added later), none unknown.

    Raises:
        ArchitectureError: A field is missing, unknown or out of range; the message names the place.
    """
    if not isinstance(value, dict):
        raise _refuse(f"{place} is not a block", value, "a block is an object of its fields")
    if not _ALWAYS_WRITTEN <= set(value) <= set(BLOCK_FIELDS):
        seen = _differing({name: 0 for name in value if name not in _ADDED_LATER}, _ALWAYS_WRITTEN)
        raise _refuse(f"{place} has missing or unknown fields", seen, f"a block has the fields {list(BLOCK_FIELDS)}")
    for name, one in value.items():
        if fault := field_fault(name, one):
            raise _refuse(f"{place}.{name} is wrong", one, fault)
    try:
        return Block(**value)
    except ArchitectureError as error:
        raise _refuse(f"{place} contradicts itself: {error.what}", error.value, error.why) from error
