"""Ending what was left running and removing what was left lying: real processes, and bystanders that must live."""

import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from local_phone import LocalPhone

from devices.adb.cleaning import clean_phone, kill_leftovers, look_for_leftovers, quarantine_leftovers
from devices.adb.quarantine import quarantine_of
from mnas.errors import DeviceError

SLEEP = shutil.which("sleep")


class Herd:
    """Processes of a test; all that are left are killed at its end."""

    def __init__(self):
        # A marker of its own: other tests and programs on this machine must not be found.
        self.variable = f"MNAS_TEST_{uuid.uuid4().hex}"
        self.started = []

    def start(self, *argv, token="one", cwd="/", ready="", **environment):
        """Start a program; with a marker unless the token is empty. Waits for the file ``ready``."""
        marked = {self.variable: token} if token else {}
        process = subprocess.Popen(
            argv, env={"PATH": os.environ["PATH"], **marked, **environment}, cwd=cwd, stdin=subprocess.DEVNULL
        )
        self.started.append(process)
        if ready:
            deadline = time.monotonic() + 30
            while not Path(ready).exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        return process

    def end(self):
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture
def herd():
    made = Herd()
    yield made
    made.end()


@pytest.fixture
def phone(tmp_path):
    made = LocalPhone(tmp_path)
    (tmp_path / "data" / "mnas" / "cache").mkdir(parents=True)
    (tmp_path / "data" / "mnas" / "cache" / "model").write_bytes(b"x" * 5000)
    return made


def kill(phone, herd, **more):
    return kill_leftovers(phone, work_dir=phone.work_dir, variable=herd.variable, patience_s=0.6, **more)


def pids(processes):
    return {one.pid for one in processes}


