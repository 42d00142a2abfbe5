"""The command where home, disk, clock, language and paths are not as one would like: right, or a clear error."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from recorded_study import RecordedStudy

from mnas.store import FILE_NAME

ROOT = Path(__file__).resolve().parents[2]
ODD_NAMES = ['with space it\'s "quoted"', "naïve 漢字 🙂 %s {x}", "two\nlines", "-dash $(touch pwned) `id`;#"]
MNAS = (sys.executable, "-m", "mnas")
EARLIER = """
import time
DAY = 86_400
now, now_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: now() - DAY, lambda: now_ns() - DAY * 10**9
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    rows = (f"{a},{b},{c},{a + b * c},{9 - a - b + c}" for a in range(4) for b in range(4) for c in range(4))
    path.write_text("a,b,c,error,cost\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(words, *, cwd, environment=None, without=()):
    """Run a command with an environment of its own and return its end; a traceback is never one."""
    variables = {name: value for name, value in os.environ.items() if name not in without}
    variables |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200", **(environment or {})}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=variables, capture_output=True, timeout=300, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


def study(table, *more):
    words = "--objectives error:min,cost:min --genes a,b,c --budget 30".split()
    return (*MNAS, "study", "run", "--table", table, *words, *more)


def searched(out):
    """Make an output folder with a finished search, made up, of which a page can be written."""
    return RecordedStudy(out, candidates=12, finalists=2).out


def tables_studied(out):
    """How many studies of tables have begun."""
    with closing(sqlite3.connect(f"file:{out / FILE_NAME}?mode=ro", uri=True)) as store:
        return store.execute("SELECT count(*) FROM study WHERE kind != 'search'").fetchone()[0]


def jobs(table, out):
    """Quick commands that read and write in every way: files, store, page, a folder of the user's own."""
    return {
        "study": study(table, "--out", out),
        "list": (*MNAS, "study", "list", "--out", out),
        "report": (*MNAS, "report", "--out", out),
        "export": (*MNAS, "export", "mobilenetv3-small", "--px", "32", "--to", "onnx", "--out", out),
        "data": (*MNAS, "data", "check", "digits"),
    }


@pytest.mark.parametrize("home", ["unset", "/proc/nowhere"])
def test_no_home_and_a_home_that_cannot_be_written(tmp_path, table, home):
    out, names = searched(tmp_path / "out"), ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    more = {} if home == "unset" else {"HOME": home}
    for name, words in jobs(table, out).items():
        done = run(words, cwd=tmp_path, environment=more, without=names)
        assert done.returncode == 0, (name, done.stderr.decode())


@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1"])
def test_any_locale_even_for_what_is_not_ascii(tmp_path, table, locale):
    folder = tmp_path / "naïve 漢字"
    folder.mkdir()
    out, variables = (
        searched(folder / "out"),
        {"LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    for name, words in jobs(shutil.copy(table, folder), out).items():
        done = run(words, cwd=folder, environment=variables, without=("PYTHONIOENCODING",))
        assert done.returncode == 0, (name, done.stderr.decode(errors="replace"))
    (page,) = (out / "reports").glob("*.html")
    assert "<!doctype html>" in page.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_folders_and_files(tmp_path, table, name):
    folder = tmp_path / "place" / name
    folder.mkdir(parents=True)
    out, own = searched(folder / "out"), shutil.copy(table, folder / f"{name}.csv")
    for job, words in jobs(own, out).items():
        done = run(words, cwd=folder)
        assert done.returncode == 0, (job, done.stderr.decode())
        assert all(line.isprintable() for line in done.stdout.decode().splitlines())
    assert {path.name for path in folder.iterdir()} == {"out", f"{name}.csv"}
    assert [path.name for path in (tmp_path / "place").iterdir()] == [name.split("/")[0]]
    assert list(out.glob("*.onnx")) and list((out / "reports").glob("*.html"))


@pytest.fixture
def in_a_mount():
    """Run a shell script in a namespace of mounts of its own, where root on Linux may mount what it likes."""
    words = ("unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c")
    if not sys.platform.startswith("linux") or not shutil.which("unshare"):
        pytest.skip("needs Linux's unshare")
    if subprocess.run([*words, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount: run as root")

    def run_script(script, folder):
        return run([*words, script], cwd=folder)

    return run_script


FULL = {
    "study": ("study run --table {table} --objectives error:min,cost:min --genes a,b,c --budget 60", 300),
    "export": ("export mobilenetv3-small --px 32 --to both", 1500),
    "bench": ("bench mobilenetv2@32 --device host:ort --rounds 3", 150),
    "lut": ("lut build --preset digits --resolution 8 --rounds 3 --calibration 2 --validation 2", 700),
}


@pytest.mark.parametrize("job", FULL)
def test_a_full_disk_is_told_and_the_same_command_does_it_when_there_is_room(tmp_path, table, in_a_mount, job):
    arguments, kib = FULL[job]
    place = tmp_path / "full"
    place.mkdir()
    words = " ".join(shlex.quote(word) for word in (*MNAS, *arguments.format(table=table).split(), "--out", "out"))
    script = f"""
        mount -t tmpfs -o size={kib}k none {place}
        cd {place}
        status=0; {words} 2> {tmp_path}/said || status=$?
        echo "$status" > {tmp_path}/status
        find . -name '*.onnx' -o -name '*.tflite' -o -name '*.html' -o -name '*.json' > {tmp_path}/left
        mount -o remount,size=200m {place}
        status=0; {words} 2> {tmp_path}/said-then || status=$?
        echo "$status" > {tmp_path}/status-then
    """
    done = in_a_mount(script, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    said = (tmp_path / "said").read_text(encoding="utf-8")
    # A bench tells what it measured all the same, and warns that it is not kept.
    assert (tmp_path / "status").read_text().strip() in ("1", "2", "4", "6", *(["0"] if job == "bench" else [])), said
    assert "Traceback" not in said and ("space" in said.lower() or "full" in said.lower())
    assert (tmp_path / "status-then").read_text().strip() == "0", (tmp_path / "said-then").read_text(encoding="utf-8")


def test_a_place_that_is_read_only_is_told(tmp_path, table, in_a_mount):
    place = tmp_path / "fixed"
    place.mkdir()
    for name, words in jobs(table, "out").items():
        command = " ".join(shlex.quote(str(word)) for word in words)
        script = f"""
            mount --bind {place} {place}
            mount -o remount,bind,ro {place}
            cd {place}
            status=0; HOME={place} {command} 2> {tmp_path}/said || status=$?
            echo "$status" > {tmp_path}/status
        """
        done = in_a_mount(script, tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        said, status = (tmp_path / "said").read_text(encoding="utf-8"), int((tmp_path / "status").read_text())
        assert "Traceback" not in said
        if name == "data":
            assert status == 0
        else:
            assert status in (1, 2, 6) and re.search("[Rr]ead-only|no store|may not be written", said), (name, said)
    assert list(place.iterdir()) == []


def test_a_clock_that_is_set_back_by_a_day(tmp_path, table):
    out, earlier = searched(tmp_path / "out"), tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "sitecustomize.py").write_text(EARLIER, encoding="utf-8")
    then = {"PYTHONPATH": f"{earlier}{os.pathsep}{ROOT}"}
    check = (sys.executable, "-c", "import time; print(time.time())")
    real, moved = (float(run(check, cwd=tmp_path, environment=one).stdout) for one in ({}, then))
    assert moved == pytest.approx(real - 86_400, abs=60)
    process = subprocess.Popen(
        [str(word) for word in study(table, "--budget", "60", "--out", out)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and tables_studied(out) < 1:
        time.sleep(0.01)
    process.kill()
    process.wait()
    for words in (study(table, "--budget", "60", "--out", out), *list(jobs(table, out).values())[1:]):
        done = run(words, cwd=tmp_path, environment=then)
        assert done.returncode == 0, done.stderr.decode()


def test_two_processes_on_one_store(tmp_path, table):
    out = tmp_path / "out"
    both = [
        subprocess.Popen(
            [str(word) for word in study(table, "--seeds", seed, "--out", out, "-q")],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for seed in ("0-2", "3-5")
    ]
    for process in both:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()
    listed = run((*MNAS, "study", "list", "--out", out, "--format", "csv"), cwd=tmp_path).stdout.decode()
    assert len(listed.splitlines()) == 1 + 6


@pytest.mark.slow
def test_a_study_of_ten_thousand_candidates_is_opened(tmp_path):
    study = RecordedStudy(tmp_path / "out", candidates=10_000, finalists=12, preset="imagenet", population=50)
    count = len(study.candidates)
    assert count > 9900
    out = ("--out", study.out)
    for words in (("study", "list"), ("study", "show"), ("report",)):
        assert run((*MNAS, *words, *out), cwd=tmp_path).returncode == 0
    listed = run((*MNAS, "study", "show", "--candidates", "--format", "csv", *out), cwd=tmp_path).stdout.decode()
    assert len(listed.splitlines()) == 1 + count
    (page,) = (study.out / "reports").glob("*.html")
    assert page.stat().st_size < 10_000_000
