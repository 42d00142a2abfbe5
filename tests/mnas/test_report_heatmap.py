"""Heat maps: well-formed whatever the numbers and texts, darker for larger numbers, every number in its place."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mnas.report.heatmap import HeatCell, HeatMap, heat_range, heatmap

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"'><img src=x onerror=alert(1)></script></svg>&amp;\x00\ud800"


def parsed(shown, **options):
    svg = heatmap(shown, title="t", **options)
    assert isinstance(svg, Markup)
    return ET.fromstring(str(svg))


def grid(values, texts=None):
    """A map of plain numbers, each cell's text its number unless given."""
    cells = [
        [None if value is None else HeatCell(value, str(value) if texts is None else texts) for value in row]
        for row in values
    ]
    return HeatMap([f"r{n}" for n in range(len(values))], [f"c{n}" for n in range(len(values[0]))], cells)


def opacities(root):
    return [float(rect.attrib["fill-opacity"]) for rect in root.iter(f"{SVG}rect")]


@st.composite
def a_map(draw):
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    cell = st.one_of(st.none(), st.builds(HeatCell, st.floats(), st.text(max_size=9), st.text(max_size=9)))
    names = st.text(max_size=12)
    return HeatMap(
        draw(st.lists(names, min_size=rows, max_size=rows)),
        draw(st.lists(names, min_size=columns, max_size=columns)),
        [draw(st.lists(cell, min_size=columns, max_size=columns)) for _ in range(rows)],
    )


@given(a_map())
def test_any_map_is_well_formed_with_finite_numbers_inside_the_figure(shown):
    root = parsed(shown)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    rects = list(root.iter(f"{SVG}rect"))
    assert len(rects) == sum(cell is not None for row in shown.cells for cell in row)
    for rect in rects:
        x, y, wide, high, opacity = (float(rect.attrib[n]) for n in ("x", "y", "width", "height", "fill-opacity"))
        assert 0 <= x <= x + wide <= width + 1 and 0 <= y <= y + high <= height
        assert 0 <= opacity < 0.6, "text on it stays readable"


def test_darker_is_more_and_the_steps_are_those_of_the_logarithm():
    faint, middle, dark = opacities(parsed(grid([[0.01, 0.1, 1.0]])))
    assert 0 < faint < middle < dark
    assert middle - faint == pytest.approx(dark - middle, abs=2e-3)
    assert opacities(parsed(grid([[0.02, 0.2, 2.0]]))) == [faint, middle, dark], "the unit does not matter"
    assert heat_range(grid([[0.01, None], [3.0, -1.0]])) == (0.01, 3.0)


def test_what_is_not_a_latency_is_shown_without_colour():
    root = parsed(grid([[1.0, -0.5, 0.0, math.nan, math.inf, 2.0]]))
    shares = opacities(root)
    assert shares[1:5] == [0.0] * 4 and min(shares[0], shares[5]) > 0
    assert "-0.5" in [text.text for text in root.iter(f"{SVG}text")]
    assert heat_range(grid([[0.0, math.nan]])) is None
    (only,) = opacities(parsed(grid([[1.0]])))
    assert only > 0


def test_numbers_stand_in_their_row_and_column():
    shown = HeatMap(
        ["first", "second"],
        ["k3 e6", "k5 e6 SE"],
        [[HeatCell(1.0, "one", "tip"), None], [None, HeatCell(2.0, "two")]],
    )
    root = parsed(shown)
    places = {text.text: (float(text.attrib["x"]), float(text.attrib["y"])) for text in root.iter(f"{SVG}text")}
    assert places["one"][1] == places["first"][1] < places["second"][1] == places["two"][1]
    assert places["one"][0] == places["k3"][0] < places["k5"][0] == places["two"][0] == places["SE"][0]
    assert places["k3"][1] == places["k5"][1] < places["SE"][1] < places["one"][1]
    assert [title.text for title in root.iter(f"{SVG}title")] == ["t", "tip"]


def test_hostile_names_stay_text():
    shown = HeatMap([HOSTILE], [HOSTILE], [[HeatCell(1.0, HOSTILE, HOSTILE)]])
    svg = str(heatmap(shown, title=HOSTILE))
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {"svg", "title", "text", "g", "rect"}
    assert not re.search(r"<(img|script)", svg)
    assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)


def test_many_columns_widen_the_figure_and_few_fill_it():
    assert float(parsed(grid([[1.0] * 60])).attrib["width"]) > 920
    assert float(parsed(grid([[1.0, 2.0]]), width=500).attrib["width"]) == pytest.approx(500, abs=2)


def test_maps_that_are_no_grid_are_refused():
    with pytest.raises(ValueError, match="2 rows of 1"):
        HeatMap(["a", "b"], ["c"], [[None]])
    with pytest.raises(ValueError, match="1 rows of 2"):
        HeatMap(["a"], ["c", "d"], [[None]])
