"""The runner library: copies of the programs that run models on phones, by content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.runners.dialect import RUNNER_NAMES, dialect_of
from devices.runners.elf import Elf, read_elf
from devices.runners.fitting import check_fits, is_android_linker, missing_libraries
from devices.runners.index import Entry, Pin, StoredFile, changing_index, load_index, unwritable
from devices.runners.recognition import recognise_runner
from mnas.errors import ConfigError, DeviceError
from mnas.store import utc_now

ENVIRONMENT = "MNAS_RUNNERS"


@dataclass(frozen=True, slots=True)
class Runner:
    """One program in the library.

    Attributes:
        name: ``tflite``, ``litert`` or ``ortperf``.
        path: Of the library's own copy.
        sha256: Of its content.
        size_bytes: Of the program alone.
        abi: ``arm64-v8a``, ``armeabi-v7a``, ``x86_64`` or ``x86``.
        source: Path or address that it came from.
        added_at_utc: ISO 8601.
        libraries: Shared libraries that must lie beside it under their names.
        interpreter: Its loader, "" for a static program.
    """

    name: str
    path: Path
    sha256: str
    size_bytes: int
    abi: str
    source: str
    added_at_utc: str
    libraries: tuple[Path, ...] = ()
    interpreter: str = ""


def default_folder() -> Path:
    """Return ``$MNAS_RUNNERS``, else the folder ``runners`` of the user's data."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given)
    from platformdirs import user_data_dir

    return Path(user_data_dir("mnas")) / "runners"


