"""Copies of the spaces that are small enough to try every genome, each with edges that the presets hide."""

from __future__ import annotations

from functools import cache
from itertools import product

from mnas.segments import segments_of
from mnas.spaces import lightweight, mnasnet, mobilenetv3, proxylessnas
from mnas.spaces.definition import SpaceDefinition
from mnas.spaces.presets import FAMILIES, open_space
from mnas.spaces.staged import StagedSpace

PRESETS = {f"{family}/{preset}": open_space(family, preset) for family, own in FAMILIES.items() for preset in own}


def cut(definition, *stages, layer=None, **whole):
    """A copy of a definition that holds these stages, given by what differs from its own first ones."""
    dumped = definition.model_dump()
    kept = [{**old, **(layer or {}), **new} for old, new in zip(dumped["stages"], stages, strict=False)]
    return SpaceDefinition.model_validate({**dumped, "stages": kept, **whole})


_V3, _MNAS, _PROXYLESS, _LIGHT = (one.DIGITS for one in (mobilenetv3, mnasnet, proxylessnas, lightweight))
REDUCED = {
    # The first two widths round to the same channels everywhere; the stages differ in stride and activation.
    "v3: collapsing widths": cut(_V3, {}, {}, layer={"kernels": (3,)}, resolutions_px=(9, 8), widths=(0.5, 0.55, 1.0)),
    "v3: gap in the depths": cut(_V3, {"se_ratios": (0.25,), "depths": (4, 1)}, resolutions_px=(13,), widths=(1.0,)),
    "v3: one layer a stage": mobilenetv3.mobilenetv3(
        "tiny",
        ((16, 2, "relu"), (24, 2, "hswish")),
        layer={"kernels": (3, 5), "expands": (6,), "se_ratios": (0.0, 0.25), "depths": (1,)},
        stem_block=True,
        head_conv=64,
        head_linear=24,
        in_channels=1,
        classes=10,
        resolutions_px=(8, 12, 16),
        widths=(1.5, 0.5),
    ),
    "v3: deep alone": cut(
        _V3,
        {"stride": 1, "expands": (4, 3), "depths": (3,), "se_ratios": (0.25, 0.0), "kernels": (5,)},
        resolutions_px=(7,),
        widths=(1.0,),
    ),
    # Two widths that differ in the head alone.
    "v3: widths of the head": cut(
        _V3, {"channels": 8, "kernels": (3,), "se_ratios": (0.0,)}, resolutions_px=(8,), widths=(0.5, 0.55, 0.9)
    ),
    # 0.75 and 1 times 16 round to 16; one layer stands twice among the depths; an input is added as it is or pooled.
    "mnas: filters and skips": cut(
        _MNAS,
        {"stride": 1, "channels": 8},
        {"filters": (0.5, 1.0)},
        layer={"ops": ("conv", "mbconv3"), "kernels": (3,), "se_ratios": (0.0,)},
        resolutions_px=(8,),
    ),
    # Shares of 8 channels that come to 1 and 1, and to 2; equal channels on both sides of a stride.
    "mnas: squeezes": cut(
        _MNAS,
        {"stride": 2, "channels": 8, "depths": (1, 2), "se_ratios": (0.15, 0.0, 0.125, 0.25)},
        {"stride": 1, "channels": 8, "depths": (1,), "se_ratios": (0.25,), "ops": ("sepconv", "mbconv6")},
        layer={"filters": (1.0,)},
        resolutions_px=(8,),
    ),
    # Every stage is fed several numbers of channels, and so is the head.
    "own choices and filters": SpaceDefinition.model_validate(
        {
            **_PROXYLESS.model_dump(),
            "widths": (1.0,),
            "resolutions_px": (9,),
            "stages": [
                {"channels": 16, "stride": 2, "depths": (2, 1), "filters": (0.5, 1.0), "expands": (6, 3)},
                {"channels": 24, "depths": (1, 2), "filters": (1.5, 0.5, 1.0), "kernels": (3, 5)},
                {"channels": 16, "filters": (1.0, 0.5), "kernels": (5, 3), "skips": ("none", "pool")},
            ],
        }
    ),
    "proxyless: a preset at one resolution": cut(_PROXYLESS, {}, {}, resolutions_px=(8,)),
    "light: every kind of block": cut(_LIGHT, {"depths": (1, 3)}, resolutions_px=(8,), layer={"kernels": (3, 1)}),
    # Ghost and shuffles with an input that they keep, have to widen, or take a stride of.
    "light: equal channels": cut(
        _LIGHT,
        {"channels": 8, "depths": (1,), "stride": 1, "groups": (1, 2)},
        {"channels": 16, "depths": (2, 1, 2), "stride": 2, "groups": (2,)},
        layer={"ops": ("ghost", "shufflev1", "shufflev2", "fire"), "activations": ("relu",), "expands": (2, 1)}
        | {"se_ratios": (0.0, 0.25), "dilations": (1,)},
        resolutions_px=(6,),
        widths=(1.0,),
    ),
    "light: dilated, each layer its own": cut(
        _LIGHT,
        {"depths": (1, 2), "same_layers": False, "kernels": (1, 3), "dilations": (1, 2), "ops": ("sepconv", "ghost3")},
        layer={"activations": ("relu",), "se_ratios": (0.0,), "groups": (1,)},
        resolutions_px=(8,),
        widths=(1.0,),
    ),
    # Three channels times one and times two round to eight; the stem has no block at all that is scaled.
    "expansions that round alike": SpaceDefinition.model_validate(
        {
            "name": "user/odd",
            "in_channels": 2,
            "classes": 3,
            "resolutions_px": (5, 7),
            "widths": (1.0, 2.0),
            "stem": [{"op": "conv", "kernel_size": 3, "channels": 3, "is_scaled": False, "padding": "none"}],
            "stages": [{"channels": 8, "stride": 3, "expands": (1, 2, 6), "depths": (1, 2), "skips": ("none",)}],
            "head": [{"op": "pool"}, {"op": "linear"}],
        }
    ),
}


@cache
def brute(name):
    """The space, and every network of it with the genomes that give it, by trying all of them."""
    space = StagedSpace(REDUCED[name])
    found = {}
    for genome in product(*map(range, space.cardinalities)):
        found.setdefault(space.decode(genome), []).append(genome)
    return space, found


@cache
def brute_segments(name):
    """The segments of every network of a reduced space."""
    return {network: segments_of(network) for network in brute(name)[1]}
