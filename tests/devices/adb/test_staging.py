from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from software_phone.python_adbd import Faults
from software_phone.small_phone import MakePhone, SmallPhone

from devices.adb.failures import FileRefused, PhoneLost
from devices.adb.sending import Sending
from devices.adb.staging import CACHE_DIR, CacheItem, stage, sweep
from mnas.errors import ConfigError

_LONG_S = 30.0


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _items(count: int) -> list[CacheItem]:
    return [CacheItem(b"model %d" % number * 100) for number in range(count)]


def _cached(phone: SmallPhone) -> dict[str, bytes]:
    folder = phone.adbd.local(CACHE_DIR)
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_files_lie_under_their_hashes(phone: SmallPhone, tmp_path: Path) -> None:
    source = tmp_path / "model.tflite"
    source.write_bytes(b"from a file")
    items = [CacheItem(b"one"), CacheItem(source), CacheItem(b"runner", is_executable=True)]
    staging = stage(phone.link, items, deadline_s=_LONG_S)
    expected = [b"one", b"from a file", b"runner"]
    assert staging.paths == tuple(f"{CACHE_DIR}/{_sha256(data)}" for data in expected)
    assert _cached(phone) == {_sha256(data): data for data in expected}
    modes = [stat.S_IMODE(phone.adbd.local(path).stat().st_mode) for path in staging.paths]
    assert modes == [0o644, 0o644, 0o755]
    assert (staging.pushed, staging.present, staging.pushed_bytes) == (3, 0, sum(map(len, expected)))


@pytest.mark.parametrize("count", [1, 30])
def test_round_trips_do_not_grow_with_the_number_of_files(phone: SmallPhone, count: int) -> None:
    stage(phone.link, _items(count), deadline_s=_LONG_S)
    assert phone.link.round_trips == 3
    assert len(_cached(phone)) == count


def test_what_is_there_is_not_sent_again(phone: SmallPhone) -> None:
    stage(phone.link, _items(5), deadline_s=_LONG_S)
    phone.adbd.opened.clear()
    staging = stage(phone.link, _items(6), deadline_s=_LONG_S)
    assert (staging.pushed, staging.present) == (1, 5)
    again = stage(phone.link, _items(6), deadline_s=_LONG_S)
    assert (again.pushed, again.present, again.pushed_bytes) == (0, 6, 0)


def test_the_same_content_twice_is_one_file(phone: SmallPhone) -> None:
    staging = stage(phone.link, [CacheItem(b"x"), CacheItem(b"x")], deadline_s=_LONG_S)
    assert staging.paths[0] == staging.paths[1]
    assert staging.pushed == 1


def test_nothing_to_stage_is_no_round_trip(phone: SmallPhone) -> None:
    assert stage(phone.link, [], deadline_s=_LONG_S).paths == ()
    assert phone.link.round_trips == 0


@pytest.mark.parametrize("damage", ["same size", "shorter", "mode"])
def test_a_cached_file_that_was_damaged_is_sent_again(phone: SmallPhone, damage: str) -> None:
    items = _items(3)
    paths = stage(phone.link, items, deadline_s=_LONG_S).paths
    there = phone.adbd.local(paths[1])
    good = there.read_bytes()
    if damage == "mode":
        there.chmod(0o755)
    else:
        there.write_bytes(b"\0" * (len(good) - (damage == "shorter")))
    staging = stage(phone.link, items, deadline_s=_LONG_S)
    assert (staging.pushed, staging.present) == (1, 2)
    assert there.read_bytes() == good
    assert stat.S_IMODE(there.stat().st_mode) == 0o644


def test_a_damage_of_the_same_size_passes_only_when_told_not_to_look(phone: SmallPhone) -> None:
    paths = stage(phone.link, [CacheItem(b"good")], deadline_s=_LONG_S).paths
    phone.adbd.local(paths[0]).write_bytes(b"evil")
    assert stage(phone.link, [CacheItem(b"good")], deadline_s=_LONG_S, verifies_present=False).pushed == 0
    assert stage(phone.link, [CacheItem(b"good")], deadline_s=_LONG_S).pushed == 1


def test_a_full_phone_keeps_what_it_had_and_nothing_more(make_phone: MakePhone) -> None:
    phone = make_phone()
    stage(phone.link, _items(2), deadline_s=_LONG_S)
    before = _cached(phone)
    phone.faults.push_words = "write failed: No space left on device"
    with pytest.raises(FileRefused, match="ADB20"):
        stage(phone.link, _items(9), deadline_s=_LONG_S)
    assert _cached(phone) == before
    phone.faults.push_words = None
    assert stage(phone.link, _items(9), deadline_s=_LONG_S).pushed == 7


@pytest.mark.parametrize("count", [500, 5_000, 20_000])
def test_a_link_cut_in_mid_staging_leaves_no_file_under_a_name(phone: SmallPhone, count: int) -> None:
    assert phone.link.features
    phone.proxy.cut_after(count, "up")
    items = [CacheItem(b"%d" % number * 2000) for number in range(10)]
    with pytest.raises(PhoneLost):
        stage(phone.link, items, deadline_s=_LONG_S)
    assert [name for name in _cached_names(phone) if not name.startswith(".mnas-")] == []
    phone.come_back()
    sweep(phone.link, deadline_s=_LONG_S)
    assert _cached_names(phone) == []
    assert stage(phone.link, items, deadline_s=_LONG_S).pushed == 10


def _cached_names(phone: SmallPhone) -> list[str]:
    folder = phone.adbd.local(CACHE_DIR)
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_phone_that_keeps_other_bytes_gets_no_file(make_phone: MakePhone) -> None:
    phone = make_phone(faults=Faults(lies_about_push=True))
    with pytest.raises(FileRefused, match="ADB25"):
        stage(phone.link, _items(3), deadline_s=_LONG_S)
    assert _cached(phone) == {}


def test_a_file_that_changed_since_its_hash_was_taken_is_refused(phone: SmallPhone, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(b"new")
    with pytest.raises(FileRefused, match="ADB25"):
        stage(phone.link, [CacheItem(source, _sha256(b"old"))], deadline_s=_LONG_S)
    assert _cached(phone) == {}


def test_a_hash_that_is_none_never_becomes_a_path(phone: SmallPhone) -> None:
    with pytest.raises(ConfigError, match="ADB08"):
        stage(phone.link, [CacheItem(b"x", "../../evil")], deadline_s=_LONG_S)
    assert phone.link.round_trips == 0


def test_a_long_push_tells_how_far_it_is_now_and_then(phone: SmallPhone) -> None:
    """Every chunk takes a second here; a word comes at most each two, and grows."""
    told: list[str] = []
    seconds = iter(range(1000))
    sending = Sending("2 models", told.append, lambda: float(next(seconds)))
    stage(phone.link, [CacheItem(bytes(600_000)), CacheItem(b"x" * 400_000)], deadline_s=_LONG_S, on_progress=sending)
    assert len(told) >= 3 and all(line.startswith("sending 2 models: ") and " of 1.0 MB, " in line for line in told)
    shares = [int(line.split(", ")[1].removesuffix(" %")) for line in told]
    assert shares == sorted(set(shares)) and shares[-1] <= 100


def test_a_push_that_is_over_soon_is_not_spoken_of() -> None:
    told: list[str] = []
    sending = Sending("1 model", told.append, lambda: 0.0)
    for sent in range(0, 1001, 100):
        sending(sent, 1000)
    assert told == []
