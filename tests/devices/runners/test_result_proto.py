"""`BenchmarkResult`, decoded by hand, against protobuf's own encoder."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from devices.runners.result_proto import read_result
from mnas.errors import DeviceError

FLOAT, INT64, INT32, STRING, MESSAGE = 2, 3, 5, 9, 11
LATENCY = ("avg_ms", "min_ms", "max_ms", "std_ms", "median_ms", "p5_ms", "p95_ms", "init_ms", "first_ms", "warmup_ms")


@pytest.fixture(scope="module")
def message_class():
    """Build the messages from their description, so that protobuf itself writes what we read."""
    file = descriptor_pb2.FileDescriptorProto(name="mnas_test_result.proto", package="mnas_test")
    shapes = {
        "Latency": [(name, FLOAT) for name in LATENCY],
        "Memory": [("init_kb", INT64), ("overall_kb", INT64), ("peak_mb", FLOAT)],
        "Misc": [("size_mb", FLOAT), ("runs", INT32), ("warmup_runs", INT32), ("throughput", FLOAT)],
        "Result": [("name", STRING), ("latency", "Latency"), ("memory", "Memory"), ("misc", "Misc")],
    }
    for title, fields in shapes.items():
        message = file.message_type.add(name=title)
        for number, (name, kind) in enumerate(fields, 1):
            field = message.field.add(name=name, number=number, label=1)
            field.type = MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                field.type_name = f".mnas_test.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("mnas_test.Result"))


def filled(message_class):
    message = message_class(name="größe")
    for place, name in enumerate(LATENCY):
        setattr(message.latency, name, place + 0.25)
    message.memory.init_kb, message.memory.overall_kb, message.memory.peak_mb = -4, 11_776, 23.5
    message.misc.runs, message.misc.warmup_runs, message.misc.size_mb = 50, 5, 3.5
    return message


def test_every_field_is_read(message_class):
    result = read_result(filled(message_class).SerializeToString())
    assert result.name == "größe"
    assert result.latency_ms == {name: place + 0.25 for place, name in enumerate(LATENCY)}
    assert (result.runs, result.warmup_runs) == (50, 5)
    assert (result.init_footprint_bytes, result.overall_footprint_bytes) == (-4096, 11_776 * 1024)
    assert result.peak_memory_bytes == round(23.5 * 2**20)


def test_what_is_not_there_is_none():
    result = read_result(b"")
    assert (result.latency_ms, result.runs, result.peak_memory_bytes) == ({}, None, None)


def test_unknown_fields_are_passed_over(message_class):
    data = filled(message_class).SerializeToString()
    assert read_result(data + b"\x7d\x00\x00\x80\x3f") == read_result(data)


def test_a_file_that_is_cut_within_a_field_is_an_error(message_class):
    data = filled(message_class).SerializeToString()
    failures = 0
    for end in range(1, len(data)):
        try:
            result = read_result(data[:end])
        except DeviceError as error:
            failures += error.code == "RNR18"
        else:
            assert not result.latency_ms or len(result.latency_ms) == len(LATENCY)
    assert failures >= len(data) - 5


@given(st.binary(max_size=80))
def test_no_bytes_break_the_reader(data):
    try:
        read_result(data)
    except DeviceError as error:
        assert error.code == "RNR18"
