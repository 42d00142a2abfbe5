"""Data within a page: nothing that HTML looks at is left in it, and it is read back as it was."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.report.embedded import embedded_json, script_hash
from mnas.report.page import Mount, Paragraph, Section, render_page
from mnas.report.text import clean

HOSTILE = "</script><img src=x onerror=alert(1)><!--<script>\u2028]]>&lt;"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def cleaned(value):
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): cleaned(one) for key, one in value.items()}
    return [cleaned(one) for one in value] if isinstance(value, list) else value


@given(VALUES)
def test_any_value_comes_back_and_no_markup_is_in_it(value):
    text = str(embedded_json(value))
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == cleaned(value)
    text.encode("utf-8")


def test_numbers_that_json_lacks_become_null():
    assert json.loads(embedded_json([math.nan, math.inf, -math.inf, 1.5, (1, 2)])) == [None, None, None, 1.5, [1, 2]]


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="set cannot be put into a page"):
        embedded_json({"a": {1, 2}})


class Scripts(HTMLParser):
    """Collects the scripts of a page with their types."""

    def __init__(self, html):
        super().__init__()
        self.found, self._open, self.images = [], None, 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.images += tag == "img"
        if tag == "script":
            self._open = [dict(attrs), ""]

    def handle_data(self, data):
        if self._open:
            self._open[1] += data

    def handle_endtag(self, tag):
        if tag == "script":
            self.found.append(tuple(self._open))
            self._open = None


@pytest.mark.parametrize("data", [None, {"names": [HOSTILE]}])
def test_the_policy_allows_the_pages_own_script_and_no_other(data):
    html = render_page("t", [Section("s", [])], data=data)
    scripts = Scripts(html)
    assert scripts.images == 0
    programs = [text for attributes, text in scripts.found if "type" not in attributes]
    assert len(programs) == 1 and len(scripts.found) == (1 if data is None else 2)
    digest = base64.b64encode(hashlib.sha256(programs[0].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1)
    assert f"script-src 'sha256-{digest}';" in policy and "script-src 'unsafe-inline'" not in policy
    assert script_hash(programs[0]) == f"'sha256-{digest}'"
    if data is not None:
        held = next(text for attributes, text in scripts.found if attributes.get("type") == "application/json")
        assert json.loads(held) == data


def test_only_pages_with_data_carry_the_explorer():
    plain, full = render_page("t", []), render_page("t", [], data={})
    assert "page-data" not in plain and "mountOf" not in plain
    assert "mountOf" in full and "svg.lanes" in full


def test_a_mount_says_something_where_no_script_runs():
    html = render_page("t", [Section("s", [Mount("explorer", Paragraph("no <b>script</b>"))])])
    assert re.search(r'<div id="mount-explorer" class="mount">\s*<p>no &lt;b&gt;script&lt;/b&gt;</p>\s*</div>', html)
    with pytest.raises(ValueError, match="small letters"):
        Mount('x" onload="', Paragraph(""))
