"""Checks of the link to a phone: its shell keeps its promises, files arrive whole, a command that hangs is ended."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from devices.adb.checklist import Check, judged
from devices.adb.cleaning import kill_leftovers
from devices.adb.link import WORK_DIR, AdbLink
from devices.adb.quoting import quote_word
from devices.adb.server import AdbServer

_ANSWER_S = 15.0
_HANG_S = 3.0
_HANG_MARGIN_S = 5.0
_STREAM_S = 2
_FILES_S = 120.0
_BYTES = 4 << 20
_ODD_NAMES = ("a b.bin", 'it\'s "$HOME" `x`.bin', "-dash*?.bin", "\u00fcml\u00e4ut \u6f22.bin")


def check_server(server: AdbServer) -> Iterator[Check]:
    """Say which adb server it is; one of this machine is started."""
    server.ensure_running()
    where = "this machine's" if server.is_local else "a remote one"
    yield Check("adb server", f"{server.address}, {where}, protocol {server.version()}")


def check_shell(link: AdbLink) -> Iterator[Check]:
    """Try exit codes, a signal, the two outputs, and arguments that a shell would change."""
    if "shell_v2" in link.features:
        yield Check("shell v2", "there: exit codes and both outputs come over the link")
    else:
        words = "not there (Android 6 or older): exit codes come by a mark in the output"
        yield Check("shell v2", words, "warn", "nothing; a newer Android has it")
    yield _exit_codes(link)
    done = link.run_script("echo out; echo err >&2", deadline_s=_ANSWER_S)
    apart = (done.stdout.split(), done.stderr.split()) == (["out"], ["err"])
    found = "apart" if apart else f"stdout {done.stdout[:60]!r}, stderr {done.stderr[:60]!r}"
    yield Check("stdout and stderr", found, *judged(apart, "runners could be misread: report the phone's model"))
    word = 'it\'s $HOME "x"  *\n\\ end'
    done = link.run(["printf", "%s", word], deadline_s=_ANSWER_S)
    found = "arrive as they are" if done.stdout == word else f"{word!r} became {done.stdout[:80]!r}"
    yield Check("odd arguments", found, *judged(done.stdout == word, "report the phone's model"))


def _exit_codes(link: AdbLink) -> Check:
    wanted = {"true": 0, "false": 1, "exit 3": 3, "kill -9 $$": 137}
    ends = {text: link.run_script(text, deadline_s=_ANSWER_S) for text in wanted}
    seen = {text: end.rc for text, end in ends.items()}
    is_good = seen == wanted and ends["kill -9 $$"].ended == "signal" and ends["exit 3"].ended == "exit"
    found = ", ".join(f"'{text}' gives {code}" for text, code in seen.items())
    return Check("exit codes", found, *judged(is_good, "failures of runners could pass unseen: report the model"))


def check_streaming(link: AdbLink) -> Iterator[Check]:
    """See that a line comes while the command still runs."""
    came: list[float] = []
    script = f"echo first; sleep {_STREAM_S}; echo last"
    done = link.run_script(script, deadline_s=_ANSWER_S, on_line=lambda line: came.append(time.monotonic()))
    ended = time.monotonic()
    lead_s = ended - came[0] if came else 0.0
    is_good = done.rc == 0 and lead_s >= _STREAM_S / 4
    found = f"the first came {lead_s:.1f} s before the end of a command of {_STREAM_S} s"
    yield Check("lines as they come", found, *judged(is_good, "results would be lost with the link: report the model"))


def check_hanging(link: AdbLink, deadline_s: float = _HANG_S) -> Iterator[Check]:
    """Start a command that hangs and is deaf to HUP; it must end at its deadline and leave nothing behind."""
    token = secrets.token_hex(8)
    done = link.run_script("trap '' HUP; sleep 600; sleep 600", deadline_s=deadline_s, token=token)
    first = kill_leftovers(link, token=token)
    second = kill_leftovers(link, token=token)
    is_in_time = done.ended == "deadline" and done.seconds < deadline_s + _HANG_MARGIN_S
    is_good = is_in_time and first.is_clean and not second.found
    found = f"ended by {done.ended} after {done.seconds:.1f} s of {deadline_s:g}; {len(first.found)} processes ended"
    if not is_good:
        found += f", {len(first.left) or len(second.found)} left"
    yield Check("a command that hangs", found, *judged(is_good, "restart the phone, then report its model"))


def check_files(link: AdbLink) -> Iterator[Check]:
    """Push random bytes and fetch them again, under plain and odd names."""
    place = f"{WORK_DIR}/checkup-{secrets.token_hex(4)}"
    files = {"plain.bin": secrets.token_bytes(_BYTES)}
    files |= {name: secrets.token_bytes(1000 + number) for number, name in enumerate(_ODD_NAMES)}
    try:
        began = time.monotonic()
        link.push_many({f"{place}/{name}": data for name, data in files.items()}, deadline_s=_FILES_S)
        pushed_s = time.monotonic() - began
        with tempfile.TemporaryDirectory(prefix="mnas-checkup-") as folder:
            began = time.monotonic()
            different = [name for name, data in files.items() if _fetched(link, place, name, Path(folder)) != data]
            pulled_s = time.monotonic() - began
    finally:
        link.run_script(f"rm -rf {quote_word(place)}", deadline_s=_ANSWER_S)
    rates = " and ".join(f"{_BYTES / 1e6 / seconds:.0f} MB/s" for seconds in (pushed_s, pulled_s))
    digest = hashlib.sha256(files["plain.bin"]).hexdigest()[:12]
    found = f"{len(files)} files there and back, sha256 {digest} ... on both sides; {rates}"
    if different:
        found = f"came back changed: {', '.join(different)}"
    yield Check("files there and back", found, *judged(not different, "check cable and the phone's storage"))


def _fetched(link: AdbLink, place: str, name: str, folder: Path) -> bytes:
    target = folder / "fetched"
    link.pull(f"{place}/{name}", target, deadline_s=_FILES_S)
    return target.read_bytes()
