"""ELF files: made by hand, by this machine's compiler, and those of this machine; and what does not fit a phone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from runner_programs import MACHINES, elf_bytes

from devices.runners.elf import read_elf
from devices.runners.fitting import check_fits, missing_libraries
from mnas.errors import DeviceError

GLIBC = "/lib64/ld-linux-x86-64.so.2"
PHONE = ("arm64-v8a", "armeabi-v7a", "armeabi")


def code_of(call, *arguments):
    with pytest.raises(DeviceError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize("abi", MACHINES)
def test_each_abi_is_read(make_elf, abi):
    elf = read_elf(make_elf(abi=abi, needed=("libc.so", "liblog.so")))
    assert (elf.abi, elf.interpreter, elf.needed) == (abi, "/system/bin/linker64", ("libc.so", "liblog.so"))
    assert elf.is_pie
    assert not elf.is_library
    assert elf.flags == MACHINES[abi][2]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "RNR03"),
        (b"#!/system/bin/sh\nexit 0\n", "RNR03"),
        (b"MZ\x90\x00" + b"\0" * 100, "RNR03"),
        (b"<html>Not found</html>", "RNR03"),
        (b"\x7fELF", "RNR04"),
        (b"\x7fELF\x02\x01\x01" + b"\0" * 45, "RNR04"),
        (elf_bytes()[:100], "RNR04"),
        (elf_bytes()[:-1], "RNR04"),
        (elf_bytes(machine=(2, 243, 0)), "RNR05"),
        (elf_bytes(machine=(1, 62, 0)), "RNR05"),
        (elf_bytes(machine=(1, 40, 0)), "RNR05"),
        (elf_bytes(kind=1), "RNR03"),
    ],
)
def test_what_is_no_program_is_refused(tmp_path, content, code):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert code_of(read_elf, path) == code


def test_a_script_is_called_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("#!/bin/sh\n")
    with pytest.raises(DeviceError, match="script"):
        read_elf(path)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    assert code_of(read_elf, tmp_path / "none") == "RNR01"
    assert code_of(read_elf, tmp_path) == "RNR01"


@fuzzed
@given(st.integers(0, len(elf_bytes()) - 1))
def test_a_program_cut_anywhere_is_refused(tmp_path_factory, end):
    path = tmp_path_factory.getbasetemp() / "cut"
    path.write_bytes(elf_bytes()[:end])
    assert code_of(read_elf, path) in ("RNR03", "RNR04")


@fuzzed
@given(
    abi=st.sampled_from(sorted(MACHINES)),
    changes=st.lists(st.tuples(st.integers(4, 400), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
)
def test_damaged_bytes_never_break_the_reader(tmp_path_factory, abi, changes):
    data = bytearray(elf_bytes(abi))
    for place, new in changes:
        data[place : place + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(bytes(data))
    try:
        read_elf(path)
    except DeviceError as error:
        assert error.code.startswith("RNR")


def test_this_machines_python_is_a_program_for_glibc():
    elf = read_elf(Path(sys.executable).resolve())
    assert elf.interpreter.startswith("/lib")
    assert any(name.startswith("libc.so") for name in elf.needed)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize(
    ("flags", "is_pie", "is_library", "has_interpreter"),
    [
        (["-pie", "-fPIE"], True, False, True),
        (["-no-pie", "-fno-pie"], False, False, True),
        (["-shared", "-fPIC"], False, True, False),
        (["-static", "-no-pie", "-fno-pie"], False, False, False),
    ],
)
def test_what_a_compiler_makes(tmp_path, flags, is_pie, is_library, has_interpreter):
    source, target = tmp_path / "a.c", tmp_path / "a"
    source.write_text("int main(void) { return 0; }\n")
    made = subprocess.run(["gcc", *flags, "-o", str(target), str(source)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this gcc cannot: {made.stderr[:200]}")
    elf = read_elf(target)
    assert (elf.is_pie, elf.is_library, bool(elf.interpreter)) == (is_pie, is_library, has_interpreter)
    target.write_bytes(target.read_bytes()[:-8])
    assert code_of(read_elf, target) == "RNR04"


def test_what_fits_a_phone(make_elf):
    check_fits(read_elf(make_elf()), PHONE)
    check_fits(read_elf(make_elf(abi="armeabi-v7a", interpreter="/system/bin/linker")), PHONE)
    check_fits(read_elf(make_elf(interpreter="/apex/com.android.runtime/bin/linker64")), PHONE)
    check_fits(read_elf(make_elf(kind=2, interpreter="")), PHONE)


@pytest.mark.parametrize(
    ("options", "abis", "code"),
    [
        ({"abi": "x86_64"}, PHONE, "RNR05"),
        ({"abi": "arm64-v8a"}, ("armeabi-v7a",), "RNR05"),
        ({"interpreter": "/lib/ld-linux-aarch64.so.1"}, PHONE, "RNR06"),
        ({"interpreter": "/lib/ld-musl-aarch64.so.1"}, PHONE, "RNR06"),
        ({"kind": 2}, PHONE, "RNR16"),
        ({"interpreter": ""}, PHONE, "RNR16"),
    ],
)
def test_what_does_not_fit(make_elf, options, abis, code):
    assert code_of(check_fits, read_elf(make_elf(**options)), abis) == code


def test_a_simulated_phone_says_which_loaders_it_has(make_elf):
    elf = read_elf(make_elf(abi="x86_64", interpreter=GLIBC, kind=2))
    assert code_of(check_fits, elf, ("x86_64",)) == "RNR06"
    check_fits(elf, ("x86_64",), {GLIBC})
    assert code_of(check_fits, elf, ("x86_64",), {"/lib/ld-musl-x86_64.so.1"}) == "RNR06"
    assert code_of(check_fits, elf, ("x86_64",), set()) == "RNR06"


def test_libraries_that_android_does_not_have(make_elf):
    needed = ("libc.so", "libEGL.so", "ld-android.so", "libc++_shared.so", "libonnxruntime.so")
    elf = read_elf(make_elf(needed=needed))
    assert missing_libraries(elf, ()) == ["libc++_shared.so", "libonnxruntime.so"]
    assert missing_libraries(elf, {"libc++_shared.so", "libonnxruntime.so"}) == []
    assert missing_libraries(read_elf(make_elf(interpreter=GLIBC, needed=("libfoo.so.1",))), ()) == []
