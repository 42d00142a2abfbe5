"""Histograms, lines without markers and named rows: every value is counted, and each mark lies where it should."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.report.histogram import draw_histogram, extent, histogram, quantile
from mnas.report.page import Figure, Gallery, Paragraph, Quantity, Section, Table, render_page
from mnas.report.svg import Axes, Series, scatter

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"'><img src=x onerror=alert(1)></svg>\x00"
times = st.lists(st.one_of(st.floats(1e-4, 1e4), st.sampled_from([math.nan, math.inf, 1.0])), max_size=60)


def parsed(svg):
    return ET.fromstring(str(svg))


def texts(root):
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def paths(root, name):
    return [element.attrib["d"] for element in root.iter(f"{SVG}path") if element.attrib.get("class") == name]


def numbers(d):
    return [float(value) for value in re.findall(r"-?\d+\.?\d*", d)]


@given(times)
def test_every_finite_value_is_in_a_bin_or_counted_as_beyond(values):
    finite = [value for value in values if math.isfinite(value)]
    found = histogram(values)
    assert sum(found.counts) + found.beyond == len(finite)
    if not finite:
        assert found.edges == () and math.isnan(found.largest)
        return
    assert found.largest == max(finite)
    assert found.edges[0] <= min(finite)
    assert len(found.edges) == len(found.counts) + 1
    assert all(a < b for a, b in pairwise(found.edges))
    assert 1 <= len(found.counts) <= 40
    assert found.beyond == sum(value > found.edges[-1] for value in finite)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=80, unique=True))
def test_counts_are_those_of_numpy(values):
    found = histogram([float(value) for value in values])
    kept = [value for value in values if value <= found.edges[-1]]
    counts, _ = np.histogram(kept, bins=len(found.counts), range=(found.edges[0], found.edges[-1]))
    # A value on an edge may fall to either side by rounding; nowhere else do the two differ.
    edges = np.asarray(found.edges)[1:-1]
    on_edge = sum(bool(len(edges)) and np.min(np.abs(edges - value)) < 1e-6 for value in kept)
    assert np.abs(np.cumsum(counts) - np.cumsum(found.counts)).max() <= on_edge


def test_the_number_of_bins_follows_freedman_and_diaconis():
    values = [index / 999 for index in range(1000)]
    assert len(histogram(values).counts) == math.ceil(1 / (2 * 0.5 * 1000 ** (-1 / 3)))
    assert len(histogram([1.0, 2.0, 3.0]).counts) == 6
    assert len(histogram([1.0] * 500 + [1.5] * 50).counts) == 40, "no spread: as many as there may be"
    assert histogram([2.0] * 5).counts == (5,)


@pytest.mark.parametrize("slowest", [100.0, 1000.0])
def test_a_long_tail_is_cut_and_a_short_one_is_not(slowest):
    values = [10 + index / 100 for index in range(200)]
    cut = histogram([*values, slowest])
    assert (cut.beyond, cut.largest) == (2, slowest), "200 of 201 places up is the slowest but two"
    assert cut.edges[-1] < 12
    whole = histogram([*values, 12.2])
    assert (whole.beyond, whole.edges[-1]) == (0, 12.2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantile_is_numpys(values, part):
    assert quantile(sorted(values), part) == pytest.approx(float(np.quantile(values, part)), rel=1e-9, abs=1e-6)


@given(times, st.lists(st.tuples(st.floats(), st.text(max_size=5)), max_size=2))
def test_any_values_draw_a_well_formed_figure(values, marks):
    svg = draw_histogram(histogram(values), HOSTILE, title=HOSTILE, marks=marks)
    root = parsed(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for d in paths(root, "col"):
        for corner in re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)V", d):
            left, zero, top, right = map(float, corner)
            assert 0 <= left <= right <= width
            assert 0 <= top <= zero <= height
    assert ("no data" in texts(root)) == (not any(map(math.isfinite, values)))


def test_bars_are_as_high_as_their_counts_and_stand_side_by_side():
    root = parsed(draw_histogram(histogram([1, 1, 1, 1, 1, 1, 2, 2, 2, 7]), "ms", title="t"))
    (d,) = paths(root, "col")
    bars = [tuple(map(float, bar)) for bar in re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)V", d)]
    heights = [zero - top for _, zero, top, _ in bars]
    counts = [count for count in histogram([1, 1, 1, 1, 1, 1, 2, 2, 2, 7]).counts if count]
    assert heights == pytest.approx([heights[0] * count / counts[0] for count in counts], abs=0.3)
    assert max(zero for _, zero, _, _ in bars) == min(zero for _, zero, _, _ in bars)


def test_a_shared_range_puts_equal_values_in_equal_places():
    first, second = histogram([1.0, 2.0, 3.0]), histogram([2.0, 3.0, 4.0])
    both = extent([first, second])
    assert both[0] < 1 and both[1] > 4
    places = []
    for shown in (first, second):
        root = parsed(draw_histogram(shown, "ms", title="t", marks=[(2.5, "here")], x_range=both))
        places.append(numbers(paths(root, "mark")[0])[0])
    assert places[0] == pytest.approx(places[1], abs=0.1)
    assert extent([histogram([])]) is None


def test_marks_beyond_the_bins_do_not_stretch_the_axis():
    shown = histogram([1.0, 2.0, 3.0])
    assert paths(parsed(draw_histogram(shown, "ms", title="t", marks=[(100.0, "far")])), "mark") == []
    assert len(paths(parsed(draw_histogram(shown, "ms", title="t", marks=[(2.0, "near")])), "mark")) == 1


def test_a_fixed_range_leaves_out_what_lies_outside_and_says_so():
    series = Series("s", [0, 1, 2, 3], [1, 1, 1, 1], ids=list("abcd"))
    root = parsed(scatter([series], Axes("x", "y", x_range=(0.5, 2.5))))
    assert [e.attrib["data-id"] for e in root.iter() if "data-id" in e.attrib] == ["b", "c"]
    assert "Not drawn: 2 outside the axis." in texts(root)


@pytest.mark.parametrize(
    ("x_range", "x_log"), [((2, 1), False), ((1, 1), False), ((0, 1), True), ((math.nan, 1), False)]
)
def test_a_range_that_is_none_is_refused(x_range, x_log):
    with pytest.raises(ValueError, match="x_range"):
        Axes("x", "y", x_range=x_range, x_log=x_log)


def test_rows_run_from_the_top_with_their_texts():
    rows = [(f"row{index} {HOSTILE}" if index == 1 else f"row{index}", f"{index} ms") for index in range(12)]
    series = Series("s", [1.0] * 12, list(range(12)), x_intervals=[(0.5, 2.0)] * 12, ids=[str(i) for i in range(12)])
    root = parsed(scatter([series], Axes("ms", "", rows=rows, height=160)))
    heights = [float(e.attrib["cy"]) for e in root.iter(f"{SVG}circle") if "data-id" in e.attrib]
    assert all(a + 20 < b for a, b in pairwise(heights)), "rows that many make the figure higher"
    found = {e.text: float(e.attrib["y"]) for e in root.iter(f"{SVG}text")}
    assert found["row3"] - 4 == pytest.approx(heights[3], abs=0.2)
    assert found["3 ms"] == found["row3"]
    assert not list(root.iter(f"{SVG}img"))


def test_points_in_no_row_are_left_out():
    series = Series("s", [1, 1, 1], [0, 1.4, 2], ids=list("abc"))
    root = parsed(scatter([series], Axes("ms", "", rows=[("one", ""), ("two", "")])))
    assert [e.attrib["data-id"] for e in root.iter() if "data-id" in e.attrib] == ["a", "b"]
    assert "Not drawn: 1 in no row." in texts(root)


@pytest.mark.parametrize("style", ["trace", "faint"])
def test_lines_without_markers_break_at_gaps_and_carry_a_tooltip(style):
    series = Series("", [1, 2, 3, 4, 5], [1, 2, None, 3, 2], labels=[HOSTILE] * 5, style=style)
    root = parsed(scatter([series], Axes("x", "y")))
    assert not list(root.iter(f"{SVG}circle"))
    (d,) = paths(root, "ln")
    assert (d.count("M"), d.count("L")) == (2, 2)
    group = next(e for e in root.iter(f"{SVG}g") if e.attrib["class"].startswith("s "))
    assert "onerror" in group.find(f"{SVG}title").text


def test_lines_in_the_background_use_up_no_colour():
    series = [Series("", [1], [1], style="faint"), Series("named", [1, 2], [1, 2], style="trace")]
    groups = [e.attrib["class"] for e in parsed(scatter(series, Axes("x", "y"))).iter(f"{SVG}g")]
    assert groups == ["s faint", "s trace c0", "s trace c0"], "the last is the legend's sample"


def test_quantities_are_shown_as_text_and_sort_as_numbers():
    rows = [[Quantity("7.42 [7.38, 7.47]", 7.42)], [None], [Quantity("strange", math.nan)]]
    html = render_page("t", [Section("s", [Table(["ms"], rows)])])
    assert '<td class="r" data-v="7.42">7.42 [7.38, 7.47]</td>' in html
    assert '<td class="r">strange</td>' in html


def test_a_gallery_holds_small_figures_and_only_drawn_ones():
    svg = draw_histogram(histogram([1.0, 2.0]), "ms", title="t")
    html = render_page(
        "t", [Section("s", [Gallery([Figure(svg, HOSTILE), Figure("<svg></svg>", "x")]), Paragraph("p")])]
    )
    assert html.count("<figure>") == html.count("<figcaption>") == 2
    assert html.count("<svg ") == 1
    assert "<img" not in html
