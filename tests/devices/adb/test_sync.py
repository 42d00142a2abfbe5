from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import time
from pathlib import Path

import pytest
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone, SmallPhone

from devices.adb.failures import FileRefused, LinkStalled, PhoneLost
from mnas.errors import ConfigError, DeviceError, StateError

_LONG_S = 30.0
_TMP = "/data/local/tmp"
_DATA = random.Random(1).randbytes(700_001)
_ODD_NAMES = [
    "a b",
    "it's",
    '"',
    "$HOME",
    "`id`",
    "a\nb",
    "back\\slash",
    "*",
    "ü 漢",
    "--",
    "-rf",
    "a,b",
    ".hidden",
    "+0",
]


# ---- push


def test_a_file_arrives_whole_with_its_mode(phone: SmallPhone, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(_DATA)
    phone.link.push(source, f"{_TMP}/mnas/a/model.bin", mode=0o750, deadline_s=_LONG_S)
    there = phone.adbd.local(f"{_TMP}/mnas/a/model.bin")
    assert there.read_bytes() == _DATA
    assert stat.S_IMODE(there.stat().st_mode) == 0o750
    assert phone.files() == ["mnas", "mnas/a", "mnas/a/model.bin"]
    assert phone.link.round_trips == 2


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 2_000_000])
def test_any_size_arrives(phone: SmallPhone, size: int) -> None:
    data = random.Random(size).randbytes(size)
    phone.link.push(data, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.adbd.local(f"{_TMP}/x").read_bytes() == data


def test_many_files_in_several_folders_are_two_round_trips(phone: SmallPhone) -> None:
    files = {f"{_TMP}/mnas/{folder}/{number}": b"%d" % number for folder in "ab" for number in range(20)}
    modes = {f"{_TMP}/mnas/a/3": 0o755}
    phone.link.push_many(files, modes=modes, deadline_s=_LONG_S)
    for remote, data in files.items():
        assert phone.adbd.local(remote).read_bytes() == data
        assert stat.S_IMODE(phone.adbd.local(remote).stat().st_mode) == modes.get(remote, 0o644)
    assert phone.link.round_trips == 2
    assert phone.left_behind() == []


def test_odd_names_arrive_under_their_names(phone: SmallPhone) -> None:
    files = {f"{_TMP}/odd folder's/{name}": name.encode() for name in _ODD_NAMES}
    phone.link.push_many(files, deadline_s=_LONG_S)
    folder = phone.adbd.local(f"{_TMP}/odd folder's")
    assert {path.name: path.read_bytes().decode() for path in folder.iterdir()} == {name: name for name in _ODD_NAMES}


def test_a_file_that_is_there_is_replaced(phone: SmallPhone) -> None:
    for data in (b"old and long", b"new"):
        phone.link.push(data, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.adbd.local(f"{_TMP}/x").read_bytes() == b"new"


def test_progress_grows_to_the_whole(phone: SmallPhone) -> None:
    seen: list[tuple[int, int]] = []
    phone.link.push(_DATA, f"{_TMP}/x", deadline_s=_LONG_S, on_progress=lambda *now: seen.append(now))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) > 5
    assert seen[-1] == (len(_DATA), len(_DATA))


def test_nothing_to_push_is_no_round_trip(phone: SmallPhone) -> None:
    phone.link.push_many({}, deadline_s=_LONG_S)
    assert phone.link.round_trips == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("write failed: No space left on device", "ADB20"),
        ("couldn't create file: Read-only file system", "ADB21"),
        ("couldn't create file: Permission denied", "ADB22"),
    ],
)
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_refusal_comes_with_its_words(make_phone: MakePhone, words: str, code: str, size: int) -> None:
    phone = make_phone(faults=Faults(push_words=words))
    with pytest.raises(FileRefused, match=code) as caught:
        phone.link.push(bytes(size), f"{_TMP}/mnas/x", deadline_s=_LONG_S)
    assert words in str(caught.value)
    assert phone.left_behind() == []


def test_a_refusal_ends_a_push_at_once(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(push_words="write failed: No space left on device"))
    with pytest.raises(FileRefused, match="ADB20"):
        phone.link.push(bytes(96 << 20), f"{_TMP}/x", deadline_s=_LONG_S)
    # What the buffers on the way hold still goes over, but not all of it.
    assert phone.proxy.passed["up"] < 48 << 20


def test_the_file_that_is_refused_is_the_one_that_is_named(phone: SmallPhone) -> None:
    phone.adbd.local(f"{_TMP}/file").write_bytes(b"a file where a folder should be")
    files = {f"{_TMP}/good/1": b"1", f"{_TMP}/file/2": b"2", f"{_TMP}/good/3": b"3"}
    with pytest.raises(FileRefused) as caught:
        phone.link.push_many(files, deadline_s=_LONG_S)
    assert f"{_TMP}/file/" in str(caught.value)
    assert [name for name in phone.files() if "good/" in name] == []


