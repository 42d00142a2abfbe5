"""Keys of others: which segment each stands for, and the two rules by which they differ."""

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from latency_foreign import OFA_CHOICES, OFA_KEYS, V2_KEYS, ofa_network

from latency.importers.layout import LAYOUTS, OFA, PROXYLESSNAS, detect_layout, key_of_segment, segment_of_key
from latency.pieces import canonical, pieces_of
from mnas.errors import LutError
from mnas.named_networks import mobilenetv2, mobilenetv3_large
from mnas.segments import segments_of
from mnas.spaces.presets import open_space


class Expressible:
    """Every segment that a layout has a key for."""

    def __init__(self, layout):
        self.layout = layout

    def __contains__(self, segment):
        return key_of_segment(segment, self.layout) is not None


def keys_of(network, layout):
    pieces = [piece for segment in segments_of(network) for piece in pieces_of(segment, Expressible(layout))]
    return [key_of_segment(piece, layout) for piece in pieces]


def test_a_network_of_once_for_all_has_the_keys_worked_out_by_hand():
    assert keys_of(ofa_network(OFA_CHOICES), OFA) == list(OFA_KEYS)


def test_mobilenets_have_keys_in_the_layout_of_their_activation_alone():
    assert list(dict.fromkeys(keys_of(mobilenetv2(), PROXYLESSNAS))) == list(V2_KEYS)
    large = keys_of(mobilenetv3_large(), OFA)
    assert None not in large and len(large) == 1 + 15 + 4
    assert "expanded_conv-input:14x14x80-output:14x14x80-expand:184-kernel:3-stride:1-idskip:1-se:0-hs:1" in large
    # relu6 has no flag in the one, hard swish none in the other.
    assert None in keys_of(mobilenetv2(), OFA)
    assert None in keys_of(mobilenetv3_large(), PROXYLESSNAS)


@pytest.mark.parametrize("key", [*OFA_KEYS, *V2_KEYS])
def test_a_key_survives_its_segment(key):
    layout = OFA if key in OFA_KEYS else PROXYLESSNAS
    segment = segment_of_key(key, layout)
    assert segment == canonical(segment)
    assert key_of_segment(segment, layout) == key


def test_expand_counts_channels_here_and_is_a_ratio_there():
    flags = "-se:0-hs:0"
    key = "expanded_conv-input:56x56x24-output:56x56x24-expand:{}-kernel:3-stride:1-idskip:1"
    ours = segment_of_key(key.format(144) + flags, OFA).blocks[0]
    theirs = segment_of_key(key.format(6), PROXYLESSNAS).blocks[0]
    assert (ours.mid_channels, theirs.mid_channels) == (144, 144)
    assert (ours.activation, theirs.activation) == ("relu", "relu6")
    for wrong, layout, hint in (
        (key.format(6) + flags, OFA, "looks like a ratio"),
        (key.format(144), PROXYLESSNAS, "looks like a count"),
        (key.format(144), OFA, "choices are"),
        (key.format(6) + flags, PROXYLESSNAS, "choices are"),
    ):
        with pytest.raises(LutError, match=f"LUT32.*{layout.name}") as caught:
            segment_of_key(wrong, layout)
        assert hint in str(caught.value) and wrong in str(caught.value)


BLOCK = "expanded_conv-input:14x14x96-output:7x7x136-expand:384-kernel:5-stride:2-idskip:0-se:1-hs:1"
WRONG = [
    BLOCK.replace("7x7", "8x8"),
    BLOCK.replace("idskip:0", "idskip:1"),
    BLOCK.replace("idskip:0", "idskip:2"),
    BLOCK.replace("kernel:5", "kernel:4"),
    BLOCK.replace("stride:2", "stride:0"),
    BLOCK.replace("14x14x96", "14x14x0"),
    BLOCK.replace("14x14x96", "14x96"),
    BLOCK.replace("expand:384", "expand:-3"),
    BLOCK + "-bits:8",
    BLOCK + "\n",
    " " + BLOCK,
    BLOCK.replace("5", "\u0665"),
    "Conv-input:224x224x3-output:224x224x24",
    "Conv-input:224x224x3-output:112x112x24-se:0",
    "Conv_1-input:7x7x192-output:4x4x1152",
    "Conv_2-input:7x7x1152-output:1x1x1536",
    "Conv_3-input:7x7x1152-output:7x7x1536",
    "AvgPool2D-input:7x7x1152-output:1x1x1536",
    "Logits-input:7x7x1536-output:1000",
    "Logits-input:1x1x1536-output:1x1x1000",
    "Logits-input:1x1x1536-output:9999999",
    "sha256",
    "",
]


@pytest.mark.parametrize("key", WRONG)
def test_a_key_that_is_none_is_refused_and_named(key):
    with pytest.raises(LutError, match=r"LUT32.*none of the layout ofa") as caught:
        segment_of_key(key, OFA)
    assert key in str(caught.value)


def test_the_layout_is_told_by_the_blocks():
    assert detect_layout(["Conv-input:8x8x3-output:4x4x8", OFA_KEYS[3]]) is OFA
    assert detect_layout(list(V2_KEYS)) is PROXYLESSNAS
    for keys in ([], ["Conv-input:8x8x3-output:4x4x8"], ["mean"]):
        with pytest.raises(LutError, match=r"LUT32.*no layout that is known"):
            detect_layout(keys)


@fuzzed
@given(
    st.lists(
        st.sampled_from(["-", "input:", "output:", "expand:", "7x7x16", "8", "0", *OFA_KEYS, *V2_KEYS]), max_size=9
    )
)
def test_any_key_gives_a_segment_or_our_error(parts):
    for layout in LAYOUTS.values():
        try:
            segment = segment_of_key("".join(parts), layout)
        except LutError as error:
            assert error.code == "LUT32"
        else:
            assert key_of_segment(segment, layout) == "".join(parts)


def test_what_our_space_shares_with_once_for_all_at_width_1_2():
    """All of its choice blocks, both convolutions around them and the pool; not the width of the last hidden layer."""
    space = open_space("mobilenetv3", "imagenet", (224,))
    found = {key_of_segment(p, OFA) for s in space.segments() for p in pieces_of(s, Expressible(OFA))}
    assert set(OFA_KEYS) - found == {OFA_KEYS[-2], OFA_KEYS[-1]}
    assert {"Conv_2-input:1x1x1152-output:1x1x1280", "Logits-input:1x1x1280-output:1000"} <= found
