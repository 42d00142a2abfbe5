"""The table of operators in every layout; one with holes is an error."""

from __future__ import annotations

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from runner_programs import transcript

from devices.runners.dialect import dialect_of
from mnas.errors import DeviceError

NEW = transcript("tflite_2025_profile.out")


def read(text, name="tflite"):
    return dialect_of(name).read_profile(text)


@pytest.mark.parametrize("name", ["tflite_2019_profile.out", "tflite_2019_profile_blanks.out"])
def test_the_layout_with_start_and_one_without_tabs(name):
    ops = read(transcript(name))
    assert [op.op for op in ops] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert [op.mean_ms for op in ops] == pytest.approx([1.0, 0.5, 0.5])
    assert [op.share for op in ops] == pytest.approx([0.5, 0.25, 0.25])
    assert [op.place for op in ops] == [0, 1, 2]
    assert ops[0].name == "[net/conv/Relu6]"
    assert ops[0].detail["first_ms"] == 5.567


@pytest.mark.parametrize("name", ["tflite_2025_profile.out", "tflite_2025_profile.csv"])
def test_operators_inside_a_delegate_stand_behind_it_and_add_up(name):
    ops = read(transcript(name))
    assert [op.op for op in ops] == [
        "SOFTMAX",
        "TfLiteXNNPackDelegate",
        "Convolution (NHWC, F32) IGEMM",
        "Fully Connected (NC, F32) GEMM",
    ]
    assert [op.mean_ms for op in ops] == pytest.approx([0.04, 0.06, 0.5, 0.4])
    assert sum(op.share for op in ops) == pytest.approx(1)
    assert ops[3].calls == 2
    assert ops[3].name == "Delegate/Fully Connected (NC, F32) GEMM:1"
    assert [op.detail.get("inside") for op in ops] == [None, None, "TfLiteXNNPackDelegate", "TfLiteXNNPackDelegate"]
    assert [op.place for op in ops] == [0, 1, 2, 3]


def test_csv_may_come_as_a_file():
    text = transcript("tflite_2025_profile.csv")
    assert dialect_of("tflite").read_profile("nothing", text) == read(text)


def test_litert_prints_it_on_stderr():
    litert = dialect_of("litert")
    ops = litert.read_profile("", transcript("litert_2025_profile.err"))
    assert [op.op for op in ops] == [
        "LiteRT::Run[buffer registration]",
        "AllocateTensors",
        "Fully Connected (NC, PF32) GEMM",
    ]
    assert ops[1].mean_ms == pytest.approx(0.00022 * 0.412466)
    fixed = litert.read_profile("", transcript("litert_2026_profile.err"))
    assert [(op.op, op.name, op.mean_ms) for op in fixed] == [
        ("Delegate/Fully Connected (NC, F32) GEMM", "[Delegate]:1", 0.4),
        ("SOFTMAX", "[Builtin]:2", 0.1),
    ]


def test_an_output_without_a_table_is_an_error():
    for text in ("", transcript("tflite_2026.out")):
        with pytest.raises(DeviceError, match="RNR17"):
            read(text)


@fuzzed
@given(st.integers(0, len(NEW)), st.integers(0, 200), st.text(max_size=30))
def test_a_damaged_table_is_an_error_or_read(start, length, text):
    try:
        assert all(op.mean_ms >= 0 for op in read(NEW[:start] + text + NEW[start + length :]))
    except DeviceError as error:
        assert error.code == "RNR17"


@given(st.integers(0, NEW.index("Delegate internal:")))
def test_a_table_that_is_cut_is_an_error_or_whole(end):
    try:
        ops = read(NEW[:end])
    except DeviceError as error:
        assert error.code == "RNR17"
    else:
        # Until the heading of the timed runs there is only the table of the initialisation, which is none of them.
        assert [op.op for op in ops] == ["SOFTMAX", "TfLiteXNNPackDelegate"]


def test_a_row_without_numbers_is_an_error():
    with pytest.raises(DeviceError, match="RNR17"):
        read(NEW.replace("0.040", "four", 1))