def test_an_empty_refusal_is_a_lost_link(make_phone: MakePhone) -> None:
    with pytest.raises(PhoneLost, match="ADB15"):
        make_phone(faults=Faults(push_words="")).link.push(b"x", f"{_TMP}/x", deadline_s=_LONG_S)


def test_a_phone_that_keeps_other_bytes_is_found_out(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(lies_about_push=True))
    phone.adbd.local(f"{_TMP}/x").write_bytes(b"as it was")
    with pytest.raises(FileRefused, match="ADB25"):
        phone.link.push(_DATA, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.adbd.local(f"{_TMP}/x").read_bytes() == b"as it was"
    assert phone.left_behind() == []


def test_a_hash_that_is_not_the_files_is_found_out(phone: SmallPhone) -> None:
    with pytest.raises(FileRefused, match="ADB25"):
        phone.link.push_many({f"{_TMP}/x": b"a"}, sha256s={f"{_TMP}/x": "0" * 64}, deadline_s=_LONG_S)
    assert phone.files() == []


@pytest.mark.parametrize("count", [1, 1000, 300_000])
def test_a_phone_that_dies_in_mid_push_leaves_the_old_file(make_phone: MakePhone, count: int) -> None:
    phone = make_phone(faults=Faults(dies_after_in=count))
    phone.adbd.local(f"{_TMP}/x").write_bytes(b"as it was")
    with pytest.raises(PhoneLost):
        phone.link.push(_DATA, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.adbd.local(f"{_TMP}/x").read_bytes() == b"as it was"
    phone.come_back()
    phone.link.push(_DATA, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.adbd.local(f"{_TMP}/x").read_bytes() == _DATA


def test_a_link_that_stalls_in_mid_push_ends_at_the_deadline(phone: SmallPhone) -> None:
    assert phone.link.features
    phone.proxy.stall_after(200_000, "up")
    started = time.monotonic()
    with pytest.raises(LinkStalled, match="ADB19"):
        # More than all buffers on the way can hold, so that sending itself stalls.
        phone.link.push(bytes(64 << 20), f"{_TMP}/x", deadline_s=1.5)
    assert time.monotonic() - started < 15
    assert not phone.adbd.local(f"{_TMP}/x").exists()


def test_a_phone_that_never_confirms_ends_at_the_deadline(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(stalls_after_in=1000))
    with pytest.raises(LinkStalled, match="ADB19"):
        phone.link.push(_DATA, f"{_TMP}/x", deadline_s=1.0)


@pytest.mark.parametrize("garbage", [b"WHAT\0\0\0\0", b"OKAY\0\0\0\0OKAY\0\0\0\0"])
def test_an_answer_that_is_none_is_no_success(make_phone: MakePhone, garbage: bytes) -> None:
    with pytest.raises(DeviceError):
        make_phone(faults=Faults(garbage=garbage)).link.push(_DATA, f"{_TMP}/x", deadline_s=_LONG_S)


def test_a_phone_without_sha256sum_says_so(make_phone: MakePhone, tmp_path: Path) -> None:
    phone = make_phone(faults=Faults(path=_few_tools(tmp_path, "rm", "mv", "chmod", "rmdir")))
    with pytest.raises(FileRefused, match="ADB26"):
        phone.link.push(b"x", f"{_TMP}/mnas/x", deadline_s=_LONG_S)
    assert phone.left_behind() == []


def test_toybox_stands_in_for_sha256sum(make_phone: MakePhone, tmp_path: Path) -> None:
    folder = _few_tools(tmp_path, "rm", "mv", "chmod", "rmdir")
    toybox = Path(folder) / "toybox"
    toybox.write_text(f'#!/bin/sh\nshift\nexec {shutil.which("sha256sum")} "$@"\n')
    toybox.chmod(0o755)
    phone = make_phone(faults=Faults(path=folder))
    phone.link.push(_DATA, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.adbd.local(f"{_TMP}/x").read_bytes() == _DATA


def test_a_rename_onto_a_folder_is_refused(phone: SmallPhone) -> None:
    (phone.adbd.local(f"{_TMP}/x") / "x").mkdir(parents=True)
    with pytest.raises(FileRefused):
        phone.link.push(b"x", f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.left_behind() == []


def test_a_source_that_cannot_be_read_is_the_users(phone: SmallPhone, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ADB06"):
        phone.link.push(tmp_path / "none", f"{_TMP}/x", deadline_s=_LONG_S)
    with pytest.raises(ConfigError, match="ADB06"):
        phone.link.push(tmp_path, f"{_TMP}/x", deadline_s=_LONG_S)
    assert phone.files() == []


@pytest.mark.parametrize("remote", ["x", "", "/a/", "/a/..", "/" + "a" * 1100])
def test_a_path_that_is_none_is_refused(phone: SmallPhone, remote: str) -> None:
    with pytest.raises(ConfigError, match="ADB01"):
        phone.link.push(b"x", remote, deadline_s=_LONG_S)
    assert phone.left_behind() == []


# ---- pull


@pytest.mark.parametrize("features", [("shell_v2", "stat_v2"), ("shell_v2",)])
@pytest.mark.parametrize("name", ["x", "odd $name's\n漢"])
def test_a_file_is_fetched_whole(make_phone: MakePhone, tmp_path: Path, features: tuple[str, ...], name: str) -> None:
    phone = make_phone(features=features)
    phone.adbd.local(f"{_TMP}/{name}").write_bytes(_DATA)
    target = tmp_path / "new" / "x"
    phone.link.pull(f"{_TMP}/{name}", target, deadline_s=_LONG_S)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(_DATA).digest()
    assert os.listdir(target.parent) == ["x"]
    assert phone.link.round_trips == 1


@pytest.mark.parametrize("features", [("shell_v2", "stat_v2"), ("shell_v2",)])
@pytest.mark.parametrize(("remote", "code"), [(f"{_TMP}/none", "ADB23"), (_TMP, "ADB28")])
def test_what_is_no_file_makes_nothing_here(
    make_phone: MakePhone, tmp_path: Path, features: tuple[str, ...], remote: str, code: str
) -> None:
    target = tmp_path / "new" / "x"
    with pytest.raises(FileRefused, match=code):
        make_phone(features=features).link.pull(remote, target, deadline_s=_LONG_S)
    assert not target.exists()
    assert not target.parent.exists()


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        (Faults(dies_after_out=200_000), PhoneLost),
        (Faults(dies_after_out=0), PhoneLost),
        (Faults(stalls_after_out=200_000), LinkStalled),
        (Faults(short_pull=1000), PhoneLost),
        (Faults(lies_about_size=5), PhoneLost),
        (Faults(pull_words="read failed: Permission denied"), FileRefused),
        (Faults(pull_words=""), PhoneLost),
        (Faults(garbage=b"STA2"), DeviceError),
        (Faults(garbage=b"junk" * 30), PhoneLost),
    ],
)
def test_a_pull_that_fails_leaves_the_old_file_and_nothing_else(
    make_phone: MakePhone, tmp_path: Path, faults: Faults, kind: type[DeviceError]
) -> None:
    phone = make_phone()
    phone.adbd.local(f"{_TMP}/x").write_bytes(_DATA)
    phone.adbd.faults = faults
    target = tmp_path / "here" / "x"
    target.parent.mkdir()
    target.write_bytes(b"as it was")
    with pytest.raises(kind):
        phone.link.pull(f"{_TMP}/x", target, deadline_s=2.0)
    assert target.read_bytes() == b"as it was"
    assert os.listdir(target.parent) == ["x"]


def test_a_cable_that_is_pulled_in_mid_pull_leaves_nothing(phone: SmallPhone, tmp_path: Path) -> None:
    phone.adbd.local(f"{_TMP}/x").write_bytes(_DATA)
    assert phone.link.features
    phone.proxy.cut_after(300_000, "down")
    with pytest.raises(PhoneLost):
        phone.link.pull(f"{_TMP}/x", tmp_path / "here" / "x", deadline_s=_LONG_S)
    assert os.listdir(tmp_path / "here") == []


def test_a_target_that_cannot_be_written_is_told(phone: SmallPhone, tmp_path: Path) -> None:
    phone.adbd.local(f"{_TMP}/x").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError, match="ADB07"):
        phone.link.pull(f"{_TMP}/x", tmp_path / "file" / "x", deadline_s=_LONG_S)
    (tmp_path / "folder" / "x").mkdir(parents=True)
    with pytest.raises(StateError, match="ADB07"):
        phone.link.pull(f"{_TMP}/x", tmp_path / "folder" / "x", deadline_s=_LONG_S)
    assert os.listdir(tmp_path / "folder") == ["x"]


def _few_tools(folder: Path, *names: str) -> str:
    """Return a folder that holds links to these programs alone."""
    tools = folder / "tools"
    tools.mkdir()
    for name in names:
        (tools / name).symlink_to(str(shutil.which(name)))
    return str(tools)
