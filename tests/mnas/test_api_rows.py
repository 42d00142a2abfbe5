"""Rows of `search.api`: shown escaped, whatever is in them; data frames where pandas is, a clear error elsewhere."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import PackageError
from mnas.optional import optional_package as import_optional
from mnas.report.text import clean
from search.api import Rows
from search.api.rows import MOST_SHOWN

HOSTILE = '<img src=x onerror=alert(1)> & "quotes" \''
TAGS = {"div", "p", "strong", "small", "table", "thead", "tbody", "tr", "th", "td"}
TEXTS = st.text(max_size=20) | st.just(HOSTILE)
CELLS = TEXTS | st.integers(-(10**9), 10**9) | st.floats() | st.none() | st.booleans()


class Reader(HTMLParser):
    """Takes a fragment apart: tags, attributes, and the text of each cell."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.cells, self.open = [], set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.cells[-1] += data


@given(title=TEXTS, name=TEXTS, cells=st.lists(CELLS, max_size=5), note=TEXTS)
def test_whatever_is_in_rows_stays_text(title, name, cells, note):
    found = Reader(Rows(tuple({name: cell} for cell in cells), title, (note,))._repr_html_())
    assert set(found.tags) <= TAGS and found.attributes == {"class"} and found.open == []
    assert len(found.cells) == len(cells) + bool(cells)
    texts = [cell for cell in cells if isinstance(cell, str)]
    shown = [text for text, cell in zip(found.cells[1:], cells, strict=True) if isinstance(cell, str)]
    assert [one.replace("\r\n", "\n").replace("\r", "\n") for one in shown] == [
        clean(one).replace("\r\n", "\n").replace("\r", "\n") for one in texts
    ]


def test_a_notebook_shows_some_columns_and_the_first_rows_and_says_so():
    rows = Rows(tuple({"a": place, "b": -place} for place in range(MOST_SHOWN + 7)), "many", shown=("b",))
    found = Reader(rows._repr_html_())
    assert found.cells[:3] == ["b", "0", "-1"] and len(found.cells) == 1 + MOST_SHOWN
    assert f"the first {MOST_SHOWN} of {MOST_SHOWN + 7} rows" in rows._repr_html_()
    assert (len(rows), rows[-1]["a"], rows.columns) == (MOST_SHOWN + 7, MOST_SHOWN + 6, ("a", "b"))
    assert [row["a"] for row in rows][:2] == [0, 1]


def test_no_rows_are_shown_as_none():
    assert "<tbody></tbody>" in Rows((), "nothing")._repr_html_()
    assert repr(Rows((), "nothing")) == "<nothing: 0 rows>"


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PackageError, match=r"PKG01.*pandas.*pip install 'mnas\[viz\]'") as caught:
        Rows(({"a": 1},)).to_pandas()
    assert caught.value.exit_code == 2


def test_a_module_that_is_there_is_imported():
    assert import_optional("html.parser", "reading", "viz").HTMLParser is HTMLParser
    with pytest.raises(PackageError, match="PKG01"):
        import_optional("a_package_that_nobody_has.inside", "this", "viz")


def test_a_data_frame_has_all_rows_and_columns(optional_package):
    pandas = optional_package("pandas")
    frame = Rows(({"a": 1, "b": "x"}, {"a": None, "b": HOSTILE}), shown=("a",)).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["a", "b"] and list(frame["b"]) == ["x", HOSTILE]
    assert Rows(()).to_pandas().empty
