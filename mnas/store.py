"""The one SQLite file that holds measurements, tables and studies; nobody else opens it.

The file says what it is by ``application_id`` and ``user_version`` (the layout of this module's own table).
Each package owns a `Component`: a name and an ordered list of migrations, each applied once, in one
transaction, and counted in ``schema_versions``. A file written by a newer version is refused, never guessed at.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from mnas.errors import StoreError

APPLICATION_ID = 0x6D6E6173
STORE_VERSION = 1
FILE_NAME = "store.sqlite3"
_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs")
_BUSY_TIMEOUT_S = 30.0
_PLACE_ERRORS = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)
"""Primary result codes that speak of the folder, the disk or another process, not of the file's contents."""


@dataclass(frozen=True, slots=True)
class Component:
    """The tables of one package.

    Attributes:
        name: Unique, e.g. ``latency``.
        migrations: Each a script of SQL statements; the n-th takes the component from version n to n + 1. A landed
            migration is never edited: a change is a new one at the end.
    """

    name: str
    migrations: tuple[str, ...]


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Store:
    """An open store; threads of one process may share it. Use it as a context manager.

    Args:
        path: The file; made with its folder if it is not there.
        components: Whose tables must exist and be up to date.
        must_exist: Refuse to make a new file.

    Raises:
        StoreError: ``STO01`` damaged, ``STO02`` not a store of this tool, ``STO03`` of a newer schema, ``STO04`` on
            a network file system, ``STO05`` cannot be opened, ``STO06`` not there.
    """

    def __init__(self, path: Path, components: Sequence[Component] = (), *, must_exist: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        if must_exist and not path.is_file():
            raise StoreError(
                "STO06",
                "no store there",
                value=str(path),
                why="nothing was measured or searched into this folder yet",
                fix="name the right folder with --out, or start a run",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_network_file_system(path.parent)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                "STO05", "the store cannot be opened", value=str(path), why=str(error), fix="check the folder's rights"
            ) from error
        try:
            self._prepare(components)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._connection.close()

    def _prepare(self, components: Sequence[Component]) -> None:
        try:
            self._check_file()
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            with self.transaction() as sql:
                sql.execute(
                    "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
                )
                sql.execute(f"PRAGMA application_id={APPLICATION_ID}")
                sql.execute(f"PRAGMA user_version={STORE_VERSION}")
            for component in components:
                self._migrate(component)
        except sqlite3.DatabaseError as error:
            raise _failure(self.path, error) from error

    def _check_file(self) -> None:
        sql = self._connection
        try:
            check = sql.execute("PRAGMA integrity_check(3)").fetchall()
        except UnicodeDecodeError as error:  # what SQLite says of a fault may hold the damaged bytes themselves
            raise _damaged(self.path, "a name in it is no text") from error
        if check != [("ok",)]:
            raise _damaged(self.path, "; ".join(str(row[0]) for row in check))
        application = sql.execute("PRAGMA application_id").fetchone()[0]
        version = sql.execute("PRAGMA user_version").fetchone()[0]
        tables = sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise StoreError(
                "STO02",
                "this SQLite file is not a store of mnas",
                value=str(self.path),
                why=f"its application_id is {application:#x}",
                fix="name another folder with --out",
            )
        if version > STORE_VERSION:
            raise _newer(self.path, "the file", version, STORE_VERSION)

    def _migrate(self, component: Component) -> None:
        known = len(component.migrations)
        with self.transaction() as sql:
            row = sql.execute("SELECT version FROM schema_versions WHERE component = ?", (component.name,)).fetchone()
            version = row[0] if row else 0
            if version > known:
                raise _newer(self.path, f"component '{component.name}'", version, known)
            for script in component.migrations[version:]:
                for statement in _statements(script):
                    sql.execute(statement)
            sql.execute("INSERT OR REPLACE INTO schema_versions VALUES (?, ?)", (component.name, known))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one write transaction: all of it is kept, or none.

        Raises:
            StoreError: ``STO01`` damaged, ``STO05`` cannot be written (for example a full disk).
        """
        try:
            with self._lock:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, str(error)) from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # a broken constraint and its like: for the caller to judge
                raise
            raise _damaged(self.path, str(error)) from error

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement in a transaction of its own."""
        with self.transaction() as sql:
            sql.execute(statement, parameters)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT.

        Raises:
            StoreError: ``STO01`` the file is damaged, ``STO05`` it cannot be used now.
        """
        try:
            with self._lock:
                return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise _failure(self.path, error) from error


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; a trigger, which holds semicolons of its own, stays whole.

    Raises:
        ValueError: The last statement is unfinished, e.g. a trigger without a semicolon before its END.
    """
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" \n;"):
                yield pending
            pending = ""
    if pending.strip(" \n;"):
        raise ValueError(f"unfinished statement in a migration: {pending.strip()[:200]}")


def _failure(path: Path, error: sqlite3.DatabaseError) -> StoreError:
    """Tell a place that does not let us from a file that is damaged."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PLACE_ERRORS:  # errors of Python's own carry no code
        return _unwritable(path, str(error))
    return _damaged(path, str(error))


def _unwritable(path: Path, why: str) -> StoreError:
    return StoreError("STO05", "the store cannot be written", value=str(path), why=why, fix="check disk and rights")


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        "STO01",
        "the store is damaged",
        value=str(path),
        why=why,
        fix="nothing was changed; restore a copy, or move the file away and start anew",
    )


def _newer(path: Path, what: str, version: int, known: int) -> StoreError:
    return StoreError(
        "STO03",
        f"{what} has schema version {version}",
        value=str(path),
        why=f"this version of mnas knows {known} at most; it was written by a newer one",
        fix="use that newer mnas, or another folder with --out",
    )


def _refuse_network_file_system(folder: Path) -> None:
    kind = _file_system_type(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StoreError(
            "STO04",
            "the output folder is on a network file system",
            value=f"{folder} ({kind})",
            why="SQLite's locking is not safe there",
            fix="name a local folder with --out",
        )


def _file_system_type(folder: Path) -> str:
    """Return the type of the mount that holds ``folder``; "" where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return _mount_type(os.path.realpath(folder), mounts)


def _mount_type(path: str, mounts: str) -> str:
    """Return the type of the innermost mount that holds a path, from the text of ``/proc/self/mounts``."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
