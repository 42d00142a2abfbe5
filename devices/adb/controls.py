"""Settings that are changed for a measurement: the old value is written down, set, read back, and always put back."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from devices.adb.asking import ask
from devices.adb.control_list import CONTROLS, DEFAULT_CONTROLS, Control
from devices.adb.journal import Change, Journal
from devices.adb.parsers.sections import END, MARK, Sections
from mnas.errors import MnasError

if TYPE_CHECKING:
    from devices.adb.link import AdbLink

DEADLINE_S = 20.0
_OK = "mnas-ok"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of setting, or putting back, one setting.

    Attributes:
        name: Of the control.
        old: Value before, "" where the phone does not tell it.
        now: Value that was read back, "" where the phone does not tell it.
        is_done: It has the value that it should have.
        note: Why not, or what is to be known about it.
    """

    name: str
    old: str
    now: str
    is_done: bool
    note: str = ""


class Controls:
    """The settings of one phone while it is measured on; a ``with`` block puts them back however it is left.

    The caller holds the phone's lease.

    Args:
        link: To the phone.
        journal: Of the phone, by which a later process puts back what this one could not.
        warn: Told of settings that could not be put back.
    """

    def __init__(self, link: AdbLink, journal: Journal, *, warn: Callable[[str], None] = lambda text: None) -> None:
        self._link, self._journal, self._warn = link, journal, warn

    def apply(self, controls: Sequence[Control] = DEFAULT_CONTROLS) -> tuple[Outcome, ...]:
        """Set what can be set, in two round trips; what cannot is told, not raised.

        A setting that holds already is left alone. One whose old value cannot be read is not touched, unless its value
        at rest is known.

        Raises:
            DeviceError: The phone does not answer: what was journalled by then is put back by `restore`.
            StateError: ``ADB38``: the journal cannot be written; nothing was changed.
        """
        before = self._ask([_read(one) for one in controls])
        olds = {one.name: _old(one, before) for one in controls}
        outcomes = [_settled(one, olds[one.name], before.line(f"{one.name}.now")) for one in controls]
        to_set = [one for one, outcome in zip(controls, outcomes, strict=True) if outcome is None]
        pending = {change.setting for change in self._journal.pending()}
        for one in to_set:
            self._journal.record(one.name, olds[one.name], one.wanted)
        answers = self._ask([_write(one, one.wanted) for one in to_set]) if to_set else before
        for place, one in enumerate(controls):
            if outcomes[place] is None:
                made = outcomes[place] = _outcome(one, olds[one.name], answers, one.holds)
                # What the phone refused is as it was, and would be refused again when it is put back.
                is_as_before = made.now == made.old if one.read else bool(made.note)
                if not made.is_done and is_as_before and one.name not in pending:
                    self._journal.mark_restored(one.name)
        return tuple(one for one in outcomes if one is not None)

    def restore(self) -> tuple[Outcome, ...]:
        """Put back everything in the journal, also of a process that died; a second call finds nothing to do.

        What cannot be put back stays in the journal, and its outcome says why.

        Raises:
            DeviceError: The phone does not answer; the journal keeps everything.
        """
        known = [(CONTROLS[change.setting], change) for change in self._journal.pending() if change.setting in CONTROLS]
        unknown = [change for change in self._journal.pending() if change.setting not in CONTROLS]
        valid = [(one, change) for one, change in known if one.is_value(change.old)]
        answers = self._ask([_write(one, change.old) for one, change in valid]) if valid else None
        outcomes = []
        for one, change in valid:
            outcome = _outcome(one, change.old, answers or Sections({}, True), _equal_to(change))
            if outcome.is_done:
                self._journal.mark_restored(one.name)
            outcomes.append(outcome)
        odd = [*unknown, *(change for one, change in known if not one.is_value(change.old))]
        return (*outcomes, *(Outcome(change.setting, change.old, "", False, "no such value") for change in odd))

    def _ask(self, parts: Sequence[str]) -> Sections:
        head = f"sec() {{ printf '\\n%s %s\\n' '{MARK}' \"$1\"; }}\n"
        text = head + "\n".join(parts) + f"\nsec {END}\n"
        return ask(self._link, text, deadline_s=DEADLINE_S)

    def __enter__(self) -> Controls:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            failed = [one for one in self.restore() if not one.is_done]
        except MnasError as lost:
            # What broke the block matters more than this; the journal keeps the settings for the next start.
            self._warn(f"settings of the phone could not be put back, the journal keeps them: {lost}")
            return
        for one in failed:
            self._warn(f"'{one.name}' could not be put back to '{one.old}', the journal keeps it: {one.note}")


def _read(control: Control) -> str:
    return f"sec {control.name}.now\n{control.read}\n" if control.read else ""


def _write(control: Control, value: str) -> str:
    """Return the text that sets a value and reads it back; in a subshell, since a setting may end it."""
    name = control.name
    body = f"set -- {shlex.quote(value)}\n{control.write}"
    return f"sec {name}\nif (\n{body}\n); then echo {_OK}; fi\n{_read(control)}"


def _old(control: Control, before: Sections) -> str:
    now = before.line(f"{control.name}.now")
    return now if control.is_value(now) else control.resting


def _settled(control: Control, old: str, said: str) -> Outcome | None:
    """Return the outcome of a setting that needs no change or cannot be changed, ``None`` for the others."""
    if not old:
        return Outcome(control.name, "", "", False, f"cannot be read: {said or 'the phone says nothing'}")
    if control.read and control.holds(old):
        return Outcome(control.name, old, old, True, "was so already")
    return None


def _outcome(control: Control, old: str, answers: Sections, holds: Callable[[str], bool]) -> Outcome:
    lines = [line.strip() for line in answers[control.name].splitlines() if line.strip()]
    said, now = " ".join(line for line in lines if line != _OK), answers.line(f"{control.name}.now")
    if not control.read:
        is_done = _OK in lines
        return Outcome(control.name, old, "", is_done, said or ("" if not is_done else "cannot be read back"))
    is_done = control.is_value(now) and holds(now)
    return Outcome(control.name, old, now, is_done, "" if is_done else said or f"it reads '{now}'")


def _equal_to(change: Change) -> Callable[[str], bool]:
    return lambda value: value == change.old
