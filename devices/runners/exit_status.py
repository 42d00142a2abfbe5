"""Why a runner ended as it did, in one line."""

from __future__ import annotations

import re
import signal

_MAX_CHARS = 300
_COMPLAINT = re.compile(
    r"^\s*(?:ERROR|FATAL|F|E)\b\s*:|CANNOT LINK EXECUTABLE|^terminate called|what\(\):|[Ee]rror[: ]|[Ff]ailed|"
    r"not found|[Pp]ermission denied|\[[EF]:onnxruntime"
)
_LAST_WORD = "Benchmarking failed"
_MEANINGS = {
    126: "it is not executable there: a folder mounted noexec, or a program of another kind of machine",
    127: "it, its interpreter or one of its shared libraries was not found",
}


def exit_reason(rc: int, stdout: str, stderr: str) -> str:
    """Return why a launch failed, or "" when it did not.

    A tool that failed within its timed loop prints statistics all the same, so that its exit code alone tells; builds
    of before 2019 end with 0 even so and only print that they failed.

    Args:
        rc: Exit code; 128 + n for signal n.
        stdout: All that it printed.
        stderr: The same of its errors.
    """
    said = _complaint(stdout, stderr)
    if rc == 0:
        failed = _LAST_WORD in stdout or _LAST_WORD in stderr
        return f"the runner says that it failed: {said}" if failed else ""
    return f"{_ending(rc)}: {said}" if said else _ending(rc)


def _ending(rc: int) -> str:
    if rc in _MEANINGS:
        return f"the runner did not start (exit code {rc}): {_MEANINGS[rc]}"
    if 128 < rc < 128 + signal.NSIG:
        try:
            return f"the runner was ended by signal {rc - 128} ({signal.Signals(rc - 128).name})"
        except ValueError:
            return f"the runner was ended by signal {rc - 128}"
    return f"the runner failed with exit code {rc}"


def _complaint(stdout: str, stderr: str) -> str:
    lines = [line.strip() for text in (stdout, stderr) for line in text.splitlines() if _COMPLAINT.search(line)]
    telling = [line for line in lines if _LAST_WORD not in line] or lines
    if not telling:
        telling = [line.strip() for line in stderr.splitlines() if line.strip()]
    return telling[-1][:_MAX_CHARS] if telling else ""
