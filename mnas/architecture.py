"""What a network is: blocks in stages between a stem and a head, with every number absolute.

Ratios, rounding and choices belong to search spaces; an `Architecture` holds only what they came to,
so that pruned networks fit too. Its canonical JSON (``mnas.architecture/1``) gives it its ``arch_id``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from mnas.errors import ArchitectureError
from mnas.jsonio import sha256_json

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
_GATES = ("none", "hsigmoid", "sigmoid")
_WITH_MID = ("mbconv", "fire", "ghost", "shufflev1", "shufflev2")
_WITH_SE = ("conv", "sepconv", "mbconv", "ghost")
_WITH_OUT_ACTIVATION = ("sepconv", "mbconv", "ghost", "shufflev1")


def _refuse(what: str, value: object, why: str) -> ArchitectureError:
    return ArchitectureError("ARC01", what, value=value, why=why, fix="correct that field of the architecture")


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
        for name, allowed in (
            ("op", OPS),
            ("activation", ACTIVATIONS),
            ("se_activation", ACTIVATIONS),
            ("norm", NORMS),
            ("se_gate", _GATES),
            ("padding", PADDINGS),
            ("out_activation", ACTIVATIONS),
            ("shortcut", SHORTCUTS),
        ):
            if getattr(self, name) not in allowed:
                raise _refuse(f"unknown {name} of a block", getattr(self, name), f"known are {', '.join(allowed)}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if type(value) is not int or value < least or value > 1_000_000:
                raise _refuse(f"{name} of a block is out of range", value, f"it must be a whole number >= {least}")
        for name in ("skip", "always_expands"):
            if type(getattr(self, name)) is not bool:
                raise _refuse(f"{name} of a block is not a boolean", getattr(self, name), "it must be true or false")
        if self.always_expands and self.op != "mbconv":
            raise _refuse(f"a {self.op} has nothing to expand", self.always_expands, "only an mbconv has")
        if self.kernel_size % 2 == 0:
            raise _refuse("kernel_size of a block is even", self.kernel_size, "padding would not be symmetric")
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


_LEAST = {
    "out_channels": 1,
    "kernel_size": 1,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "mid_channels": 0,
    "se_channels": 0,
}
_ADDED_LATER = {"padding": "half", "out_activation": "none", "shortcut": "identity", "always_expands": False}
"""Fields that are written only where they hold something else, so that networks written before keep their ids."""
_BLOCK_FIELDS = tuple(field.name for field in fields(Block))
_ALWAYS_WRITTEN = frozenset(_BLOCK_FIELDS) - _ADDED_LATER.keys()


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
        if len(shape) != 3 or any(type(v) is not int or not 1 <= v <= 65_536 for v in shape):
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
            raise _refuse("the head ends in another number of classes", self.head[-1].out_channels, f"{self.classes}")

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
        if not isinstance(value, dict) or set(value) != expected:
            seen = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise _refuse("architecture.json has other keys", seen, f"it must hold exactly {sorted(expected)}")
        if value["schema"] != SCHEMA:
            raise _refuse("unknown schema of an architecture", value["schema"], f"this version reads {SCHEMA}")
        for name in ("input_shape_chw", "stem", "stages", "head"):
            if not isinstance(value[name], list):
                raise _refuse(f"{name} is not a list", value[name], "see docs/contracts.md")
        return cls(
            input_shape_chw=tuple(value["input_shape_chw"]),
            classes=value["classes"],
            stem=_read_blocks(value["stem"], "stem"),
            stages=tuple(Stage(_read_blocks(stage, f"stages[{i}]")) for i, stage in enumerate(value["stages"])),
            head=_read_blocks(value["head"], "head"),
        )


def _read_blocks(values: Any, place: str) -> tuple[Block, ...]:
    if not isinstance(values, list):
        raise _refuse(f"{place} is not a list of blocks", values, "see docs/contracts.md")
    return tuple(block_from_json(value, f"{place}[{i}]") for i, value in enumerate(values))


def block_to_json(block: Block) -> dict[str, Any]:
    """Return a block's fields; those that were added later are left out where they hold their default."""
    values = asdict(block)
    return {name: value for name, value in values.items() if name not in _ADDED_LATER or value != _ADDED_LATER[name]}


def block_from_json(value: Any, place: str = "block") -> Block:
    """Read one block strictly: every field present (but for those added later), none unknown.

    Raises:
        ArchitectureError: A field is missing, unknown or out of range; the message names the place.
    """
    if not isinstance(value, dict) or not _ALWAYS_WRITTEN <= set(value) <= set(_BLOCK_FIELDS):
        seen: Any = type(value).__name__
        if isinstance(value, dict):
            seen = sorted(map(str, (_ALWAYS_WRITTEN - set(value)) | (set(value) - set(_BLOCK_FIELDS))))
        raise _refuse(f"{place} has missing or unknown fields", seen, f"a block holds exactly {list(_BLOCK_FIELDS)}")
    try:
        return Block(**value)
    except (TypeError, ArchitectureError) as error:
        raise _refuse(f"{place} is not a block", value, str(error)) from error
