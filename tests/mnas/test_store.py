"""The store: migrations, refusals, damage, transactions, and what a kill leaves behind."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fuzzing import fuzzed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mnas import store as store_module
from mnas.errors import MnasError, StoreError
from mnas.store import APPLICATION_ID, FILE_NAME, STORE_VERSION, Component, Store

ROWS = Component("rows", ("CREATE TABLE row (who TEXT NOT NULL, number INTEGER NOT NULL UNIQUE, text TEXT)",))
STEPS = tuple(f"INSERT INTO log VALUES ({number})" for number in range(1, 6))


def log_component(migrations):
    return Component(
        "log", ("CREATE TABLE log (number INTEGER NOT NULL);INSERT INTO log VALUES (0)", *STEPS)[:migrations]
    )


def dump(path):
    """Everything that a file holds, as SQL."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def filled(path, rows=400):
    with Store(path, (ROWS,)) as store, store.transaction() as sql:
        sql.executemany("INSERT INTO row VALUES ('a', ?, ?)", [(number, "x" * 50) for number in range(rows)])


def in_a_process(code, *arguments):
    prelude = "import sys\nfrom pathlib import Path\nfrom mnas.store import Component, Store\n"
    prelude += f"ROWS = Component('rows', ({ROWS.migrations[0]!r},))\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )


@settings(max_examples=25)
@given(st.lists(st.integers(1, len(STEPS) + 1), min_size=1, max_size=6))
def test_every_migration_is_applied_once_and_in_order(tmp_path_factory, versions):
    path = tmp_path_factory.mktemp("store") / FILE_NAME
    reached = 0
    for version in versions:
        if version < reached:
            with pytest.raises(StoreError, match=r"STO03.*component 'log' has schema version"):
                Store(path, (log_component(version),))
            continue
        reached = version
        with Store(path, (log_component(version),)) as store:
            assert [row["number"] for row in store.query("SELECT number FROM log ORDER BY rowid")] == list(
                range(version)
            )
            assert [tuple(row) for row in store.query("SELECT * FROM schema_versions")] == [("log", version)]


def test_scripts_may_hold_semicolons_in_triggers_texts_and_comments(tmp_path):
    script = """
    -- a comment; with a semicolon
    CREATE TABLE t (a TEXT DEFAULT 'x;y');
    CREATE TABLE seen (a TEXT, b TEXT);
    CREATE TRIGGER both AFTER INSERT ON t
    BEGIN INSERT INTO seen VALUES (new.a, 'one;'); INSERT INTO seen VALUES (new.a, 'two'); END;
    INSERT INTO t DEFAULT VALUES
    """
    with Store(tmp_path / FILE_NAME, (Component("c", (script,)),)) as store:
        assert [tuple(row) for row in store.query("SELECT * FROM seen")] == [("x;y", "one;"), ("x;y", "two")]


def test_a_migration_that_fails_leaves_nothing_of_itself(tmp_path):
    path = tmp_path / FILE_NAME
    with pytest.raises(StoreError):
        Store(path, (ROWS, Component("other", ("CREATE TABLE good (a); CREATE TABLE row (a)",))))
    with Store(path, (ROWS, Component("other", ("CREATE TABLE good (a)",)))) as store:
        assert store.query("SELECT count(*) FROM good")[0][0] == 0


def test_the_file_says_what_it_is(tmp_path):
    filled(tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        assert found == [APPLICATION_ID, STORE_VERSION]
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize("what", ["component", "file"])
def test_a_newer_schema_is_refused_and_nothing_changed(tmp_path, what):
    path = tmp_path / FILE_NAME
    filled(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        if what == "file":
            connection.execute(f"PRAGMA user_version={STORE_VERSION + 1}")
        else:
            connection.execute("UPDATE schema_versions SET version = 2")
    before = dump(path)
    with pytest.raises(StoreError, match=r"STO03.*schema version 2.*knows 1") as caught:
        Store(path, (ROWS,))
    assert caught.value.exit_code == 6
    assert dump(path) == before


def test_a_foreign_database_is_refused_byte_for_byte_unchanged(tmp_path):
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"STO02.*application_id is 0x0"):
        Store(path, (ROWS,))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"not a database at all\n" * 300,
        lambda data: data[: len(data) // 2],
        lambda data: data[:5000] + bytes(4096) + data[9096:],
        lambda data: b"\xff" * 100 + data[100:],
    ],
    ids=["text", "cut in half", "a page of zeros", "no header"],
)
def test_a_damaged_file_is_refused_byte_for_byte_unchanged(tmp_path, damage):
    path = tmp_path / FILE_NAME
    filled(path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="STO01: the store is damaged"):
        Store(path, (ROWS,))
    assert path.read_bytes() == damaged


@cache
def sound_file(folder):
    path = folder / "sound" / FILE_NAME
    filled(path, 60)
    return path.read_bytes()


