"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 pixels, from either form of their archives.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnas.errors import DataError
from search.data.cifar_names import CIFAR10_CLASSES, CIFAR100_CLASSES
from search.data.cifar_records import PX, Records, parse_binary, parse_pickle
from search.data.dataset import Dataset, SplitRule, make_dataset
from search.data.download import download
from search.data.image_cache import ImageCache, Pixels, dataset_folder

_RULE = SplitRule(rank_val=1 / 5, val=1 / 10)
_PAGE = "https://www.cs.toronto.edu/~kriz/"
_MOST_FILE_BYTES, _MOST_ARCHIVE_BYTES = 256 << 20, 512 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """One form of a data set's archive.

    Attributes:
        file: Its name.
        sha256: Of its content.
        training: Names of the files of training images, in order.
        test: Name of the file of test images.
        is_binary: Whether the files hold binary records; else they are pickles.
    """

    file: str
    sha256: str
    training: tuple[str, ...]
    test: str
    is_binary: bool


@dataclass(frozen=True, slots=True)
class CifarSet:
    """One of the two data sets.

    Attributes:
        name: As `search.data.registry` knows it.
        class_names: In the order of the labels.
        labels_each: Labels of a binary record.
        label_key: Of a pickle.
        archives: The first is the one that is fetched.
    """

    name: str
    class_names: tuple[str, ...]
    labels_each: int
    label_key: str
    archives: tuple[Archive, ...]


CIFAR10 = CifarSet(
    "cifar10",
    CIFAR10_CLASSES,
    1,
    "labels",
    (
        Archive(
            "cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            "test_batch.bin",
            True,
        ),
        Archive(
            "cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            tuple(f"data_batch_{number}" for number in range(1, 6)),
            "test_batch",
            False,
        ),
    ),
)
CIFAR100 = CifarSet(
    "cifar100",
    CIFAR100_CLASSES,
    2,
    "fine_labels",
    (
        Archive(
            "cifar-100-binary.tar.gz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ("train.bin",),
            "test.bin",
            True,
        ),
        Archive(
            "cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ("train",),
            "test",
            False,
        ),
    ),
)


def open_cifar(which: CifarSet, folder: Path | None = None, page: str = _PAGE) -> Dataset:
    """Find an archive, fetching it when this machine has none, and split its images by hash.

    The 10,000 official test images are ``test``; of the others a fifth is ``rank-val`` and a tenth ``val``.

    Args:
        which: `CIFAR10` or `CIFAR100`.
        folder: Where an archive lies, or the archive itself; None looks at ``$MNAS_DATA`` and the user's cache, then
            fetches.
        page: Address of the folder to fetch from.

    Raises:
        DataError: ``DAT01``: there is no archive in the folder. ``DAT02``: it is damaged or another file. ``DAT10``: it
            holds code. ``DAT15``: the download failed.
    """
    found = find_archive(which, folder)
    if found is None:
        own, archive = dataset_folder(which.name), which.archives[0]
        download(page + archive.file, own / archive.file, archive.sha256)
        found = own / archive.file, archive
    path, archive = found
    _require_content(path, archive)
    cache, source = ImageCache(dataset_folder(which.name)), {"archive": archive.sha256}
    images, facts = cache.load(source) or _unpack(which, path, archive, cache, source)
    fixed_test = np.zeros(len(images), dtype=np.bool_)
    fixed_test[facts["training"] :] = True
    labels = np.asarray(facts["labels"], dtype=np.int64)
    return make_dataset(which.name, images, labels, which.class_names, _RULE, fixed_test)


def find_archive(which: CifarSet, folder: Path | None = None) -> tuple[Path, Archive] | None:
    """Return where an archive lies, or None.

    Raises:
        DataError: ``DAT01``: a folder or file was given and is no archive, nor holds one.
    """
    given = folder or (Path(os.environ["MNAS_DATA"]) if os.environ.get("MNAS_DATA") else None)
    places = [given, given / which.name] if given else []
    if folder is None:
        places.append(dataset_folder(which.name))
    for archive in which.archives:
        for path in [place / archive.file for place in places] + ([given] if given else []):
            if path.name == archive.file and path.is_file():
                return path, archive
    if folder is not None:
        why = f"it needs {' or '.join(archive.file for archive in which.archives)}"
        fix = "name the archive or its folder, or none so that it is fetched"
        raise DataError("DAT01", f"there is no archive of {which.name}", value=str(folder), why=why, fix=fix)
    return None


def _require_content(path: Path, archive: Archive) -> None:
    with path.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if seen != archive.sha256:
        raise _damaged(path, seen, f"its SHA-256 must be {archive.sha256}")


def _unpack(
    which: CifarSet, path: Path, archive: Archive, cache: ImageCache, source: Any
) -> tuple[Pixels, dict[str, Any]]:
    """Read an archive's images into the cache."""
    parts = read_archive(which, path, archive)
    training = sum(len(labels) for _, labels in parts[:-1])
    every = [int(label) for _, labels in parts for label in labels]
    facts: dict[str, Any] = {"training": training, "labels": every}

    def fill(images: Pixels) -> tuple[int, dict[str, Any]]:
        np.concatenate([pixels for pixels, _ in parts], out=images)
        return len(images), facts

    return cache.make(source, (len(every), 3, PX, PX), fill)


def read_archive(which: CifarSet, path: Path, archive: Archive) -> Sequence[Records]:
    """Return the images and labels of each file of an archive, the test images last; nothing is written to the disk.

    Raises:
        DataError: ``DAT02``: it cannot be unpacked, lacks a file, or one is damaged. ``DAT10``: one holds code.
    """
    wanted = (*archive.training, archive.test)
    classes, found = len(which.class_names), dict[str, Records]()
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                if member.offset_data + member.size > _MOST_ARCHIVE_BYTES or member.size > _MOST_FILE_BYTES:
                    raise _damaged(path, f"{member.size} bytes", "no file of it is so large")
                file = tar.extractfile(member) if member.isreg() and name in wanted else None
                if file is None:
                    continue
                data, source = file.read(), f"{path.name}/{name}"
                if archive.is_binary:
                    found[name] = parse_binary(data, which.labels_each, classes, source)
                else:
                    found[name] = parse_pickle(data, which.label_key, classes, source)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise _damaged(path, path.name, f"{type(error).__name__}: {error}") from error
    if lacking := [name for name in wanted if name not in found]:
        raise _damaged(path, ", ".join(lacking), "these files are not in it")
    return [found[name] for name in wanted]


def _damaged(path: Path, value: object, why: str) -> DataError:
    return DataError("DAT02", f"{path} is damaged", value=value, why=why, fix="delete it and let it be fetched again")
