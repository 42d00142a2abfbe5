"""The link against Debian's real adbd with mksh and toybox: what the small one in Python might get wrong."""

from __future__ import annotations

import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer, wait_until
from software_phone.build import Image
from software_phone.fixtures import clean_phone, software_phone, software_phone_build  # noqa: F401
from software_phone.phone import SoftwarePhone

from devices.adb.failures import FileRefused, PhoneLost
from devices.adb.link import AdbLink
from devices.adb.staging import CACHE_DIR, CacheItem, stage

pytestmark = pytest.mark.software_phone

_LONG_S = 30.0
_TMP = "/data/local/tmp"
_ODD = ["", "-n", "a b", "it's", '"', "$HOME", "`id`", "a\nb", "\\", "*", "ü 漢 🙂", "--", "a,b", "+0"]
_ODD_NAMES = [word for word in _ODD if word]


@pytest.fixture
def link(clean_phone: SoftwarePhone, own_adb: OwnAdbServer) -> Iterator[AdbLink]:  # noqa: F811
    yield own_adb.server.link(own_adb.attach(clean_phone.address))
    own_adb.server.disconnect(clean_phone.address)


def test_code_output_error_and_signal_are_told(link: AdbLink) -> None:
    done = link.run_script("echo out; echo err >&2; exit 3", deadline_s=_LONG_S)
    assert (done.rc, done.stdout, done.stderr, done.ended) == (3, "out\n", "err\n", "exit")
    assert link.run_script("kill -SEGV $$", deadline_s=_LONG_S).rc == 139
    assert link.round_trips == 2


def test_words_pass_mksh_as_they_were(link: AdbLink) -> None:
    done = link.run(["printf", "<%s>\n", *_ODD], deadline_s=_LONG_S)
    assert done.stdout == "".join(f"<{word}>\n" for word in _ODD)


def test_a_program_that_reads_gets_the_end_of_its_input(link: AdbLink) -> None:
    done = link.run(["cat"], deadline_s=_LONG_S)
    assert (done.rc, done.ended) == (0, "exit")


def test_a_long_script_runs_from_a_file_and_leaves_none(link: AdbLink, clean_phone: SoftwarePhone) -> None:  # noqa: F811
    done = link.run_script(f"# {'x' * 90_000}\necho $MNAS_TOKEN", deadline_s=_LONG_S, token="t1")
    assert (done.rc, done.stdout) == (0, "t1\n")
    assert not [name for name in clean_phone.files() if name.endswith(".sh")]


def test_at_the_deadline_the_command_gets_its_hup(link: AdbLink, clean_phone: SoftwarePhone) -> None:  # noqa: F811
    done = link.run_script("exec sleep 61", deadline_s=1.0)
    assert done.ended == "deadline"
    wait_until(lambda: clean_phone.processes() == [], _LONG_S, "the command outlived its deadline")


def test_an_adbd_that_is_killed_under_a_command_is_lost(link: AdbLink, clean_phone: SoftwarePhone) -> None:  # noqa: F811
    done = link.run_script("echo go; sleep 60", deadline_s=_LONG_S, on_line=lambda _: clean_phone.kill_adbd())
    assert (done.ended, done.rc, done.stdout) == ("lost", None, "go\n")
    with pytest.raises(PhoneLost):
        link.run(["true"], deadline_s=_LONG_S)


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
def test_a_file_goes_there_and_back(link: AdbLink, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    link.push(data, f"{_TMP}/mnas/x", mode=0o755, deadline_s=_LONG_S)
    link.pull(f"{_TMP}/mnas/x", tmp_path / "x", deadline_s=_LONG_S)
    assert (tmp_path / "x").read_bytes() == data
    assert link.run(["stat", "-c", "%a", f"{_TMP}/mnas/x"], deadline_s=_LONG_S).stdout == "755\n"


def test_odd_names_arrive_under_their_names(link: AdbLink, clean_phone: SoftwarePhone) -> None:  # noqa: F811
    link.push_many({f"{_TMP}/odd folder's/{name}": name.encode() for name in _ODD_NAMES}, deadline_s=_LONG_S)
    folder = clean_phone.work_folder / "odd folder's"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: name for name in _ODD_NAMES}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}


def test_staging_is_three_round_trips_and_the_second_time_two(link: AdbLink, clean_phone: SoftwarePhone) -> None:  # noqa: F811
    items = [CacheItem(random.Random(number).randbytes(50_000)) for number in range(40)]
    assert stage(link, items, deadline_s=_LONG_S).pushed == 40
    assert link.round_trips == 3
    damaged = (
        clean_phone.work_folder / "mnas" / "cache" / stage(link, items, deadline_s=_LONG_S).paths[7].rpartition("/")[2]
    )
    assert link.round_trips == 5
    damaged.write_bytes(bytes(50_000))
    assert stage(link, items, deadline_s=_LONG_S).pushed == 1
    assert len([name for name in clean_phone.files() if "cache/" in name]) == 40


def test_a_full_phone_says_so_and_keeps_nothing_of_it(
    software_phone_build: Image,  # noqa: F811
    own_adb: OwnAdbServer,
) -> None:
    with SoftwarePhone(software_phone_build, storage_mb=2).start() as small:
        link = own_adb.server.link(own_adb.attach(small.address))
        with pytest.raises(FileRefused, match="ADB20"):
            stage(
                link, [CacheItem(random.Random(number).randbytes(900_000)) for number in range(5)], deadline_s=_LONG_S
            )
        assert link.run(["ls", "-A", CACHE_DIR], deadline_s=_LONG_S).stdout == ""
        assert stage(link, [CacheItem(b"small")], deadline_s=_LONG_S).pushed == 1
        own_adb.server.disconnect(small.address)


def test_a_folder_that_may_not_be_written_says_so(link: AdbLink) -> None:
    with pytest.raises(FileRefused) as caught:
        link.push(b"x", "/system/x", deadline_s=_LONG_S)
    assert caught.value.code in {"ADB21", "ADB22"}
    with pytest.raises(FileRefused, match="ADB23"):
        link.pull("/data/local/tmp/none", Path("/nowhere/x"), deadline_s=_LONG_S)
