"""Stacked bars: well-formed whatever the texts, slices side by side and as wide as their numbers."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.report.stacks import Slice, Stack, stacked_bars

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"'><img src=x onerror=alert(1)></script></svg>&amp;\x00\ud800"


def parsed(stacks, title="t"):
    return ET.fromstring(str(stacked_bars(stacks, x_label="ms", title=title)))


def bars(root):
    """The rectangles of each row: those with a tooltip."""
    rows = [group for group in root.iter(f"{SVG}g") if group.attrib.get("class") == "stack"]
    return [[one for one in row.iter(f"{SVG}rect") if one.find(f"{SVG}title") is not None] for row in rows]


VALUES = st.lists(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6), min_size=1, max_size=5)


@given(VALUES)
def test_widths_go_by_the_numbers_and_rows_share_a_scale(values):
    stacks = [Stack(str(n), "", [Slice(v, "conv", "x") for v in row]) for n, row in enumerate(values)]
    root = parsed(stacks)
    longest = max(map(sum, values))
    drawn = bars(root)
    assert [len(row) for row in drawn] == [len(row) for row in values]
    whole = max(sum(float(one.attrib["width"]) for one in row) for row in drawn)
    for row, numbers in zip(drawn, values, strict=True):
        at = float(row[0].attrib["x"])
        for one, number in zip(row, numbers, strict=True):
            assert float(one.attrib["x"]) == pytest.approx(at, abs=1.0)
            assert float(one.attrib["width"]) == pytest.approx(whole * number / longest, rel=0.02, abs=0.7)
            at += whole * number / longest
        assert at < float(root.attrib["width"]) - 10


@given(st.text())
def test_any_text_is_kept_as_text(text):
    root = parsed([Stack(text, text, [Slice(1.0, "conv", text)], text)], text)
    assert not [one for one in root.iter() if one.tag.removeprefix(SVG) in ("img", "script")]


def test_hostile_texts_add_no_element():
    plain = [one.tag for one in parsed([Stack("a", "b", [Slice(1.0, "conv", "c")], "d")], "e").iter()]
    hostile = Stack(HOSTILE, HOSTILE, [Slice(1.0, "conv", HOSTILE)], HOSTILE)
    assert [one.tag for one in parsed([hostile], HOSTILE).iter()] == plain


def test_what_has_no_width_is_left_out():
    values = [1.0, 0.0, -2.0, math.nan, math.inf, 3.0]
    (row,) = bars(parsed([Stack("n", "", [Slice(v, "conv", str(v)) for v in values])]))
    assert [one.find(f"{SVG}title").text for one in row] == ["1.0", "3.0"]
    assert bars(parsed([Stack("n", "", [])])) == [[]]


def test_kinds_are_named_once_each():
    stacks = [Stack("n", "", [Slice(1.0, kind, "") for kind in ("stem", "mbconv", "mbconv", "head")])] * 2
    texts = [one.text for one in parsed(stacks).iter(f"{SVG}text")]
    assert [one for one in texts if one in ("stem", "mbconv", "head")] == ["stem", "mbconv", "head"]