def is_running(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_marked_process_is_ended_and_a_bystander_lives(phone, herd):
    ours = herd.start("sleep", "300")
    bystander = herd.start("sleep", "301", token="")
    similar = herd.start("sleep", "302", token="", **{f"X{herd.variable}": "one", "OTHER": f"{herd.variable}=one"})
    found = kill(phone, herd)
    assert pids(found.found) == {ours.pid} and found.is_clean
    assert found.found[0].command == "sleep 300"
    assert ours.wait(timeout=30) == -signal.SIGTERM
    assert bystander.poll() is None and similar.poll() is None


def test_with_a_token_only_its_own_processes_are_ended(phone, herd):
    ours = herd.start("sleep", "300", token="abc")
    others = [herd.start("sleep", "300", token=token) for token in ("abcd", "ab", "xabc")]
    assert pids(kill(phone, herd, token="abc").found) == {ours.pid}
    assert ours.wait(timeout=30) == -signal.SIGTERM
    assert [one.poll() for one in others] == [None, None, None]
    assert pids(kill(phone, herd).found) == {one.pid for one in others}


def test_a_process_that_ignores_hang_up_and_term_is_killed(phone, herd, tmp_path):
    ready = tmp_path / "ready"
    ours = herd.start("sh", "-c", f'trap "" HUP TERM; echo > {ready}; while :; do sleep 1; done', ready=ready)
    found = kill(phone, herd)
    assert ours.pid in pids(found.found) and found.is_clean
    assert ours.wait(timeout=30) == -signal.SIGKILL


def test_a_stopped_process_is_killed(phone, herd):
    ours = herd.start("sleep", "300")
    ours.send_signal(signal.SIGSTOP)
    assert kill(phone, herd).is_clean
    assert ours.wait(timeout=30) in (-signal.SIGKILL, -signal.SIGTERM)


def test_children_that_forked_away_into_sessions_of_their_own_are_found(phone, herd, tmp_path):
    ready, names = tmp_path / "ready", tmp_path / "pids"
    text = f'trap "" HUP; sleep 311 & echo $! >> {names}; setsid sleep 312 & echo $! >> {names}; echo > {ready}'
    parent = herd.start("setsid", "sh", "-c", f"(sh -c '{text}') & wait", ready=ready)
    parent.wait(timeout=30)
    orphans = {int(line) for line in names.read_text().split()}
    assert len(orphans) == 2 and all(map(is_running, orphans))
    found = kill(phone, herd)
    assert orphans <= pids(found.found) and found.is_clean
    assert not any(map(is_running, orphans))


def test_a_child_that_cleared_its_environment_is_found_by_its_parent(phone, herd, tmp_path):
    ready = tmp_path / "ready"
    parent = herd.start(
        "sh", "-c", f"env -i {SLEEP} 321 & echo $! > {ready}.new; mv {ready}.new {ready}; wait", ready=ready
    )
    child = int(ready.read_text())
    found = kill(phone, herd)
    assert {parent.pid, child} <= pids(found.found) and found.is_clean
    assert not is_running(child)


def test_a_program_from_our_folder_is_ours_without_a_marker_even_when_deleted(phone, herd):
    program = Path(phone.work_dir) / "cache" / "runner"
    shutil.copy(SLEEP, program)
    program.chmod(0o755)
    ours = herd.start(str(program), "300", token="")
    program.unlink()
    assert pids(kill(phone, herd).found) == {ours.pid}
    assert ours.wait(timeout=30) == -signal.SIGTERM


def test_a_program_at_work_in_our_folder_is_ours_but_not_beside_it(phone, herd, tmp_path):
    beside = tmp_path / "data" / "mnas-other"
    beside.mkdir()
    ours = herd.start("sleep", "300", token="", cwd=phone.work_dir)
    other = herd.start("sleep", "300", token="", cwd=beside)
    assert pids(kill(phone, herd).found) == {ours.pid}
    assert other.poll() is None


def test_the_cleaning_shell_never_ends_itself_or_who_started_it(phone, herd):
    """Even with the marker in its own environment and started from our folder."""
    phone.environment[herd.variable] = "one"
    phone.shell = ["/bin/sh", "-c", f'cd {phone.work_dir}; /bin/sh -c "$1"; echo "outer lives $?"', "outer"]
    ours = herd.start("sleep", "300")
    found = kill(phone, herd)
    assert pids(found.found) == {ours.pid} and found.is_clean


def test_a_process_that_breeds_while_it_is_ended_is_ended_too(phone, herd, tmp_path):
    ready = tmp_path / "ready"
    text = f"trap '(sleep 331 &) ; (setsid sleep 332 &)' TERM; echo > {ready}; while :; do sleep 0.1; done"
    herd.start("sh", "-c", text, ready=ready)
    assert kill(phone, herd).is_clean
    assert look_for_leftovers(phone, work_dir=phone.work_dir, variable=herd.variable).found == ()


def test_looking_touches_nothing(phone, herd):
    ours = herd.start("sleep", "300")
    found = look_for_leftovers(phone, work_dir=phone.work_dir, variable=herd.variable)
    assert pids(found.found) == {ours.pid} and found.files == (f"{phone.work_dir}/cache/model",)
    assert found.size_kib >= 5
    assert ours.poll() is None and Path(phone.work_dir, "cache", "model").exists()


def test_cleaning_removes_our_folder_and_nothing_beside_it(phone, herd, tmp_path):
    ours = herd.start("sleep", "300", cwd=phone.work_dir)
    (tmp_path / "data" / "mnas2").write_text("not ours")
    odd = Path(phone.work_dir) / "a name\nwith 'everything' $x"
    odd.write_text("")
    found = clean_phone(phone, work_dir=phone.work_dir, variable=herd.variable)
    assert phone.round_trips == 1
    assert found.is_clean and found.is_removed and pids(found.found) == {ours.pid}
    assert not Path(phone.work_dir).exists() and (tmp_path / "data" / "mnas2").exists()
    again = clean_phone(phone, work_dir=phone.work_dir, variable=herd.variable)
    assert again.is_removed and again.found == () and again.files == () and again.size_kib is None


def test_a_link_in_the_place_of_our_folder_is_removed_not_followed(phone, herd, tmp_path):
    shutil.rmtree(phone.work_dir)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("theirs")
    Path(phone.work_dir).symlink_to(tmp_path / "theirs")
    found = clean_phone(phone, work_dir=phone.work_dir, variable=herd.variable)
    assert found.is_removed and not Path(phone.work_dir).is_symlink()
    assert (tmp_path / "theirs" / "file").read_text() == "theirs"


def test_what_cannot_be_removed_is_told(phone, herd, tmp_path):
    (tmp_path / "bin" / "rm").write_text("#!/bin/sh\necho 'rm: cannot remove: Read-only file system'\n")
    (tmp_path / "bin" / "rm").chmod(0o755)
    found = clean_phone(phone, work_dir=phone.work_dir, variable=herd.variable)
    assert not found.is_removed and "Read-only" in found.note


def test_a_link_that_breaks_is_an_error_not_a_clean_phone(phone, herd):
    phone.lost, phone.cut = True, 40
    with pytest.raises(DeviceError, match="ADB32"):
        kill(phone, herd)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a process that nobody inside can end is a namespace's first")
def test_what_cannot_be_ended_is_told_and_puts_the_phone_in_quarantine(phone, herd, tmp_path):
    ready = tmp_path / "ready"
    text = f"echo > {ready}; while :; do sleep 1; done"
    outer = herd.start("unshare", "-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", text, ready=ready)
    first = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0]
    phone.shell = ["nsenter", "-t", first, "-p", "-m", "sh", "-c"]
    found = kill(phone, herd)
    assert 1 in pids(found.left) and not found.is_clean
    assert quarantine_leftovers(found, "S", "boot-1", folder=tmp_path)
    assert "1 (sh -c" in quarantine_of("S", "boot-1", folder=tmp_path).reason


def test_a_clean_phone_is_not_put_in_quarantine(phone, herd, tmp_path):
    assert not quarantine_leftovers(kill(phone, herd), "S", "boot-1", folder=tmp_path)
    assert quarantine_of("S", "boot-1", folder=tmp_path) is None
