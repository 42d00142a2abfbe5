"""Files onto a phone, whole and verified or not at all: a temporary folder beside them, sha256 there, then a rename.

Two round trips for any number of files: one sync connection, and one shell command that hashes, compares and renames.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devices.adb.connection import Deadline
from devices.adb.failures import FileRefused, PhoneLost, broken_protocol, file_failure_of, link_failures
from devices.adb.quoting import join_words, quote_word
from devices.adb.sync import read_chunks, sync_session
from mnas.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from devices.adb.link import AdbLink
    from devices.adb.shell import Completed

TEMPORARY_PREFIX = ".mnas-"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_CLEAN_UP_S = 5.0
_PRESENT = "present"
_DIFFERS, _NO_SHA256SUM, _NO_FOLDER, _NOT_RENAMED = 91, 92, 93, 94

_FIND_SHA256SUM = f"""\
if command -v sha256sum >/dev/null 2>&1; then h=sha256sum
elif toybox sha256sum </dev/null >/dev/null 2>&1; then h='toybox sha256sum'
else exit {_NO_SHA256SUM}; fi
sums() {{ $h "$@" | while read -r sum name; do echo "$sum"; done; }}
"""


@dataclass(slots=True)
class PushFile:
    """One file on its way.

    Attributes:
        remote: Where it shall be.
        source: Where it comes from.
        size_bytes: Of the source, when it was looked at.
        mode: Permission bits.
        sha256: Of the content; "" until it is known.
        temporary_name: In the temporary folder.
    """

    remote: str
    source: Path | bytes
    size_bytes: int
    mode: int
    sha256: str
    temporary_name: str

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, and know the hash afterwards."""
        if self.sha256:
            yield from read_chunks(self.source)
            return
        digest = hashlib.sha256()
        for chunk in read_chunks(self.source):
            digest.update(chunk)
            yield chunk
        self.sha256 = digest.hexdigest()


@dataclass(frozen=True, slots=True)
class PushBatch:
    """Files that are pushed together, by folder on the phone.

    Attributes:
        folders: Folder on the phone -> the files that belong there.
        nonce: Part of the temporary folders' name.
    """

    folders: dict[str, list[PushFile]]
    nonce: str

    @classmethod
    def of(cls, files: Mapping[str, Path | bytes], modes: Mapping[str, int], sha256s: Mapping[str, str]) -> PushBatch:
        """Look at the sources and sort them by folder.

        Raises:
            ConfigError: ``ADB01``: a path that is none for a file. ``ADB06``: a source cannot be read.
        """
        folders: dict[str, list[PushFile]] = {}
        for number, (remote, source) in enumerate(files.items()):
            folder, name = posixpath.split(remote)
            if not folder.startswith("/") or name in ("", ".", ".."):
                raise ConfigError(
                    "ADB01", "no absolute path of a file on the phone", value=remote, fix="write /FOLDER/NAME"
                )
            temporary = name if _PLAIN_NAME.match(name) else f"+{number}"
            one = PushFile(
                remote, source, size_of(source), modes.get(remote, 0o644), sha256s.get(remote, ""), temporary
            )
            folders.setdefault(folder, []).append(one)
        return cls(folders, secrets.token_hex(6))

    @property
    def files(self) -> list[PushFile]:
        """All files, in the order in which they are sent."""
        return [one for files in self.folders.values() for one in files]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(one.size_bytes for one in self.files)

    def temporary_folder(self, folder: str) -> str:
        """Return the folder beside the files that holds them until they are verified."""
        return posixpath.join(folder, TEMPORARY_PREFIX + self.nonce)


def push(
    link: AdbLink,
    batch: PushBatch,
    *,
    deadline: Deadline,
    on_progress: Callable[[int, int], None] | None = None,
    present: Mapping[str, str] | None = None,
) -> list[str]:
    """Send, verify, set the mode and rename; see `AdbLink.push_many`.

    Args:
        link: To the phone.
        batch: The files.
        deadline: For all of it.
        on_progress: Gets (bytes sent, bytes in all).
        present: Path -> sha256 of files on the phone that are verified in the same command; plain names only.

    Returns:
        Those of ``present`` that are not what they should be.

    Raises:
        PhoneLost: The link broke or stalled.
        FileRefused: The phone did not take a file.
        ConfigError: ``ADB06``: a source cannot be read.
    """
    present = present or {}
    if not batch.folders and not present:
        return []
    try:
        _send(link, batch, deadline, on_progress)
        return _verify(link, batch, present, deadline)
    except PhoneLost:
        # A second try on a dead link would only cost time; what is left there goes with the next sweep.
        raise
    except BaseException:
        _clean_up(link, batch)
        raise


def push_unverified(link: AdbLink, data: bytes, remote: str, *, deadline: Deadline) -> None:
    """Send bytes to their place in one round trip; for what is run at once and whose failure shows then.

    Raises:
        PhoneLost: The link broke or stalled.
        FileRefused: The phone did not take it.
    """
    with sync_session(link, deadline, f"sending {remote}") as session:
        session.send(remote, read_chunks(data), 0o700)
        session.finish()


def _send(link: AdbLink, batch: PushBatch, deadline: Deadline, on_progress: Callable[[int, int], None] | None) -> None:
    if not batch.folders:
        return
    total, sent = batch.size_bytes, 0

    def count(size: int) -> None:
        nonlocal sent
        sent += size
        if on_progress is not None:
            on_progress(sent, max(total, sent))

    with sync_session(link, deadline, f"pushing {len(batch.files)} files") as session:
        for folder, files in batch.folders.items():
            temporary = batch.temporary_folder(folder)
            for one in files:
                session.send(posixpath.join(temporary, one.temporary_name), one.chunks(), one.mode, count)
        session.finish()


