"""Shapes: what a person writes, what a file fixes, and what stays open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.models.shapes import InputSizes, fit_shapes, parse_shapes, symbol_sizes
from mnas.errors import ModelError

IMAGE = InputSizes("x", "float32", ("batch", 3, "height", "width"))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["x=1,3,224,224"], {"x": (1, 3, 224, 224)}),
        (["1,3,8,8"], {"": (1, 3, 8, 8)}),
        (["a=1", "b=2, 3"], {"a": (1,), "b": (2, 3)}),
        (["gpu_0/data=1,2"], {"gpu_0/data": (1, 2)}),
        (["serving_default_x:0=1,2"], {"serving_default_x:0": (1, 2)}),
        (["a=b=4"], {"a=b": (4,)}),
        (["sr="], {"sr": ()}),
        ([], {}),
    ],
)
def test_shapes_are_read(texts, expected):
    assert parse_shapes(texts) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ["x=1,-3"],
        ["x=1,,3"],
        ["x=0"],
        ["x=a"],
        [""],
        ["="],
        ["=3"],
        ["x=1.5"],
        ["x=1", "x=1"],
        ["1", "2"],
        ["x=99999,99999"],
    ],
)
def test_what_is_no_shape_is_refused(texts):
    with pytest.raises(ModelError, match="MOD06"):
        parse_shapes(texts)


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_text_gives_shapes_or_a_model_error(texts):
    try:
        shapes = parse_shapes(texts)
    except ModelError:
        return
    assert all(size > 0 for sizes in shapes.values() for size in sizes)


def test_an_open_batch_becomes_one_and_other_open_sizes_are_asked_for():
    with pytest.raises(ModelError) as caught:
        fit_shapes([IMAGE], {}, "net.onnx")
    assert caught.value.code == "MOD07"
    assert "--shape x=1,3,SIZE,SIZE" in str(caught.value)
    assert fit_shapes([IMAGE], {"x": (2, 3, 8, 9)}, "net.onnx") == {"x": (2, 3, 8, 9)}
    assert fit_shapes([IMAGE], {"": (2, 3, 8, 9)}, "net.onnx") == {"x": (2, 3, 8, 9)}
    assert fit_shapes([InputSizes("x", "float32", ("", 3))], {}, "net.onnx") == {"x": (1, 3)}


@pytest.mark.parametrize(
    "sizes", [("sequence_length", 576), ("N",), ("",), ("height", 3), (3, "batch")], ids=lambda sizes: str(sizes)
)
def test_a_first_size_that_is_no_batch_stays_open(sizes):
    with pytest.raises(ModelError, match="MOD07"):
        fit_shapes([InputSizes("x", "float32", sizes)], {}, "net.onnx")


def test_a_named_dimension_has_one_size_in_all_inputs():
    inputs = [InputSizes("x", "float32", ("batch", "time")), InputSizes("state", "float32", (2, "batch", 8))]
    assert fit_shapes(inputs, {"x": (4, 5)}, "net") == {"x": (4, 5), "state": (2, 4, 8)}
    with pytest.raises(ModelError) as caught:
        fit_shapes(inputs, {}, "net")
    assert "--shape x=1,SIZE" in str(caught.value) and "state" not in str(caught.value)
    with pytest.raises(ModelError, match="'batch' was 4 before"):
        fit_shapes(inputs, {"x": (4, 5), "state": (2, 3, 8)}, "net")
    assert symbol_sizes(inputs, {"x": (4, 5), "state": (2, 4, 8)}) == {"batch": 4, "time": 5}


@pytest.mark.parametrize(
    ("given_shapes", "words"),
    [
        ({"y": (1, 3, 8, 8)}, "x (batch,3,height,width)"),
        ({"x": (1, 3, 8)}, "wrong number of sizes"),
        ({"x": (1, 4, 8, 8)}, "contradicts"),
        ({"x": (1, 3, 8, 8), "": (1, 3, 8, 8)}, "names no input"),
        ({"x": (2**20, 3, 2**10, 8)}, "too large"),
    ],
)
def test_shapes_that_do_not_fit_name_what_the_model_has(given_shapes, words):
    with pytest.raises(ModelError) as caught:
        fit_shapes([IMAGE], given_shapes, "net.onnx")
    assert caught.value.code == "MOD06" and words in str(caught.value)


def test_an_input_of_unknown_rank_needs_a_shape():
    unknown = InputSizes("x", "float32", None)
    with pytest.raises(ModelError, match="any number of dimensions"):
        fit_shapes([unknown], {}, "net.onnx")
    assert fit_shapes([unknown], {"x": ()}, "net.onnx") == {"x": ()}
    assert fit_shapes([unknown], {"x": (7,)}, "net.onnx") == {"x": (7,)}


def test_a_model_without_inputs_takes_no_shape():
    assert fit_shapes([], {}, "net.onnx") == {}
    with pytest.raises(ModelError, match="it has no inputs"):
        fit_shapes([], {"": (1,)}, "net.onnx")
