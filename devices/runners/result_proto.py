"""The ``BenchmarkResult`` that newer tools write with ``--result_file_path``, read without a protobuf library.

It holds the mean, quantiles and footprints as numbers of their own, so it checks what the parser of lines reads.

Source: tflite/tools/benchmark/proto/benchmark_result.proto of LiteRT (2025); protobuf's encoding guide.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mnas.errors import DeviceError

_LATENCY = ("avg_ms", "min_ms", "max_ms", "std_ms", "median_ms", "p5_ms", "p95_ms", "init_ms", "first_ms", "warmup_ms")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Value = int | bytes


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What the file holds; ``None`` for a field that is not there.

    Attributes:
        name: Of the benchmark.
        latency_ms: ``avg_ms``, ``min_ms``, ``max_ms``, ``std_ms``, ``median_ms``, ``p5_ms``, ``p95_ms``, ``init_ms``,
            ``first_ms`` and ``warmup_ms``, those that are there, each with the 24 bits of a float.
        runs: Timed runs.
        warmup_runs: Runs before them.
        init_footprint_bytes: Growth of the process until the model was ready.
        overall_footprint_bytes: Growth until the end.
        peak_memory_bytes: As the tool watched it.
    """

    name: str
    latency_ms: dict[str, float]
    runs: int | None = None
    warmup_runs: int | None = None
    init_footprint_bytes: int | None = None
    overall_footprint_bytes: int | None = None
    peak_memory_bytes: int | None = None


def read_result(data: bytes) -> BenchmarkResult:
    """Read the file's bytes; unknown fields are passed over.

    Raises:
        DeviceError: ``RNR18``: it is broken off or no such file.
    """
    try:
        fields = _read_fields(data)
        latency = _read_fields(_message(fields, 2))
        memory = _read_fields(_message(fields, 3))
        misc = _read_fields(_message(fields, 4))
        peak = _float(memory.get(3))
        return BenchmarkResult(
            name=_message(fields, 1).decode("utf-8"),
            latency_ms={
                name: value
                for place, name in enumerate(_LATENCY, 1)
                if (value := _float(latency.get(place))) is not None
            },
            runs=_integer(misc.get(2)),
            warmup_runs=_integer(misc.get(3)),
            init_footprint_bytes=_kilobytes(memory.get(1)),
            overall_footprint_bytes=_kilobytes(memory.get(2)),
            peak_memory_bytes=None if peak is None else round(peak * 2**20),
        )
    except ValueError as error:
        raise DeviceError(
            "RNR18", "the file of results is no BenchmarkResult", value=data[:40], why=str(error), fix="run it again"
        ) from error


def _read_fields(data: bytes) -> dict[int, Value]:
    """Return the fields of a message; of one that is repeated the last."""
    fields: dict[int, Value] = {}
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        number, kind = key >> 3, key & 7
        value: Value
        if kind == _VARINT:
            value, place = _read_varint(data, place)
        elif kind in (_FIXED32, _FIXED64, _BYTES):
            size = 4 if kind == _FIXED32 else 8
            if kind == _BYTES:
                size, place = _read_varint(data, place)
            value, place = data[place : place + size], place + size
            if place > len(data):
                raise ValueError("it is broken off")
        else:
            raise ValueError(f"there is no wire type {kind}")
        if number == 0:
            raise ValueError("there is no field 0")
        fields[number] = value
    return fields


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise ValueError("it is broken off")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
    raise ValueError("a number has more than ten bytes")


def _message(fields: dict[int, Value], number: int) -> bytes:
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is of another kind")
    return value


def _float(value: Value | None) -> float | None:
    if value is None:
        return None
    if not isinstance(value, bytes) or len(value) != 4:
        raise ValueError("a time is of another kind")
    return float(struct.unpack("<f", value)[0])


def _integer(value: Value | None) -> int | None:
    if isinstance(value, bytes):
        raise ValueError("a count is of another kind")
    return value


def _kilobytes(value: Value | None) -> int | None:
    count = _integer(value)
    if count is None:
        return None
    return (count - 2**64 if count >= 2**63 else count) * 1024
