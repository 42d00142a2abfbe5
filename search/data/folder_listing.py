"""What lies in a folder of class folders: image files by class, without following links out of it."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnas.errors import DataError
from mnas.jsonio import sha256_json
from search.data.picture import SUFFIXES

MOST_IMAGES = 5_000_000
_TRAINING = "train"
_HELD_OUT = ("val", "valid", "validation")
_TEST = "test"


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image file.

    Attributes:
        path: Relative to the folder.
        label: Index of its class.
        is_test: Whether the folder itself sets it apart for testing.
        state: Size in bytes, and when it was modified and changed last, in ns.
    """

    path: str
    label: int
    is_test: bool
    state: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class FolderListing:
    """All image files of a folder.

    Attributes:
        root: The folder, links resolved.
        class_names: In the order of their labels.
        images: In the order of class and path.
        has_test: Whether a part of the folder is set apart for testing.
    """

    root: Path
    class_names: tuple[str, ...]
    images: tuple[ListedImage, ...]
    has_test: bool

    @property
    def stamp(self) -> str:
        """SHA-256 that moves when a file comes, goes, or is written to."""
        rows = [[one.path.encode("utf-8", "surrogateescape").hex(), one.is_test, *one.state] for one in self.images]
        return sha256_json([list(self.class_names), rows])


def list_folder(folder: Path) -> FolderListing:
    """List a folder: ``CLASS/...`` or ``train/CLASS/...`` with ``val/CLASS/...`` or ``test/CLASS/...`` beside it.

    Where there is no ``test``, ``val`` is what tests; else it is part of what is split. Class names are in Unicode's
    composed form (NFC), so that they are the same on every system. Names that begin with a dot are passed over.

    Raises:
        DataError: ``DAT01``: no such folder. ``DAT06``: no classes, one, or no images. ``DAT08``: a link leads out of
            it, or to a folder. ``DAT09``: too many images.
    """
    root = folder.expanduser()
    try:
        root = root.resolve(strict=True)
        parts = _parts(root)
        names = sorted({_composed(path.name) for part, _ in parts for path in _folders(part)})
        rows = [row for part, is_test in parts for row in _images(root, part, is_test, names)]
    except OSError as error:
        why = error.strerror or str(error)
        fix = "name a folder that holds one folder of images for each class"
        raise DataError("DAT01", "the folder of images cannot be read", value=str(folder), why=why, fix=fix) from error
    has_test = any(is_test for _, is_test in parts)
    listing = FolderListing(root, tuple(names), tuple(sorted(rows, key=lambda one: (one.label, one.path))), has_test)
    _require_classes(folder, listing)
    return listing


def _parts(root: Path) -> list[tuple[Path, bool]]:
    """Return the folders that hold class folders, and whether each is for testing."""
    inner = {path.name.lower(): path for path in _folders(root)}
    held_out = next((inner[name] for name in _HELD_OUT if name in inner), None)
    test, training = inner.get(_TEST), inner.get(_TRAINING)
    if training is None or (held_out is None and test is None) or not _folders(training):
        return [(root, False)]
    if test is None or not _folders(test):
        return [(training, False)] + ([(held_out, True)] if held_out else [])
    return [(training, False), *([(held_out, False)] if held_out else []), (test, True)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder; the folder is closed again, also when a caller stops half way."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda one: one.name)


def _folders(parent: Path) -> list[Path]:
    found = []
    for entry in _entries(parent):
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and entry.is_dir():
            raise _link(Path(entry.path), "links to folders are not followed: they may lead anywhere, or in circles")
        if entry.is_dir():
            found.append(Path(entry.path))
    return found


def _images(root: Path, part: Path, is_test: bool, names: list[str]) -> Iterator[ListedImage]:
    number = {name: label for label, name in enumerate(names)}
    count = 0
    for class_folder in _folders(part):
        for path in _files(class_folder):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise _link(path, f"it leads out of {root}")
            if not path.exists():
                raise _link(path, "it is a link that leads nowhere")
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                raise _link(path, "it is no regular file")
            count += 1
            if count > MOST_IMAGES:
                why = f"more than {MOST_IMAGES:,} images are beyond what is kept in one set"
                raise DataError("DAT09", "the folder is too large", value=str(part), why=why, fix="take a part of it")
            state = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            yield ListedImage(str(path.relative_to(root)), number[_composed(class_folder.name)], is_test, state)


def _files(folder: Path) -> Iterator[Path]:
    for inner in _folders(folder):
        yield from _files(inner)
    for entry in _entries(folder):
        is_image = Path(entry.name).suffix.lower() in SUFFIXES and not entry.name.startswith(".")
        if is_image and not entry.is_dir():
            yield Path(entry.path)


def _composed(name: str) -> str:
    """Return a folder's name as text: composed, and printable where its bytes are no UTF-8."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return unicodedata.normalize("NFC", text)


def _require_classes(folder: Path, listing: FolderListing) -> None:
    labels = {one.label for one in listing.images}
    empty = [name for label, name in enumerate(listing.class_names) if label not in labels]
    if len(listing.class_names) >= 2 and not empty:
        return
    if empty:
        why = f"of these classes there is no image ({', '.join(SUFFIXES)}): {', '.join(empty[:5])}"
    else:
        why = f"it holds {len(listing.class_names)} class folder, and telling classes apart needs two or more"
    raise DataError(
        "DAT06",
        "the folder is no data set of images by class",
        value=str(folder),
        why=why,
        fix="put the images of each class in a folder of its own: DIR/CLASS, or DIR/train/CLASS and DIR/val/CLASS",
    )


def _link(path: Path, why: str) -> DataError:
    fix = "copy what is meant into the folder, or remove it"
    return DataError("DAT08", "a file of the data set is not followed", value=str(path), why=why, fix=fix)
