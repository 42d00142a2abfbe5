"""The one tree of errors that the tool raises on purpose.

::

    MnasError                 exit 1   something failed
    ├── UsageError            exit 2   what was asked for cannot be done as asked
    │   ├── ConfigError       CFGxx    a study file or a flag
    │   ├── ArchitectureError ARCxx    a network that is not one
    │   ├── SpaceError        SPCxx    a search space or a network outside it
    │   ├── ModelError        MODxx    a model that was named: its file, its shapes, its format
    │   └── PackageError      PKGxx    an optional package that is not installed
    ├── GateFailedError       exit 3   a latency gate failed
    ├── DeviceError           exit 4   DEVxx: a device or its runtime; ADBxx: a phone or the link to it;
    │   │                              RNRxx: a program that runs models on a phone
    │   └── MeasurementError           MEAxx: a measurement that gave no number
    ├── InconclusiveError     exit 5   the interval straddles the decision
    ├── StateError            exit 6   data or state on the disk; REFxx: a device's stored nominals
    │   ├── DataError         DATxx    a data set; TABxx: a table of networks and what they are worth
    │   ├── StoreError        STOxx    the SQLite file
    │   ├── LutError          LUTxx    a latency table
    │   ├── RunError          RUNxx    a run of `mnas bench`
    │   ├── StudyError        STUxx    a study
    │   └── SupernetError     SUPxx    a supernet's file
    ├── ClusterError          exit 1   CLUxx: machines that work together, or the software that joins them
    ├── ExportError           exit 1   EXPxx: an artefact that could not be written or is wrong
    └── TrainingError         exit 1   TRNxx: a network that could not be trained

Each message says what is wrong, the value that was seen, why it matters and how to mend it.
"""

from __future__ import annotations


class MnasError(Exception):
    """Base of every error that is meant to be read by a person.

    Args:
        code: Short stable code such as ``LUT02``.
        what: What is wrong, one clause.
        value: The offending value as it was seen; shown with ``repr`` unless it is a string.
        why: Why that cannot work.
        fix: What to do about it.
    """

    exit_code = 1

    def __init__(self, code: str, what: str, *, value: object = None, why: str = "", fix: str = "") -> None:
        self.code = code
        self.what = what
        self.value = value
        self.why = why
        self.fix = fix
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [self.what]
        if self.value is not None:
            seen = self.value if isinstance(self.value, str) else repr(self.value)
            parts.append(f"(saw: {seen[:500]})")
        text = " ".join(parts)
        if self.why:
            text += f": {self.why}"
        if self.fix:
            text += f". Fix: {self.fix}"
        return f"{self.code}: {text}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by fields, so an error crosses a process boundary whole."""
        return (_rebuild, (type(self), self.code, self.what, self.value, self.why, self.fix))


def _rebuild(cls: type[MnasError], code: str, what: str, value: object, why: str, fix: str) -> MnasError:
    return cls(code, what, value=value, why=why, fix=fix)


class UsageError(MnasError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A study file or a flag is wrong."""


class ArchitectureError(UsageError):
    """A network description is not a network."""


class SpaceError(UsageError):
    """A search space is wrong, or a network lies outside it."""


class ModelError(UsageError):
    """A model that was named cannot be found, read, given its shapes or written in the format that is needed."""


class PackageError(UsageError):
    """What was asked for needs an optional package that is not installed."""


class GateFailedError(MnasError):
    """A latency gate failed beyond its interval."""

    exit_code = 3


class DeviceError(MnasError):
    """A device or its runtime cannot be used."""

    exit_code = 4


class MeasurementError(DeviceError):
    """A measurement gave no number."""


class InconclusiveError(MnasError):
    """The interval straddles the decision."""

    exit_code = 5


class StateError(MnasError):
    """Data or state on the disk is not what it should be."""

    exit_code = 6


class DataError(StateError):
    """A data set is missing or damaged."""


class StoreError(StateError):
    """The SQLite file is damaged, foreign or of another schema."""


class LutError(StateError):
    """A latency table is missing, foreign or incomplete."""


class RunError(StateError):
    """A run of `mnas bench` is not in the store, or is over."""


class StudyError(StateError):
    """A study cannot be started or resumed."""


class SupernetError(StateError):
    """The file of a supernet is missing, damaged, or of another space, data or training."""


class ClusterError(MnasError):
    """Machines that work together cannot be reached, or cannot do what is asked of them."""


class ExportError(MnasError):
    """An artefact could not be written, or is wrong."""


class TrainingError(MnasError):
    """A network could not be trained."""
