"""Presets of the search spaces, each fitted to a data set."""

from __future__ import annotations

from dataclasses import replace

from mnas.errors import SpaceError
from mnas.space import SearchSpace
from mnas.spaces.choices import MobileNetV3Choices, StageChoices
from mnas.spaces.mobilenetv3 import MobileNetV3Space

_IMAGENET = MobileNetV3Choices(
    preset="imagenet",
    in_channels=3,
    classes=1000,
    resolutions_px=(160, 176, 192, 208, 224),
    widths=(0.75, 1.0, 1.2),
    kernels=(3, 5, 7),
    expands=(3, 4, 6),
    se_ratios=(0.0, 0.25),
    depths=(2, 3, 4),
    stem_channels=16,
    stem_stride=2,
    stem_block=True,
    stages=(
        StageChoices(24, 2, "relu"),
        StageChoices(40, 2, "relu"),
        StageChoices(80, 2, "hswish"),
        StageChoices(112, 1, "hswish"),
        StageChoices(160, 2, "hswish"),
    ),
    head_conv=960,
    head_linear=1280,
)
_FASHION = MobileNetV3Choices(
    preset="fashion",
    in_channels=1,
    classes=10,
    resolutions_px=(8, 12, 16, 28),
    widths=(0.5, 1.5),
    kernels=(3, 5),
    expands=(3, 6),
    se_ratios=(0.0, 0.25),
    depths=(1, 2),
    stem_channels=16,
    stem_stride=2,
    stem_block=False,
    stages=(StageChoices(16, 2, "relu"), StageChoices(24, 2, "hswish"), StageChoices(40, 1, "hswish")),
    head_conv=96,
    head_linear=0,
)
_DIGITS = replace(
    _FASHION,
    preset="digits",
    resolutions_px=(8, 12, 16),
    widths=(0.5, 1.0),
    stem_stride=1,
    stages=(StageChoices(16, 2, "relu"), StageChoices(24, 2, "hswish")),
    head_conv=64,
)
MOBILENETV3_PRESETS: dict[str, MobileNetV3Choices] = {c.preset: c for c in (_FASHION, _DIGITS, _IMAGENET)}


def open_space(family: str, preset: str, resolutions_px: tuple[int, ...] = ()) -> SearchSpace:
    """Return a search space by name.

    Args:
        family: ``mobilenetv3``.
        preset: ``fashion``, ``digits`` or ``imagenet``.
        resolutions_px: Keep only these of the preset's resolutions; all of them when empty.

    Raises:
        SpaceError: ``SPC01``: no such family, preset or resolution.
    """
    if family != "mobilenetv3":
        raise SpaceError("SPC01", "no such search space", value=family, why="known is mobilenetv3", fix="use that")
    if preset not in MOBILENETV3_PRESETS:
        known = ", ".join(MOBILENETV3_PRESETS)
        raise SpaceError(
            "SPC01", f"{family} has no such preset", value=preset, why=f"known are {known}", fix="use one of them"
        )
    choices = MOBILENETV3_PRESETS[preset]
    if resolutions_px:
        foreign = sorted(set(resolutions_px) - set(choices.resolutions_px))
        if foreign:
            raise SpaceError(
                "SPC01",
                f"{family}/{preset} has no such resolution",
                value=foreign,
                why=f"known are {choices.resolutions_px} px",
                fix="use some of them",
            )
        choices = replace(choices, resolutions_px=tuple(r for r in choices.resolutions_px if r in resolutions_px))
    return MobileNetV3Space(choices)
