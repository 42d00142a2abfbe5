"""The YAML reader: rows and nothing else, whatever it is fed."""

import time

import pytest
import yaml
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from latency.importers.safe_yaml import read_rows
from latency.importers.text import MAX_BYTES, decoded, read_bytes
from mnas.errors import LutError

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 10**15).map(float)
tables = st.dictionaries(names, st.dictionaries(names, numbers, max_size=3), max_size=5)


@given(tables)
def test_what_pyyaml_writes_of_rows_is_read_back(rows):
    assert read_rows(yaml.safe_dump(rows, allow_unicode=True)) == rows


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
REFUSED = {
    "a tag that makes an object": ("a: !!python/object/apply:os.system [ls]\n", "LUT31", "a tag", 1),
    "a tag of a number": ("a:\n  mean: !!float 1.0\n", "LUT31", "a tag", 2),
    "a tag of one's own": ("!table\na:\n  mean: 1\n", "LUT31", "a tag", 1),
    "an anchor": ("a: &x\n  mean: 1\n", "LUT31", "an anchor", 1),
    "an anchor bomb": (BOMB, "LUT31", "an anchor", 1),
    "an alias": ("a:\n  mean: 1\nb: *a\n", "LUT31", "an alias", 3),
    "a merge": ("a:\n  <<: *a\n", "LUT31", "an alias", 2),
    "a second document": ("a:\n  mean: 1\n---\nb:\n  mean: 1\n", "LUT31", "second document", 3),
    "a list": ("- a\n", "LUT31", "no mapping", 1),
    "a text": ("a\n", "LUT31", "no mapping", 1),
    "nothing": ("", "LUT31", "no mapping", 1),
    "an entry that is a number": ("a: 1\n", "LUT31", "no mapping", 1),
    "an entry that is a list": ("a: [1]\n", "LUT31", "no mapping", 1),
    "a third level": ("a:\n  mean: {b: 1}\n", "LUT31", "in the place of a number", 2),
    "a key that is a list": ("? [a]\n: {mean: 1}\n", "LUT31", "in the place of a name", 1),
    "a key twice": ("a:\n  mean: 1\na:\n  mean: 2\n", "LUT31", "there twice", 3),
    "a field twice": ("a:\n  mean: 1\n  mean: 2\n", "LUT31", "there twice", 3),
    "NaN": ("a:\n  mean: .nan\n", "LUT32", "not finite", 2),
    "NaN as others write it": ("a:\n  mean: NaN\n", "LUT32", "not finite", 2),
    "infinity": ("a:\n  mean: -.inf\n", "LUT32", "not finite", 2),
    "a number beyond all": ("a:\n  mean: 1e999\n", "LUT32", "not finite", 2),
    "a word": ("a:\n  mean: fast\n", "LUT32", "no number", 2),
    "a number in quotes": ("a:\n  mean: '1.0'\n", "LUT32", "no number", 2),
    "no value": ("a:\n  mean:\n", "LUT32", "no number", 2),
    "minutes": ("a:\n  mean: 1:30\n", "LUT32", "no number", 2),
    "no YAML": ("a: {mean: 1\n", "LUT30", "not YAML", None),
    "a tab": ("a:\n\tmean: 1\n", "LUT30", "not YAML", None),
    "a control character": ("a\x00: 1\n", "LUT30", "not YAML", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_table_has_is_refused_with_its_line(name):
    text, code, what, line = REFUSED[name]
    with pytest.raises(LutError, match=code) as caught:
        read_rows(text)
    assert what in str(caught.value)
    assert line is None or f"(line {line})" in str(caught.value)


def test_a_bomb_costs_nothing():
    bomb = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 10_000))
    start = time.process_time()
    for text in (bomb, "[" * 100_000, "{a: " * 100_000, "a: {b: " + "[" * 100_000):
        with pytest.raises(LutError):
            read_rows(text)
    assert time.process_time() - start < 60, "it must not grow with what the text would come to"


@fuzzed
@given(st.text(st.sampled_from("ab:&*!%?|>-[]{},'\"#@` \n\t0.1enai<\\~\x85\u2028\ufeff"), max_size=60))
def test_any_text_gives_rows_or_one_of_our_errors(text):
    try:
        rows = read_rows(text)
    except LutError as error:
        assert error.code in ("LUT30", "LUT31", "LUT32")
        return
    found = yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # which makes texts of everything
    assert rows == {key: {name: float(value) for name, value in fields.items()} for key, fields in found.items()}


@fuzzed
@given(st.binary(max_size=80))
def test_any_bytes_give_a_text_or_one_of_our_errors(data):
    try:
        assert decoded(data).encode() == data
    except LutError as error:
        assert error.code == "LUT30"


def test_a_file_that_is_too_large_or_not_there_is_refused(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(2 * MAX_BYTES)
    data = read_bytes(path)
    assert len(data) == MAX_BYTES + 1
    with pytest.raises(LutError, match=r"LUT30.*too large"):
        decoded(data)
    with pytest.raises(LutError, match=r"LUT30.*not a text in UTF-8"):
        decoded(b"a: \xff")
    for place in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(LutError, match=r"LUT30.*cannot be read"):
            read_bytes(place)
