"""Names in Markdown stay words: a reader of CommonMark with tables finds no HTML, link, image or further cell."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # brought by rich

from mnas.cli.output import Format, Result, render
from mnas.export.folder import write_card
from mnas.report.markdown import inline

READER = MarkdownIt("commonmark").enable("table")
LIVE = {"html_inline", "html_block", "link_open", "image"}
PIECES = (
    "<",
    "\\",
    "|",
    "`",
    "[",
    "](",
    "]:",
    "!",
    ">",
    "img src=x",
    "http://x",
    "\n",
    "\r",
    "\x85",
    "\u2028",
    "a",
    " ",
)
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=12).map("".join)


def tokens(text):
    return [kind.type for block in READER.parse(text) for kind in (block, *(block.children or []))]


@given(texts)
@example("\\<b>")
@example("\\\\|")
@example("![x](http://x)")
@example("[x]: http://x")
def test_a_text_is_one_cell_of_words(text):
    found = tokens(
        f"| {inline(text)} | b |\n| --- | --- |\n| {inline(text)} | {inline(text)} |\n\n{inline(text)} end\n"
    )
    assert not LIVE & set(found)
    assert (found.count("th_open"), found.count("td_open"), found.count("tr_open")) == (2, 2, 2)


@pytest.mark.parametrize("text", ["<b>", "a|b", "a\\|b", "![x](http://x)", "[x]: y", "a <img src=x onerror=alert(1)>"])
def test_a_reader_sees_the_text_itself(text):
    (paragraph,) = [block for block in READER.parse(inline(text)) if block.type == "inline"]
    assert "".join(part.content for part in paragraph.children) == text


@given(title=texts, heads=st.tuples(texts, texts), rows=st.lists(st.tuples(texts, texts), max_size=3), note=texts)
def test_a_result_is_one_table_whatever_its_names(title, heads, rows, note):
    found = tokens(render(Result(heads, rows, title=title, notes=[note]), Format.md))
    assert not LIVE & set(found)
    assert (found.count("table_open"), found.count("th_open"), found.count("td_open")) == (1, 2, 2 * len(rows))


HOSTILE = "<img src=x onerror=alert(1)> | \\| \n\n# x ![i](http://x)"


def test_a_card_of_hostile_names_is_one_table_of_words(tmp_path):
    card = {
        "arch_id": "ab" * 32,
        "summary": HOSTILE,
        "preprocessing": {
            "px": 16,
            "channels": 1,
            "layout": {"onnx": HOSTILE, "tflite": HOSTILE},
            "resize": HOSTILE,
            "mean": [0.5],
            "std": [0.5],
        },
        "class_labels": [HOSTILE, "cat", HOSTILE],
        "dtype": HOSTILE,
        "macs": 1,
        "params": 1,
        "latency": {
            "predicted_ms": 1.0,
            "measured_ms": None,
            "device": HOSTILE,
            "foreign_lut": {"lut_id": HOSTILE, "device": HOSTILE},
            "lut_marks": [HOSTILE],
        },
        "accuracy": [{"split": HOSTILE, "top1": 0.5, "images": 4, "note": HOSTILE}],
    }
    write_card(tmp_path, card)
    folder = tmp_path / ("ab" * 6)
    assert json.loads((folder / "card.json").read_text()) == card
    text = (folder / "card.md").read_text()
    found = tokens(text)
    assert not LIVE & set(found)
    assert (found.count("table_open"), found.count("td_open"), found.count("heading_open")) == (1, 2 * 8, 1)
    assert text.count("\\<img") == text.count("<img") >= 10
