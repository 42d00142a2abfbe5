"""Pages: self-contained, escaped, with the structure that the script and a screen reader rely on."""

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mnas.report.page import Figure, KeyValues, Link, Paragraph, Section, Table, render_page
from mnas.report.svg import Axes, Series, scatter

HOSTILE = "\"'><img src=http://evil.test/x onerror=alert(1)></script></style></title><script>alert(2)</script>{{ 7*7 }}"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects elements and text, and checks that tags close in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self._open = [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def full_page(text="plain", href="../exports/a.onnx"):
    series = Series(text, [1, 2], [3, 4], labels=[text] * 2, ids=[text, "b"])
    table = Table([text, "n", "ms"], [[Link(text, href), 3, 1.5], [text, None, math.nan]], row_ids=[text, "b"],
                  row_classes=["best", ""], caption=text)  # fmt: skip
    parts = [Paragraph(text), Figure(scatter([series], Axes(text, text)), text), table, KeyValues([(text, text)]),
             KeyValues([(text, text)], tiles=True)]  # fmt: skip
    sections = [Section(text, parts), Section(text, []), Section(text, [])]
    return render_page(text, sections, subtitle=text, notices=[text])


def shape(html):
    return [(tag, sorted(attributes)) for tag, attributes in Page(html).elements]


def test_hostile_text_adds_no_element_and_no_attribute():
    html = full_page(HOSTILE)
    assert shape(html) == shape(full_page())
    page = Page(html)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert "".join(page.text).count("onerror=alert(1)") >= 12, "the text itself is still readable"


@given(st.text())
def test_any_text_keeps_the_shape_and_can_be_written(text):
    text = text or "x"
    html = full_page(text)
    assert shape(html) == shape(full_page())
    html.encode("utf-8")


def test_nothing_is_loaded_from_outside():
    html = full_page()
    assert set(re.findall(r"https?://[^\"'\s<]*", html)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert "url(" not in html
    page = Page(html)
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base")]
    assert not any("src" in attributes for _, attributes in page.elements)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")


def test_the_page_is_small_and_accessible():
    html = full_page()
    page = Page(html)
    assert len(html) < 40_000
    assert page.all("html") == [{"lang": "en"}]
    assert all(head["scope"] == "col" for head in page.all("th"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == 1
    assert len(page.all("h1")) == 1
    targets = {attributes["href"] for attributes in page.all("a") if attributes["href"].startswith("#")}
    assert targets == {f"#{section['id']}" for section in page.all("section")}


def test_points_and_rows_share_ids():
    page = Page(full_page())
    rows = {attributes["data-id"] for attributes in page.all("tr") if "data-id" in attributes}
    assert (
        rows
        == {attributes["data-id"] for attributes in page.all("circle") if "data-id" in attributes}
        == {"plain", "b"}
    )


def table_page(*arguments, **named):
    return Page(render_page("t", [Section("s", [Table(*arguments, **named)])]))


def test_cells_are_printed_for_people_and_carry_full_values_for_sorting():
    cells = [1234567, 0.123456789, 0.5, None, math.nan, math.inf, True, "text"]
    formats = ["", "", ".1%", "", "", "", "", ""]
    page = table_page([str(index) for index in range(8)], [cells], formats=formats)
    shown = [text.strip() for text in page.text if text.strip()][-8:]
    assert shown == ["1,234,567", "0.1235", "50.0%", "\N{EN DASH}", "not a number", "∞", "yes", "text"]
    values = [cell.get("data-v") for cell in page.all("td")]
    assert values == ["1234567", "0.123456789", "0.5", None, None, "Infinity", "1", None]
    assert ["data-missing" in cell for cell in page.all("td")] == [False] * 3 + [True] * 2 + [False] * 3


def test_numbers_go_right_unless_told_otherwise():
    rows = [["a", 1, None], ["b", None, "x"]]
    assert [cell["class"] for cell in table_page(["a", "b", "c"], rows).all("th")] == ["l", "r", "l"]
    assert [cell["class"] for cell in table_page(["a", "b", "c"], rows, align="ccr").all("th")] == ["c", "c", "r"]


def test_only_sortable_tables_have_buttons_and_an_empty_one_says_so():
    page = table_page(["a"], [], sortable=False)
    assert page.all("button") == []
    assert "no rows" in "".join(page.text)
    assert len(table_page(["a"], []).all("button")) == 1


def test_a_figure_that_is_not_markup_is_text():
    page = Page(render_page("t", [Section("s", [Figure("<svg onload=alert(1)></svg>", "")])]))
    assert page.all("svg") == []
    drawn = Page(render_page("t", [Section("s", [Figure(Markup("<svg></svg>"), "")])]))
    assert len(drawn.all("svg")) == 1


@pytest.mark.parametrize(
    "href",
    ["javascript:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "http://a.test", "//a.test/x",
     "/etc/passwd", "\\\\host\\x", "data:text/html,x", "a/b:c", "", "x\n", "file:x", "?q", "/\\a.test"],
)  # fmt: skip
def test_links_elsewhere_are_refused(href):
    with pytest.raises(ValueError, match="relative"):
        Link("x", href)


@pytest.mark.parametrize("href", ["a.onnx", "../exports/a b/card.json", "./x", "#section-2", "page.html#top"])
def test_links_beside_the_report_are_kept(href):
    page = Page(render_page("t", [Section("s", [KeyValues([("file", Link("open", href))])])]))
    assert page.all("a") == [{"href": href}]


@pytest.mark.parametrize(
    "named",
    [{"align": "l"}, {"align": "lx"}, {"formats": [""]}, {"row_ids": []}, {"row_classes": []},
     {"row_classes": ["x\"y"]}, {"rows": [[1]]}],
)  # fmt: skip
def test_wrong_tables_are_refused(named):
    with pytest.raises(ValueError, match=r"columns|rows|align|classes"):
        Table(**{"columns": ["a", "b"], "rows": [[1, 2]], **named})
