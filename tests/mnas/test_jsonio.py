"""JSON: canonical text, and files written whole or not at all."""

import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnas.jsonio import (
    canonical_json,
    sha256_bytes,
    sha256_json,
    sha256_text,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@given(values)
def test_canonical_json_round_trips(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), scalars, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)
    assert sha256_json(dict(items)) == sha256_json(value)


def test_hashes_are_sha256():
    assert sha256_text("é") == sha256_bytes("é".encode()) == hashlib.sha256("é".encode()).hexdigest()
    assert sha256_json({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a":[2],"b":1}').hexdigest()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused(bad, tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": [bad]})
    path = tmp_path / "a.json"
    write_json_atomic(path, {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(path, {"x": bad})
    assert json.loads(path.read_text()) == {"x": 1}


def test_files_hold_what_was_written(tmp_path):
    path = tmp_path / "deep" / "folder" / "file"
    write_bytes_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_text_atomic(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_json_atomic(path, {"b": "é", "a": 1})
    assert path.read_text(encoding="utf-8") == '{\n  "b": "é",\n  "a": 1\n}\n'
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_failure_leaves_the_old_file_and_nothing_else(step, tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes_atomic(path, b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes_atomic(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