@example(248, 1)
@fuzzed
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_whatever_is_flipped_the_only_error_is_a_store_error(tmp_path_factory, seed, places):
    rng, data = random.Random(seed), bytearray(sound_file(tmp_path_factory.getbasetemp()))
    for _ in range(places):
        start = rng.randrange(min(len(data), rng.choice((100, 4200, len(data)))))
        for place in range(start, min(len(data), start + rng.choice((1, 8, 200)))):
            data[place] = rng.randrange(256)
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        path = Path(folder) / FILE_NAME
        path.write_bytes(data)
        try:
            with Store(path, (ROWS,)) as store:
                store.query("SELECT * FROM row ORDER BY text, number")
                store.execute("INSERT INTO row VALUES ('b', 1000000, 'new')")
        except MnasError as error:
            assert error.code in {"STO01", "STO02", "STO03", "STO05"}
        except sqlite3.IntegrityError:
            pass  # a flipped row may break a constraint, and that is its caller's business


def test_damage_under_an_open_store_is_a_store_error(tmp_path):
    path = tmp_path / FILE_NAME
    filled(path)
    size = path.stat().st_size
    with Store(path, (ROWS,)) as store:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xaa" * (size - 4096))
        store.query("PRAGMA shrink_memory")  # so that pages are read from the disk again
        with pytest.raises(StoreError, match="STO01"):
            store.query("SELECT * FROM row ORDER BY text")
        with pytest.raises(StoreError, match="STO01"):
            store.execute("INSERT INTO row VALUES ('b', 1000000, 'new')")


def test_must_exist_makes_nothing(tmp_path):
    with pytest.raises(StoreError, match=r"STO06.*--out"):
        Store(tmp_path / "new" / FILE_NAME, must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_opened(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    for path in (tmp_path / "file" / FILE_NAME, tmp_path / "folder" / FILE_NAME):
        with pytest.raises(StoreError, match="STO05"):
            Store(path)


def test_a_place_without_rights_is_not_called_damage(tmp_path):
    path = tmp_path / FILE_NAME
    filled(path)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("DELETE FROM row")
    assert store_module._failure(path, caught.value).code == "STO05"


def test_a_transaction_is_kept_whole_or_not_at_all(tmp_path):
    with Store(tmp_path / FILE_NAME, (ROWS,)) as store:
        store.execute("INSERT INTO row VALUES ('a', 1, '')")
        for error, statement in (
            (KeyError, "INSERT INTO row VALUES ('a', 3, '')"),
            (sqlite3.IntegrityError, "INSERT INTO row VALUES ('a', 1, '')"),
            (StoreError, "INSERT INTO nowhere VALUES (1)"),
        ):
            with pytest.raises(error), store.transaction() as sql:
                sql.execute("INSERT INTO row VALUES ('a', 2, '')")
                sql.execute(statement)
                raise KeyError
        assert [row["number"] for row in store.query("SELECT number FROM row")] == [1]
        store.execute("INSERT INTO row VALUES ('a', 2, '')")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_kill_in_mid_transaction_leaves_what_was_committed(tmp_path):
    path = tmp_path / FILE_NAME
    code = """
store = Store(Path(sys.argv[1]), (ROWS,))
store.execute("INSERT INTO row VALUES ('a', 1, 'kept')")
with store.transaction() as sql:
    # More than the page cache holds, so that part of it has reached the disk.
    sql.execute("PRAGMA cache_size=10")
    sql.executemany("INSERT INTO row VALUES ('b', ?, ?)", [(n, "x" * 1000) for n in range(2, 2000)])
    print("written", flush=True)
    sys.stdin.read()
"""
    with in_a_process(code, path) as process:
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
        process.stdin.close()
        assert process.wait() == -signal.SIGKILL
    with Store(path, (ROWS,)) as store:
        assert [tuple(row) for row in store.query("SELECT * FROM row")] == [("a", 1, "kept")]


def test_processes_and_threads_write_side_by_side(tmp_path):
    path = tmp_path / FILE_NAME
    code = """
first = int(sys.argv[2])
sys.stdin.read()
with Store(Path(sys.argv[1]), (ROWS,)) as store:
    for number in range(first, first + 50):
        store.execute("INSERT INTO row VALUES (?, ?, '')", (sys.argv[2], number))
"""
    processes = [in_a_process(code, path, first) for first in (0, 50, 100)]
    for process in processes:  # all of them make the file at once
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0, 0]
    for process in processes:
        process.stdout.close()
    with Store(path, (ROWS,)) as store:

        def write(first):
            for number in range(first, first + 50):
                store.execute("INSERT INTO row VALUES ('thread', ?, '')", (number,))

        threads = [threading.Thread(target=write, args=(first,)) for first in (150, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [row[0] for row in store.query("SELECT number FROM row ORDER BY number")] == list(range(250))


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/local xfs rw 0 0
//box/share /mnt/two\\040words cifs rw 0 0
tmpfs /home/me/local tmpfs rw 0 0
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/homes/me", "ext4"),
        ("/home", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/me/local/out", "tmpfs"),
        ("/mnt/two words/out", "cifs"),
        ("/mnt/two", "ext4"),
    ],
)
def test_the_file_system_of_a_path_is_its_innermost_mounts(path, kind):
    assert store_module._mount_type(path, MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_file_system_type", lambda folder: "nfs4")
    with pytest.raises(StoreError, match=r"STO04.*nfs4.*--out"):
        Store(tmp_path / FILE_NAME)
    assert list(tmp_path.iterdir()) == []
