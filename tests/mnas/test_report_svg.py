"""Figures: well-formed whatever the numbers, escaped whatever the text, honest about what they leave out."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mnas.report.svg import Axes, Series, scatter
from mnas.report.ticks import LARGEST, SMALLEST, Scale, scale_of

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"'><img src=x onerror=alert(1)></script></svg>&amp;\x00\ud800"
STYLES = ("points", "line", "steps", "hollow", "muted")
anything = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.0, 1e300, -1e300, 5e-324, 1e9 + 1e-3]))
interval = st.one_of(st.none(), st.tuples(st.floats(), st.floats()))


@st.composite
def a_series(draw):
    points = draw(st.lists(st.tuples(anything, anything, interval, interval), max_size=8))
    xs, ys, x_intervals, y_intervals = zip(*points, strict=True) if points else ((), (), (), ())
    last = len(points) - 1
    ties = draw(st.lists(st.tuples(st.integers(0, last), st.integers(0, last)), max_size=3)) if points else ()
    names = [f"p{index}" for index in range(len(points))]
    style = draw(st.sampled_from(STYLES))
    return Series(draw(st.text(max_size=8)), xs, ys, x_intervals, y_intervals, names, style, names, ties)


def parsed(svg):
    assert isinstance(svg, Markup)
    return ET.fromstring(str(svg))


def texts(root):
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def drawn(root):
    """Return the data points: the legend's samples carry no data-id."""
    return [element for element in root.iter() if "data-id" in element.attrib]


def one(xs, ys, **more):
    return Series("s", xs, ys, ids=[str(index) for index in range(len(xs))], **more)


@given(
    st.lists(a_series(), max_size=3),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.floats(), st.text()), max_size=2),
)
def test_any_numbers_give_well_formed_xml_with_finite_coordinates_inside_the_figure(series, x_log, y_log, marks):
    svg = scatter(series, Axes("x", "y", x_log=x_log, y_log=y_log, vertical_marks=marks))
    root = parsed(svg)
    coordinates = "".join(re.findall(r'\b(?:d|x|y|cx|cy|r)="([^"]*)"', str(svg)))
    assert not re.search(r"nan|inf|e[+-]?\d", coordinates)
    assert len(drawn(root)) == sum(usable(x, y, x_log, y_log) for s in series for x, y in zip(s.xs, s.ys, strict=True))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.iter(f"{SVG}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height


def usable(x, y, x_log, y_log):
    return all(
        value is not None and abs(value) <= LARGEST and (not log or value >= SMALLEST)
        for value, log in ((x, x_log), (y, y_log))
    )


ranges = st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=5)
positive = st.lists(st.floats(1e-150, 1e150), min_size=1, max_size=5)


