"""The index of the runner library: a JSON file that is read and replaced whole, under a lock between processes."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mnas.errors import DeviceError
from mnas.jsonio import write_json_atomic

SCHEMA = "mnas.runners/1"
FILE_NAME = "index.json"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the library: it lies at ``objects/<sha256>/<name>``."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One runner in the index."""

    name: str
    program: StoredFile
    abi: str
    interpreter: str
    source: str
    added_at_utc: str
    libraries: tuple[StoredFile, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Entry:
        """Read what `to_json` wrote."""
        made = {name: str(value[name]) for name in ("name", "abi", "interpreter", "source", "added_at_utc")}
        libraries = tuple(StoredFile(**one) for one in value["libraries"])
        return cls(program=StoredFile(**value["program"]), libraries=libraries, **made)


@dataclass(frozen=True, slots=True)
class Pin:
    """What was once downloaded from an address."""

    sha256: str
    seen_at_utc: str


@dataclass(slots=True)
class Index:
    """All that the library knows: runners in the order in which they were added, and pins by address."""

    entries: list[Entry] = field(default_factory=list)
    pins: dict[str, Pin] = field(default_factory=dict)


def load_index(folder: Path) -> Index:
    """Read the index of a library; one that is not there is empty.

    Raises:
        DeviceError: ``RNR10``: it is damaged, or of another schema.
    """
    path = folder / FILE_NAME
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is {value['schema']!r}, not {SCHEMA!r}")
        entries = [Entry.from_json(one) for one in value["runners"]]
        return Index(entries, {url: Pin(**pin) for url, pin in value["pins"].items()})
    except FileNotFoundError:
        return Index()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeviceError(
            "RNR10",
            "the index of the runner library cannot be read",
            value=str(path),
            why=f"{type(error).__name__}: {error}",
            fix="move the folder away and add the runners again",
        ) from error


@contextmanager
def changing_index(folder: Path) -> Iterator[Index]:
    """Hand out the index to be changed, and write it when the block ends without an error.

    Raises:
        DeviceError: ``RNR10`` it is damaged, ``RNR15`` it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        index = load_index(folder)
        yield index
        document = {
            "schema": SCHEMA,
            "runners": [entry.to_json() for entry in index.entries],
            "pins": {url: asdict(pin) for url, pin in index.pins.items()},
        }
        try:
            write_json_atomic(folder / FILE_NAME, document)
        except OSError as error:
            raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> DeviceError:
    """Return the error for a library that cannot be written."""
    return DeviceError(
        "RNR15",
        "the runner library cannot be written",
        value=str(folder),
        why=error.strerror or type(error).__name__,
        fix="set MNAS_RUNNERS to a folder that can be written",
    )