class RunnerLibrary:
    """The runners that this user has. Several processes may add at once.

    Args:
        folder: `default_folder` unless given; made when something is added.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def add(self, path: Path, name: str = "", libraries: Iterable[Path] = (), *, source: str = "") -> Runner:
        """Copy a program into the library; one that is there already stays one entry, with the libraries given last.

        Args:
            path: Of the program.
            name: ``tflite``, ``litert`` or ``ortperf``; recognised by the program's texts unless given.
            libraries: Shared libraries that it needs and Android does not have.
            source: What to record instead of the path.

        Raises:
            ConfigError: ``RNR08`` it is not recognised, or is another runner than named, ``RNR13`` no such name.
            DeviceError: ``RNR01`` .. ``RNR05`` a file is no program of Android's machines, ``RNR07`` a library is
                missing or wrong, ``RNR15`` the library cannot be written, ``RNR16`` it is no program.
        """
        program, given = Path(path), [Path(one) for one in libraries]
        elf = read_elf(program)
        check_fits(elf, (elf.abi,), {elf.interpreter})
        found = _decide_name(program, name)
        _check_libraries(elf, {one.name: read_elf(one) for one in given})
        stored = self._store(program)
        entry = Entry(
            name=found,
            program=stored,
            abi=elf.abi,
            interpreter=elf.interpreter,
            source=source or str(program.resolve()),
            added_at_utc=utc_now(),
            libraries=tuple(self._store(one) for one in given),
        )
        with changing_index(self.folder) as index:
            for place, old in enumerate(index.entries):
                if (old.name, old.program.sha256) == (entry.name, stored.sha256):
                    entry = replace(old, libraries=entry.libraries or old.libraries)
                    index.entries[place] = entry
                    break
            else:
                index.entries.append(entry)
        return self._runner(entry)

    def list(self) -> list[Runner]:
        """Return all runners in the order in which they were added.

        Raises:
            DeviceError: ``RNR10``: the index cannot be read.
        """
        return [self._runner(entry) for entry in load_index(self.folder).entries]

    def find(self, name: str, abis: Sequence[str], interpreters: Collection[str] | None = None) -> Runner:
        """Return the newest runner of a name for the first ABI of a phone for which there is one, checked.

        Args:
            name: ``tflite``, ``litert`` or ``ortperf``.
            abis: ``ro.product.cpu.abilist`` in the phone's order.
            interpreters: As `devices.runners.fitting.check_fits` takes them.

        Raises:
            ConfigError: ``RNR13``: there is no such runner.
            DeviceError: ``RNR02`` the library has none, ``RNR05``, ``RNR06`` and ``RNR16`` it has one that does not
                fit, ``RNR09`` its file was changed or lost.
        """
        dialect_of(name)
        mine = [entry for entry in reversed(load_index(self.folder).entries) if entry.name == name]
        refusal: DeviceError | None = None
        for entry in sorted(mine, key=lambda one: abis.index(one.abi) if one.abi in abis else len(abis)):
            runner = self.checked(self._runner(entry))
            try:
                check_fits(read_elf(runner.path), abis, interpreters)
            except DeviceError as error:
                refusal = refusal or error
            else:
                return runner
        if refusal is not None:
            raise refusal
        raise DeviceError(
            "RNR02",
            "there is no such runner in the library",
            value=f"{name} for {', '.join(abis)}",
            why=f"phones come without one; the library is {self.folder}",
            fix=f"mnas runner fetch {name}, or mnas runner add PATH --name {name}",
        )

    def checked(self, runner: Runner) -> Runner:
        """Return a runner whose files are still those that were added.

        Raises:
            DeviceError: ``RNR09``: a file was changed or lost.
        """
        for path in (runner.path, *runner.libraries):
            expected = path.parent.name
            seen = _sha256_of(path)
            if seen != expected:
                raise DeviceError(
                    "RNR09",
                    "a file of the runner library is not what was added",
                    value=str(path),
                    why="it is gone" if not seen else f"its sha256 is {seen[:12]}, not {expected[:12]}",
                    fix="add or fetch the runner again",
                )
        return runner

    def pin_of(self, url: str) -> Pin | None:
        """Return what was downloaded from an address before, or ``None``."""
        return load_index(self.folder).pins.get(url)

    def pin(self, url: str, sha256: str) -> None:
        """Remember what was downloaded from an address."""
        with changing_index(self.folder) as index:
            index.pins[url] = Pin(sha256, utc_now())

    def _path(self, stored: StoredFile) -> Path:
        return self.folder / "objects" / stored.sha256 / stored.name

    def _runner(self, entry: Entry) -> Runner:
        return Runner(
            name=entry.name,
            path=self._path(entry.program),
            sha256=entry.program.sha256,
            size_bytes=entry.program.size_bytes,
            abi=entry.abi,
            source=entry.source,
            added_at_utc=entry.added_at_utc,
            libraries=tuple(self._path(one) for one in entry.libraries),
            interpreter=entry.interpreter,
        )

    def _store(self, path: Path) -> StoredFile:
        """Copy a file to where its content says; what is hashed is what was kept."""
        objects = self.folder / "objects"
        temporary: Path | None = None
        try:
            objects.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=objects, prefix=".new-")
            temporary = Path(name)
            with path.open("rb") as source, os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
            read_elf(temporary)
            stored = StoredFile(path.name, _sha256_of(temporary), temporary.stat().st_size)
            temporary.chmod(0o755)
            self._path(stored).parent.mkdir(exist_ok=True)
            temporary.replace(self._path(stored))
            return stored
        except OSError as error:
            raise unwritable(self.folder, error) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def _decide_name(path: Path, name: str) -> str:
    seen = recognise_runner(path)
    if name:
        dialect_of(name)
    if name and seen and name != seen:
        raise ConfigError(
            "RNR08",
            "the program is another runner than it is said to be",
            value=f"{name}, but its texts are those of {seen}",
            why="its output would be misread",
            fix=f"use the name {seen}",
        )
    if not name and not seen:
        raise ConfigError(
            "RNR08",
            "the program is none of the known runners",
            value=path.name,
            why="it holds no text that they print",
            fix=f"say which one it is with --name {'|'.join(RUNNER_NAMES)}",
        )
    return name or seen


def _check_libraries(elf: Elf, libraries: Mapping[str, Elf]) -> None:
    for name, library in libraries.items():
        if library.abi != elf.abi:
            raise DeviceError(
                "RNR07",
                "a library is for another ABI than its program",
                value=f"{name}: {library.abi}",
                why=f"the program is for {elf.abi}",
                fix="give the library of that ABI",
            )
    missing = {name for one in (elf, *libraries.values()) for name in missing_libraries(one, libraries)}
    if missing and is_android_linker(elf.interpreter):
        raise DeviceError(
            "RNR07",
            "the program needs libraries that Android does not have",
            value=", ".join(sorted(missing)),
            why="it would not start",
            fix="give each of them with --library FILE",
        )


def _sha256_of(path: Path) -> str:
    """Return a file's SHA-256, or "" for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