@given(st.one_of(ranges.map(lambda v: (v, False)), positive.map(lambda v: (v, True))), st.integers(3, 10))
def test_ticks_increase_lie_within_the_scale_and_have_distinct_labels(case, count):
    values, log = case
    scale = scale_of(values, log=log)
    assert scale.low < scale.high
    assert scale.low <= min(values) * (1 + 1e-9 * math.copysign(1, min(values)))
    ticks = scale.ticks(count)
    assert 2 <= len(ticks) <= count + 2
    assert all(scale.low <= value <= scale.high for value, _ in ticks)
    assert all(a < b for (a, _), (b, _) in pairwise(ticks))
    assert len({label for _, label in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("scale", "labels"),
    [
        (Scale(0, 1), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Scale(0.71, 0.94), ["0.75", "0.80", "0.85", "0.90"]),
        (Scale(0, 10), ["0", "2", "4", "6", "8", "10"]),
        (Scale(0, 12e6), ["0", "0.2×10⁷", "0.4×10⁷", "0.6×10⁷", "0.8×10⁷", "1.0×10⁷", "1.2×10⁷"]),  # noqa: RUF001
        (Scale(1, 40, log=True), ["1", "2", "5", "10", "20"]),
        (Scale(0.5, 2e7, log=True), ["1", "100", "10,000", "10⁶"]),
        (Scale(10, 12, log=True), ["10.0", "10.5", "11.0", "11.5", "12.0"]),
    ],
)
def test_ticks_are_round(scale, labels):
    assert [label for _, label in scale.ticks(6)] == labels


def test_position_moves_with_the_value_and_follows_the_scale():
    assert Scale(1, 100, log=True).fraction(10) == pytest.approx(0.5)
    assert Scale(0, 4).fraction(1) == 0.25
    assert Scale(0, 4).fraction(math.inf) == 1
    assert Scale(1, 4, log=True).fraction(-math.inf) == 0
    assert scale_of([0.0, 10.0]).low == 0
    assert Scale(1e-160, 1e160, log=True).fraction(1.0) == pytest.approx(0.5)  # the ratio of the ends overflows


def test_points_sit_where_the_data_say():
    root = parsed(scatter([one([1, 2, 3], [1, 4, 2])], Axes("x", "y")))
    (x1, y1), (x2, y2), (x3, y3) = [(float(p.attrib["cx"]), float(p.attrib["cy"])) for p in drawn(root)]
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert (y1 - y3) / (y1 - y2) == pytest.approx(1 / 3, abs=0.01)


def test_log_axes_leave_out_what_is_not_positive_and_say_how_many():
    root = parsed(scatter([one([-1, 0, 1, 10], [1, 1, 1, 1])], Axes("x", "y", x_log=True)))
    assert [p.attrib["data-id"] for p in drawn(root)] == ["2", "3"]
    assert "Not drawn: 2 not positive on a log axis." in texts(root)
    assert not any("Not drawn" in text for text in texts(parsed(scatter([one([-1, 0], [1, 1])], Axes("x", "y")))))


def test_missing_and_infinite_points_are_counted_by_reason():
    xs, ys = [1, None, math.nan, math.inf, 1e200], [1, 1, 1, 1, 1]
    root = parsed(scatter([one(xs, ys)], Axes("x", "y")))
    assert "Not drawn: 1 infinite, 2 missing, 1 too large or small to draw." in texts(root)


@pytest.mark.parametrize("series", [[], [one([], [])], [one([math.nan], [1])]])
def test_an_empty_figure_says_so(series):
    assert "no data" in texts(parsed(scatter(series, Axes("x", "y"))))


def test_a_staircase_holds_each_value_until_the_next():
    root = parsed(scatter([one([3, 1, 2], [3, 1, 2], style="steps")], Axes("x", "y")))
    path = next(p.attrib["d"] for p in root.iter(f"{SVG}path") if p.get("class") == "ln" and "V" in p.attrib["d"])
    xs = sorted(float(p.attrib["cx"]) for p in drawn(root))
    assert re.findall("[A-Z]", path) == ["M", "H", "V", "H", "V"]
    assert [float(x) for x in re.findall(r"[MH]([\d.]+)", path)] == xs


def test_a_line_breaks_at_a_missing_point():
    root = parsed(scatter([Series("", [1, 2, 3, 4], [1, 2, math.nan, 4], style="line")], Axes("x", "y")))
    paths = [p.attrib["d"] for p in root.iter(f"{SVG}path") if p.get("class") == "ln"]
    assert "".join(re.findall("[ML]", next(d for d in paths if "h" not in d))) == "MLM"


def test_intervals_ties_marks_diagonal_and_legend_are_drawn():
    series = one([1, 2, 3], [1, 2, 3], x_intervals=[(0.5, 1.5), None, (-math.inf, 4)], ties=[(0, 1), (1, 2)])
    axes = Axes("x", "y", diagonal=True, vertical_marks=[(2.5, "target"), (2.6, "limit"), (math.nan, "lost")])
    root = parsed(scatter([series], axes))
    by_class = {}
    for path in root.iter(f"{SVG}path"):
        by_class.setdefault(path.get("class"), []).append(path.attrib["d"])
    (bars,) = by_class["bar"]
    assert bars.count("H") == 2
    assert bars.count("v6") == 3, "the infinite end has no cap"
    assert by_class["tie"][0].count("M") == 2
    assert len(by_class["mark"]) == 2
    assert len(by_class["diagonal"]) == 2
    assert {"s", "tie", "y = x", "target", "limit", "Not drawn: 1 mark(s)."} <= set(texts(root))
    labels = [t for t in root.iter(f"{SVG}text") if t.get("class") == "marklabel"]
    assert len({t.attrib["y"] for t in labels}) == 2, "labels of near marks are on two levels"


def test_series_are_told_apart_by_colour_and_shape_and_muted_ones_take_none():
    series = [one([1], [1], style="muted"), one([1], [2]), one([2], [1])]
    groups = [g.attrib["class"] for g in parsed(scatter(series, Axes("x", "y"))).iter(f"{SVG}g")]
    assert groups[:3] == ["s muted", "s points c0", "s points c1"]
    assert [p.tag for p in drawn(parsed(scatter(series, Axes("x", "y"))))] == [f"{SVG}circle"] * 2 + [f"{SVG}path"]


def test_hostile_text_stays_text():
    series = Series(HOSTILE, [1, 2], [1, 2], labels=[HOSTILE] * 2, ids=[HOSTILE] * 2)
    axes = Axes(HOSTILE, HOSTILE, vertical_marks=[(1, HOSTILE)])
    for given_series in ([series], []):
        root = parsed(scatter(given_series, axes, title=HOSTILE, description=HOSTILE))
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            *("svg", "title", "desc", "text", "path", "circle", "g", "rect")
        }
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
        assert root.find(f"{SVG}title").text == HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")


def test_markup_given_as_text_is_not_trusted():
    root = parsed(scatter([Series(Markup("<b>x</b>"), [1], [1])], Axes(Markup("<i>"), "y")))
    assert "<b>x</b>" in texts(root)


def test_a_crowded_legend_makes_the_figure_taller_not_the_plot_vanish():
    many = [Series(f"a rather long name of series {index}", [1, 2], [1, index]) for index in range(12)]
    root = parsed(scatter(many, Axes("x", "y", width=300, height=160)))
    assert float(root.attrib["height"]) > 300


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Series("s", [1], []),
        lambda: Series("s", [1], [1], labels=[]),
        lambda: Series("s", [1], [1], ties=[(0, 1)]),
        lambda: Axes("x", "y", x_log=True, diagonal=True),
        lambda: Axes("x", "y", width=10),
    ],
)
def test_wrong_figures_are_refused(wrong):
    with pytest.raises(ValueError, match=r"series|diagonal|small"):
        wrong()


def test_a_cloud_is_one_stroke_with_a_dot_for_each_point_that_can_be_drawn():
    xs, ys = [float(n) for n in range(1, 1001)], [1.0 + n % 7 for n in range(1000)]
    ys[5], xs[6] = math.nan, math.inf
    root = parsed(scatter([Series("c", xs, ys, style="cloud")], Axes("x", "y")))
    (stroke,) = [path for path in root.iter(f"{SVG}path") if path.attrib.get("class") == "dots"]
    assert len(re.findall(r"M[\d.]+ [\d.]+h0", stroke.attrib["d"])) == 998
    assert len(list(root.iter(f"{SVG}circle"))) == 1, "that of the legend"
    places = [float(x) for x in re.findall(r"M([\d.]+) ", stroke.attrib["d"])]
    assert places == sorted(places) and places[0] < 100 < 800 < places[-1]
