"""Programs and transcripts for the tests of runners."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

TRANSCRIPTS = Path(__file__).parent / "devices" / "runners" / "transcripts"
MACHINES = {"arm64-v8a": (2, 183, 0), "armeabi-v7a": (1, 40, 0x05000400), "x86_64": (2, 62, 0), "x86": (1, 3, 0)}
ANDROID = "/system/bin/linker64"
TEXT = {
    "tflite": b"Average inference timings in us\0",
    "litert": b"Inference timings in us\0========== BENCHMARK RESULTS ==========\0",
    "ortperf": b"Session creation time cost: \0",
}


def transcript(name: str) -> str:
    """Return a transcript, or "" where a tool left such a file empty."""
    path = TRANSCRIPTS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def elf_bytes(
    abi: str = "arm64-v8a",
    *,
    interpreter: str = ANDROID,
    needed: Sequence[str] = ("libc.so", "libm.so"),
    text: bytes = TEXT["tflite"],
    kind: int = 3,
    machine: tuple[int, int, int] | None = None,
) -> bytes:
    """Build an ELF file: one loaded segment over everything, an interpreter, a dynamic table, and some text."""
    width, number, flags = machine or MACHINES[abi]
    is_64 = width == 2
    header_size, entry_size = (64, 56) if is_64 else (52, 32)
    count = 2 + bool(interpreter)
    start = header_size + entry_size * count
    loader = interpreter.encode() + b"\0" if interpreter else b""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    places, place = [], 1
    for name in needed:
        places.append(place)
        place += len(name) + 1
    base = 0x10000
    loader_at, names_at = start, start + len(loader)
    dynamic_at = names_at + len(names)
    tags = [(1, one) for one in places] + [(5, base + names_at), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ" if is_64 else "<iI", *tag) for tag in tags)
    text_at = dynamic_at + len(dynamic)
    end = text_at + len(text)

    def segment(sort: int, offset: int, size: int) -> bytes:
        if is_64:
            return struct.pack("<IIQQQQQQ", sort, 5, offset, base + offset, base + offset, size, size, 4096)
        return struct.pack("<IIIIIIII", sort, offset, base + offset, base + offset, size, size, 5, 4096)

    segments = [segment(1, 0, end), segment(2, dynamic_at, len(dynamic))]
    if interpreter:
        segments.append(segment(3, loader_at, len(loader)))
    head = b"\x7fELF" + bytes([width, 1, 1, 0]) + b"\0" * 8
    layout = "<HHIQQQIHHHHHH" if is_64 else "<HHIIIIIHHHHHH"
    fields = (kind, number, 1, base + text_at, header_size, 0, flags, header_size, entry_size, count, 0, 0, 0)
    return head + struct.pack(layout, *fields) + b"".join(segments) + loader + names + dynamic + text