def _verify(link: AdbLink, batch: PushBatch, present: Mapping[str, str], deadline: Deadline) -> list[str]:
    with link_failures(link.serial, f"verifying {len(batch.files) + len(present)} files"):
        script = verifying_script(batch, list(present))
        done = link.run_script(script, deadline_s=deadline.left_s() or deadline.seconds)
        if done.ended == "deadline":
            raise TimeoutError(done.detail)
        if done.ended == "lost":
            raise EOFError(done.detail)
    sent, *before = done.stdout.split(_PRESENT + "\n")
    if done.rc != 0:
        raise _refusal(link.serial, batch, done, sent.split())
    folders = list(_by_folder(present))
    if done.is_truncated or len(before) != len(folders) or sent.split() != [one.sha256 for one in batch.files]:
        raise broken_protocol(link.serial, f"hashes that are none: {done.stdout[:200]!r}")
    # `HASH  NAME`; a file that has vanished since gives no line.
    found = {
        posixpath.join(folder, line[66:]): line[:64]
        for folder, text in zip(folders, before, strict=True)
        for line in text.splitlines()
    }
    return [path for path, sha256 in present.items() if found.get(path) != sha256]


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of files by their folder, in the order in which they come."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, name = posixpath.split(path)
        folders.setdefault(folder, []).append(name)
    return folders


def verifying_script(batch: PushBatch, present: Sequence[str]) -> str:
    """Return the script that hashes all files, and renames the new ones when each is what was sent.

    It prints the hash of each file of the batch in order, then for each folder of the others a line ``present`` and
    what sha256sum says of the names there.
    """
    lines, checks = [_FIND_SHA256SUM], []
    for number, (folder, files) in enumerate(batch.folders.items()):
        sums = join_words([one.temporary_name for one in files])
        expected = quote_word("\n".join(one.sha256 for one in files))
        lines.append(f"cd {quote_word(batch.temporary_folder(folder))} || exit {_NO_FOLDER}")
        lines.append(f'g{number}=$(sums {sums}); echo "$g{number}"')
        checks.append(f'[ "$g{number}" = {expected} ] || exit {_DIFFERS}')
    lines += checks
    for folder, files in batch.folders.items():
        lines.append(f"cd {quote_word(batch.temporary_folder(folder))} || exit {_NO_FOLDER}")
        lines += [f"{{ {step}; }} || exit {_NOT_RENAMED}" for step in _placing(files)]
        lines.append(f"cd .. && rmdir {quote_word(TEMPORARY_PREFIX + batch.nonce)}")
    for folder, names in _by_folder(present).items():
        lines.append(f"echo {_PRESENT}; cd {quote_word(folder)} && $h {join_words(names)} 2>/dev/null")
    return "\n".join([*lines, "exit 0", ""])


def _placing(files: Sequence[PushFile]) -> Iterator[str]:
    """Yield the commands that set modes and rename, run in the temporary folder."""
    for mode in sorted({one.mode for one in files}):
        yield f"chmod {mode:o} {join_words([one.temporary_name for one in files if one.mode == mode])}"
    plain = [one.temporary_name for one in files if one.remote.endswith(f"/{one.temporary_name}")]
    if plain:
        yield f"mv -f {join_words(plain)} .."
    for one in files:
        if one.temporary_name not in plain:
            # Onto a folder `mv` would put it inside.
            target = quote_word(one.remote)
            rename = f"mv -f {quote_word(one.temporary_name)} {target}"
            yield f"if [ -d {target} ]; then echo 'Is a directory' >&2; false; else {rename}; fi"


def _refusal(serial: str, batch: PushBatch, done: Completed, seen: list[str]) -> DeviceError:
    first = batch.files[0].remote if batch.folders else "the cache"
    if done.rc == _NO_SHA256SUM:
        return FileRefused(
            "ADB26",
            "the phone has no sha256sum, so a file on it cannot be verified",
            value=serial,
            fix="Android 8 and later have it; on an older one put a toybox with sha256sum into the PATH",
        )
    if done.rc == _DIFFERS:
        differing = [one for one, sha256 in zip(batch.files, seen, strict=False) if one.sha256 != sha256]
        names = ", ".join(one.remote for one in differing[:3]) or first
        return FileRefused(
            "ADB25",
            f"{len(differing) or 'some'} of {len(batch.files)} files are not on the phone what they are here",
            value=f"{names}: {done.stderr.strip()[:200]}",
            why="the bytes changed on the way, on the phone's storage, or in the file here since its hash was taken",
            fix="try again; if it stays, check the phone's storage",
        )
    words = done.stderr.strip() or f"exit code {done.rc}"
    return file_failure_of(words, first)


def _clean_up(link: AdbLink, batch: PushBatch) -> None:
    folders = [batch.temporary_folder(folder) for folder in batch.folders]
    if folders:
        with suppress(DeviceError):
            link.run(["rm", "-rf", *folders], deadline_s=_CLEAN_UP_S)


def size_of(source: Path | bytes) -> int:
    """Return the size of a file or of bytes.

    Raises:
        ConfigError: ``ADB06``: the file cannot be read.
    """
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError as error:
        raise ConfigError(
            "ADB06", "a file for the phone cannot be read", value=f"{source}: {error}", fix="check the path"
        ) from error
