"""Reads what the script of a batch prints, line by line as it comes, and stands any text between the marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from devices.adb.batch import FILE_LIMIT_BYTES
from devices.adb.parsers.numbers import number_of

StopReason = Literal["hot", "unread", "capped", "unpinned", "killed"]

_END = "."
"""Last word of a mark: a line that was cut off must not pass for a whole one."""

_UNKNOWN = "-"
_STOPS: tuple[StopReason, ...] = ("hot", "unread", "capped", "unpinned", "killed")
_HUNG_MARGIN_S = 0.1
_MOST_RC = 0xFFFF


@dataclass(frozen=True, slots=True)
class Reading:
    """What the shell read between two launches.

    Attributes:
        uptime_s: Of the phone.
        caps_khz: Highest clocks allowed then, ``None`` where unreadable.
        clocks_khz: Clocks then, ``None`` where unreadable.
        zone_raw: Text of the thermal zone, or "".
    """

    uptime_s: float
    caps_khz: tuple[int | None, ...] = ()
    clocks_khz: tuple[int | None, ...] = ()
    zone_raw: str = ""


@dataclass(frozen=True, slots=True)
class Pinned:
    """The shell runs on the CPUs that were asked for."""

    mask: str


@dataclass(frozen=True, slots=True)
class Unpinned:
    """The shell could not be pinned, and nothing was run.

    Attributes:
        mask: What it has.
        online: Cores that are online, as the kernel lists them.
        detail: What taskset said.
    """

    mask: str
    online: str
    detail: str


@dataclass(frozen=True, slots=True)
class Began:
    """A launch was started."""

    index: int
    before: Reading


@dataclass(frozen=True, slots=True)
class Ended:
    """A launch is over.

    Attributes:
        index: Of the launch.
        rc: Exit code, 128 + n for signal n.
        mask: Of the shell afterwards, "-" where it could not be read.
        stdout: Of the runner.
        stderr: Of the runner.
        output: Of the files that the runner wrote, one after the other.
        before: What was read just before it.
        after: What was read just after it.
    """

    index: int
    rc: int
    mask: str
    stdout: str
    stderr: str
    output: str
    before: Reading
    after: Reading

    def is_hung(self, deadline_s: float) -> bool:
        """Say whether it was killed at its deadline."""
        return self.rc != 0 and self.after.uptime_s - self.before.uptime_s >= deadline_s - _HUNG_MARGIN_S


@dataclass(frozen=True, slots=True)
class Heat:
    """What the thermal service said, as text."""

    uptime_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The script ended before its last launch."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Strays:
    """Processes of the batch that outlived it."""

    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The script came to its end."""


BatchEvent = Pinned | Unpinned | Began | Ended | Heat | Stopped | Strays | Done


@dataclass(slots=True)
class _Section:
    kind: str
    label: str
    room: int
    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        if self.room > 0:
            self.lines.append(line[: self.room])
            self.room -= len(line) + 1

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


class BatchReader:
    """Turns lines into events.

    Args:
        marker: Of the batch. Lines that do not begin with it are a runner's, whatever they say.
        limit_chars: What is kept of one section; the phone's own limit stops a runner before that.
    """

    def __init__(self, marker: str, limit_chars: int = FILE_LIMIT_BYTES) -> None:
        self._marker = f"{marker} "
        self._limit_chars = limit_chars
        self._section: _Section | None = None
        self._texts: dict[str, str] = {}
        self._began: Began | None = None

    @property
    def under_way(self) -> int | None:
        """Index of the launch that has begun and not ended."""
        return self._began.index if self._began else None

    def feed(self, line: str) -> Iterator[BatchEvent]:
        """Take the next line, without its end, and yield what is known by now."""
        if not line.startswith(self._marker):
            if self._section:
                self._section.add(line)
            return
        yield from self._close_section()
        words = line[len(self._marker) :].split(" ")
        if words[0] in ("out", "err", "file", "heat"):
            self._section = _Section(words[0], words[1] if len(words) > 1 else "", self._limit_chars)
        elif words[0] == "unpinned" and len(words) >= 3:
            yield Unpinned(words[1], words[2], " ".join(words[3:]).strip())
        elif words[-1] == _END:
            yield from self._mark(words[0], words[1:-1])

    def _close_section(self) -> Iterator[BatchEvent]:
        section, self._section = self._section, None
        if section is None:
            return
        if section.kind == "heat":
            yield Heat(_seconds(section.label), section.text)
        elif self._began and section.label == str(self._began.index):
            self._texts[section.kind] = self._texts.get(section.kind, "") + section.text

    def _mark(self, kind: str, words: list[str]) -> Iterator[BatchEvent]:
        if kind == "pinned" and len(words) == 1:
            yield Pinned(words[0])
        elif kind == "begin" and len(words) == 5 and (index := number_of(words[0])) is not None:
            self._began, self._texts = Began(index, _reading(words[1:])), {}
            yield self._began
        elif kind == "end" and len(words) == 7:
            yield from self._end(words)
        elif kind == "stop" and words and words[0] in _STOPS:
            yield Stopped(_STOPS[_STOPS.index(words[0])])
        elif kind == "strays":
            yield Strays(tuple(int(pid) for pid in re.findall(r"/proc/([0-9]{1,9})/environ", " ".join(words))))
        elif kind == "done":
            yield Done()

    def _end(self, words: list[str]) -> Iterator[BatchEvent]:
        began, self._began = self._began, None
        rc = number_of(words[1], _MOST_RC)
        if began is None or words[0] != str(began.index) or rc is None:
            return
        out, err, file = (self._texts.get(kind, "") for kind in ("out", "err", "file"))
        yield Ended(began.index, rc, words[2], out, err, file, began.before, _reading(words[3:]))


def _reading(words: list[str]) -> Reading:
    uptime, caps, clocks, zone = words
    return Reading(_seconds(uptime), _numbers(caps), _numbers(clocks), "" if zone == _UNKNOWN else zone)


def _seconds(text: str) -> float:
    return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text) else 0.0


def _numbers(text: str) -> tuple[int | None, ...]:
    parts = [] if text == _UNKNOWN else text.split(",")
    return tuple(int(part) if re.fullmatch(r"[0-9]{1,12}", part) else None for part in parts)
