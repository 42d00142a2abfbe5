"""The phone's cache of files by content: what is there stays, what is missing goes over in one batch.

Three round trips for any number of files: one listing, one sync connection, one command that verifies and renames. A
second batch follows only when a file that was there before turns out damaged.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.adb.connection import Deadline
from devices.adb.link import WORK_DIR, AdbLink
from devices.adb.pushing import TEMPORARY_PREFIX, PushBatch, push, size_of
from devices.adb.quoting import quote_word
from devices.adb.sync import FileStatus, read_chunks, sync_session
from mnas.errors import ConfigError

CACHE_DIR = f"{WORK_DIR}/cache"
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class CacheItem:
    """A file that shall lie in the cache.

    Attributes:
        source: The file here, or its content.
        sha256: Of its content; "" to have it taken.
        is_executable: A runner (0755) and not a model (0644).
    """

    source: Path | bytes
    sha256: str = ""
    is_executable: bool = False


@dataclass(frozen=True, slots=True)
class Staging:
    """What staging did.

    Attributes:
        paths: Path on the phone of each item, in the order given.
        pushed: Files that went over.
        pushed_bytes: Their bytes.
        present: Files that were there.
        seconds: For all of it.
    """

    paths: tuple[str, ...]
    pushed: int
    pushed_bytes: int
    present: int
    seconds: float


def stage(
    link: AdbLink,
    items: Sequence[CacheItem],
    *,
    deadline_s: float,
    on_progress: Callable[[int, int], None] | None = None,
    verifies_present: bool = True,
    folder: str = CACHE_DIR,
) -> Staging:
    """See that all items lie in the phone's cache, each under its sha256 and each with that content.

    Args:
        link: To the phone; its lease is held, so nobody else changes the cache meanwhile.
        items: The files; the same content given twice is one file.
        deadline_s: For all of it.
        on_progress: Gets (bytes sent, bytes to send).
        verifies_present: Hash on the phone also what was there before.
        folder: The cache.

    Raises:
        PhoneLost: The link broke or stalled.
        FileRefused: The phone did not take a file.
        ConfigError: ``ADB06``: a source cannot be read. ``ADB08``: a sha256 that is none.
    """
    deadline = Deadline(deadline_s)
    known = [_with_hash(item) for item in items]
    wanted = {posixpath.join(folder, item.sha256): item for item in known}
    if not wanted:
        return Staging((), 0, 0, 0, deadline.spent_s)
    with sync_session(link, deadline, "listing the cache") as session:
        listed = session.list(folder)
    present = {path: item for path, item in wanted.items() if _is_there(item, listed)}
    missing = {path: item for path, item in wanted.items() if path not in present}
    hashes = {path: item.sha256 for path, item in present.items()} if verifies_present else {}
    batch = _batch(missing)
    pushed, size = len(missing), batch.size_bytes
    damaged = push(link, batch, deadline=deadline, on_progress=on_progress, present=hashes)
    if damaged:
        again = _batch({path: wanted[path] for path in damaged})
        push(link, again, deadline=deadline, on_progress=on_progress)
        pushed, size = pushed + len(damaged), size + again.size_bytes
    paths = tuple(posixpath.join(folder, item.sha256) for item in known)
    return Staging(paths, pushed, size, len(wanted) - pushed, deadline.spent_s)


def sweep(link: AdbLink, *, deadline_s: float, folder: str = CACHE_DIR) -> None:
    """Remove what pushes into the cache left when the link broke; nobody else may be pushing just now.

    Raises:
        PhoneLost: The phone is gone.
    """
    link.run_script(f"rm -rf {quote_word(folder)}/{TEMPORARY_PREFIX}*", deadline_s=deadline_s)


def _with_hash(item: CacheItem) -> CacheItem:
    if not item.sha256:
        digest = hashlib.sha256()
        for chunk in read_chunks(item.source):
            digest.update(chunk)
        return replace(item, sha256=digest.hexdigest())
    if not _SHA256.match(item.sha256):
        raise ConfigError("ADB08", "this is no sha256", value=item.sha256, fix="give 64 lower-case hexadecimal digits")
    return item


def _is_there(item: CacheItem, listed: dict[str, FileStatus]) -> bool:
    """Tell whether a file of that name has the right size and mode; its content is another question."""
    status = listed.get(item.sha256)
    if status is None:
        return False
    return status.mode & 0o777 == _mode(item) and status.size_bytes == size_of(item.source)


def _mode(item: CacheItem) -> int:
    return 0o755 if item.is_executable else 0o644


def _batch(items: dict[str, CacheItem]) -> PushBatch:
    return PushBatch.of(
        {path: item.source for path, item in items.items()},
        {path: _mode(item) for path, item in items.items()},
        {path: item.sha256 for path, item in items.items()},
    )
