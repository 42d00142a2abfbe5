"""The runner library: by content, atomic, safe between processes, checked when used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runner_programs import TEXT

from devices.runners.index import FILE_NAME
from devices.runners.library import RunnerLibrary, default_folder
from mnas.errors import ConfigError, DeviceError

PHONE = ("arm64-v8a", "armeabi-v7a")


@pytest.fixture
def library(tmp_path):
    return RunnerLibrary(tmp_path / "runners")


def code_of(call, *arguments, **options):
    with pytest.raises((DeviceError, ConfigError)) as caught:
        call(*arguments, **options)
    return caught.value.code


def files_of(library):
    return sorted(path.name for path in library.folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_a_program_is_copied_by_content(library, make_elf):
    path = make_elf("odd name (1)")
    runner = library.add(path)
    content = path.read_bytes()
    path.unlink()
    assert runner.path.read_bytes() == content
    assert runner.sha256 == hashlib.sha256(content).hexdigest()
    assert os.access(runner.path, os.X_OK)
    assert (runner.name, runner.abi, runner.size_bytes) == ("tflite", "arm64-v8a", len(content))
    assert runner.source == str(path)
    assert library.list() == [runner]
    assert library.find("tflite", PHONE) == runner


@pytest.mark.parametrize("name", TEXT)
def test_a_runner_is_recognised_by_its_texts(library, make_elf, name):
    assert library.add(make_elf(text=TEXT[name])).name == name


def test_a_runner_that_is_not_recognised_needs_a_name(library, make_elf):
    path = make_elf(text=b"nothing")
    assert code_of(library.add, path) == "RNR08"
    assert code_of(library.add, path, "benchmark_model") == "RNR13"
    assert library.add(path, "litert").name == "litert"


def test_a_name_that_its_texts_deny_is_refused(library, make_elf):
    assert code_of(library.add, make_elf(text=TEXT["litert"]), "tflite") == "RNR08"
    assert files_of(library) == []


def test_the_same_twice_is_one_entry(library, make_elf):
    first = library.add(make_elf())
    again = library.add(make_elf())
    assert library.list() == [first] == [again]


def test_libraries_lie_beside_their_names(library, make_elf):
    needed = make_elf("libonnxruntime.so", interpreter="", text=b"lib")
    program = make_elf(text=TEXT["ortperf"], needed=("libc.so", "libonnxruntime.so"))
    assert code_of(library.add, program) == "RNR07"
    assert files_of(library) == []
    runner = library.add(program, libraries=[needed])
    assert [path.name for path in runner.libraries] == ["libonnxruntime.so"]
    assert runner.libraries[0].read_bytes() == needed.read_bytes()
    wrong = make_elf("libonnxruntime.so", interpreter="", abi="x86_64")
    assert code_of(library.add, program, libraries=[wrong]) == "RNR07"
    runner.libraries[0].write_bytes(b"other")
    assert code_of(library.find, "ortperf", PHONE) == "RNR09"


def test_of_the_libraries_of_other_systems_nothing_is_known(library, make_elf):
    beside = make_elf("libLiteRt.so", interpreter="", abi="x86_64", needed=("libc.so.6",))
    loader = "/lib64/ld-linux-x86-64.so.2"
    program = make_elf(abi="x86_64", interpreter=loader, needed=("libLiteRt.so", "libc.so.6"))
    assert [path.name for path in library.add(program, libraries=[beside]).libraries] == ["libLiteRt.so"]


@pytest.mark.parametrize(("content", "code"), [(b"#!/bin/sh\n", "RNR03"), (b"\x7fELF", "RNR04")])
def test_what_is_no_program_is_not_kept(library, tmp_path, content, code):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert code_of(library.add, path) == code
    assert files_of(library) == []
    assert code_of(library.add, tmp_path / "none") == "RNR01"


def test_a_shared_library_is_no_runner(library, make_elf):
    assert code_of(library.add, make_elf(interpreter="")) == "RNR16"
    assert files_of(library) == []


def test_a_file_that_was_changed_is_noticed_and_can_be_mended(library, make_elf):
    path = make_elf()
    runner = library.add(path)
    runner.path.write_bytes(runner.path.read_bytes() + b"x")
    assert code_of(library.find, "tflite", PHONE) == "RNR09"
    library.add(path)
    assert library.find("tflite", PHONE).sha256 == runner.sha256
    runner.path.unlink()
    assert code_of(library.find, "tflite", PHONE) == "RNR09"


def test_the_phones_first_abi_and_the_newest_build_win(library, make_elf):
    old = library.add(make_elf(abi="armeabi-v7a"))
    assert library.find("tflite", PHONE) == old
    library.add(make_elf(text=TEXT["tflite"] + b"1"))
    newest = library.add(make_elf(text=TEXT["tflite"] + b"2"))
    assert library.find("tflite", PHONE) == newest
    assert library.find("tflite", ("armeabi-v7a",)) == old


def test_what_does_not_fit_is_said(library, make_elf):
    assert code_of(library.find, "tflite", PHONE) == "RNR02"
    assert code_of(library.find, "tfliet", PHONE) == "RNR13"
    library.add(make_elf(abi="x86_64"))
    assert code_of(library.find, "tflite", PHONE) == "RNR05"
    assert code_of(library.find, "litert", PHONE) == "RNR02"
    glibc = "/lib/ld-linux-aarch64.so.1"
    linux = library.add(make_elf(interpreter=glibc))
    assert code_of(library.find, "tflite", PHONE) == "RNR06"
    assert library.find("tflite", PHONE, {glibc}) == linux


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "mnas.runners/9", "runners": [], "pins": {}}'])
def test_a_damaged_index_is_an_error_and_left_alone(library, make_elf, text):
    library.add(make_elf())
    index = library.folder / FILE_NAME
    index.write_text(text)
    assert code_of(library.list) == "RNR10"
    assert code_of(library.add, make_elf()) == "RNR10"
    assert index.read_text() == text


def test_a_folder_that_cannot_be_written_is_said(tmp_path, make_elf):
    (tmp_path / "file").write_text("")
    assert code_of(RunnerLibrary(tmp_path / "file").add, make_elf()) == "RNR15"


def test_the_folder_is_the_environments_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("MNAS_RUNNERS", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here"
    monkeypatch.setenv("MNAS_RUNNERS", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "mnas" / "runners"


def test_processes_that_add_at_once_lose_nothing(library, make_elf):
    program = (
        "import sys; from pathlib import Path; from devices.runners.library import RunnerLibrary\n"
        "for path in sys.argv[2:]: RunnerLibrary(Path(sys.argv[1])).add(Path(path))\n"
    )
    names = [
        [make_elf(f"p{one}{two}", text=TEXT["tflite"] + bytes([one, two])) for two in range(6)] for one in range(3)
    ]
    shared = make_elf("shared")
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(library.folder), *map(str, [*mine, shared])])
        for mine in names
    ]
    assert [one.wait(timeout=120) for one in started] == [0, 0, 0]
    assert len(library.list()) == 3 * 6 + 1
    assert all(library.checked(runner) for runner in library.list())
    assert not [path for path in (library.folder / "objects").iterdir() if path.name.startswith(".")]


def test_the_index_is_json_that_others_can_read(library, make_elf):
    runner = library.add(make_elf())
    value = json.loads((library.folder / FILE_NAME).read_text())
    assert value["schema"] == "mnas.runners/1"
    (entry,) = value["runners"]
    assert Path(library.folder / "objects" / entry["program"]["sha256"] / entry["program"]["name"]) == runner.path
