"""What a program file says of itself: an ELF's machine, interpreter and needed libraries.

Source: the System V ABI's ELF chapters and elf(5); Android's ABIs as the NDK documents them.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mnas.errors import DeviceError

_ABIS = {(2, 183): "arm64-v8a", (1, 40): "armeabi-v7a", (2, 62): "x86_64", (1, 3): "x86"}
"""(ELF class, e_machine) -> Android's name of the ABI."""

_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_NEEDED, _STRTAB, _FLAGS_1, _PIE = 1, 5, 0x6FFFFFFB, 0x08000000
_EXEC, _DYN = 2, 3
_EABI_MASK, _EABI5 = 0xFF000000, 0x05000000
_MAX_TABLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Elf:
    """What matters of an ELF file.

    Attributes:
        abi: ``arm64-v8a``, ``armeabi-v7a``, ``x86_64`` or ``x86``.
        machine: ``e_machine``.
        flags: ``e_flags``.
        interpreter: Program that loads it, e.g. ``/system/bin/linker64``; "" for a static program or a library.
        needed: Shared libraries that it names.
        is_pie: Whether it runs at any address, which Android demands of programs with an interpreter.
        is_library: A shared library, not a program.
    """

    abi: str
    machine: int
    flags: int
    interpreter: str
    needed: tuple[str, ...]
    is_pie: bool
    is_library: bool


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def read_elf(path: Path) -> Elf:
    """Read a file's ELF header, segments and dynamic table.

    Raises:
        DeviceError: ``RNR01`` it cannot be read, ``RNR03`` it is no ELF program, ``RNR04`` it is broken off,
            ``RNR05`` it is for a machine that no Android runs on.
    """
    try:
        with path.open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size, path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DeviceError("RNR01", "the program cannot be read", value=str(path), why=why, fix="name a file") from error
    except (struct.error, ValueError) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, why: str) -> DeviceError:
    return DeviceError(
        "RNR04", "the program is broken off or damaged", value=str(path), why=why, fix="download or build it again"
    )


def _read(file: BinaryIO, size: int, path: Path) -> Elf:
    start = file.read(64)
    if start[:4] != b"\x7fELF":
        raise _no_program(path, start)
    if len(start) < 52 or (start[4] == 2 and len(start) < 64):
        raise ValueError("the file ends within its header")
    width, order = start[4], start[5]
    if width not in (1, 2) or order != 1:
        raise _foreign(path, f"class {width}, byte order {order}")
    layout = "<HHIQQQIHHHHHH" if width == 2 else "<HHIIIIIHHHHHH"
    kind, machine, _, _, table, sections, flags, _, entry_size, count, section_size, section_count, _ = (
        struct.unpack_from(layout, start, 16)
    )
    if (width, machine) not in _ABIS or (machine == 40 and flags & _EABI_MASK != _EABI5):
        raise _foreign(path, f"class {width}, machine {machine}, flags {flags:#x}")
    if kind not in (_EXEC, _DYN):
        raise _no_program(path, start)
    segments = _read_segments(file, size, table, entry_size, count, width)
    if sections and sections + section_size * section_count > size:
        raise ValueError(f"its table of sections ends beyond its {size} bytes")
    interpreter = _read_interpreter(file, segments)
    dynamic = _read_dynamic(file, segments, width)
    has_pie_flag = any(tag == _FLAGS_1 and value & _PIE for tag, value in dynamic)
    return Elf(
        abi=_ABIS[width, machine],
        machine=machine,
        flags=flags,
        interpreter=interpreter,
        needed=_read_needed(file, segments, dynamic),
        is_pie=kind == _DYN and (bool(interpreter) or has_pie_flag),
        is_library=kind == _DYN and not interpreter and not has_pie_flag,
    )


def _no_program(path: Path, start: bytes) -> DeviceError:
    if start[:2] == b"#!":
        what, why = "the runner is a script", "a phone needs the program itself"
    elif not start:
        what, why = "the file is empty", "there is no program in it"
    else:
        what, why = "the file is not an ELF program", f"it starts with {start[:8]!r}"
    return DeviceError("RNR03", what, value=str(path), why=why, fix="name a program that was built for Android")


def _foreign(path: Path, seen: str) -> DeviceError:
    return DeviceError(
        "RNR05",
        "the program is for another kind of machine",
        value=f"{path}: {seen}",
        why=f"Android runs {', '.join(_ABIS.values())}",
        fix="name a program that was built for Android",
    )


def _read_segments(file: BinaryIO, size: int, table: int, entry_size: int, count: int, width: int) -> list[_Segment]:
    layout = "<IIQQQQQQ" if width == 2 else "<IIIIIIII"
    if entry_size < struct.calcsize(layout) or not count:
        raise ValueError("it has no table of segments")
    file.seek(table)
    data = file.read(entry_size * count)
    segments = []
    for place in range(count):
        fields = struct.unpack_from(layout, data, place * entry_size)
        kind, offset, address, length = (
            (fields[0], fields[2], fields[3], fields[5]) if width == 2 else (fields[0], fields[1], fields[2], fields[4])
        )
        if offset + length > size:
            raise ValueError(f"a segment ends at byte {offset + length} of a file of {size}")
        segments.append(_Segment(kind, offset, address, length))
    return segments


def _read_interpreter(file: BinaryIO, segments: list[_Segment]) -> str:
    for segment in segments:
        if segment.kind == _INTERP:
            file.seek(segment.offset)
            return file.read(min(segment.size, 4096)).split(b"\0")[0].decode("utf-8", "replace")
    return ""


def _read_dynamic(file: BinaryIO, segments: list[_Segment], width: int) -> list[tuple[int, int]]:
    layout = "<qQ" if width == 2 else "<iI"
    step = struct.calcsize(layout)
    for segment in segments:
        if segment.kind == _DYNAMIC:
            file.seek(segment.offset)
            data = file.read(min(segment.size, _MAX_TABLE_BYTES))
            pairs = list(struct.iter_unpack(layout, data[: len(data) // step * step]))
            end = next((place for place, (tag, _) in enumerate(pairs) if tag == 0), len(pairs))
            return [(int(tag), int(value)) for tag, value in pairs[:end]]
    return []


def _read_needed(file: BinaryIO, segments: list[_Segment], dynamic: list[tuple[int, int]]) -> tuple[str, ...]:
    names = [value for tag, value in dynamic if tag == _NEEDED]
    tables = [value for tag, value in dynamic if tag == _STRTAB]
    if not names or not tables:
        return ()
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= tables[0] < segment.address + segment.size:
            return tuple(_read_name(file, segment.offset + tables[0] - segment.address + name) for name in names)
    raise ValueError("its table of names lies in no segment")


def _read_name(file: BinaryIO, offset: int) -> str:
    file.seek(offset)
    name, end, _ = file.read(256).partition(b"\0")
    if not end:
        raise ValueError("a name of a needed library has no end")
    return name.decode("utf-8", "replace")
