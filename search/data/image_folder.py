"""Any folder of images by class as a data set: decoded once by several threads, then mapped from the cache."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np

from mnas.errors import DataError
from search.data.dataset import Dataset, SplitRule, make_dataset, require_usable
from search.data.folder_listing import FolderListing, ListedImage, list_folder
from search.data.image_cache import ImageCache, Pixels, dataset_folder
from search.data.picture import PictureFacts, read_facts, read_picture, strict_pictures

MOST_CORRUPT = 0.01
"""Share of files that may be unreadable; they are left out and listed."""
MOST_PX = 256
_LISTED = 20
_WITH_TEST, _WITHOUT_TEST = SplitRule(rank_val=1 / 4, val=1 / 6), SplitRule(rank_val=0.2, val=0.1, test=0.1)
_WORKERS = min(8, os.cpu_count() or 1)
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What the headers of a folder's images say.

    Attributes:
        listing: The files that can be opened.
        facts: Of each of them.
        corrupt: File -> why it cannot be opened.
        px: Side that the images are kept at.
        channels: 1 where all images are grey, else 3.
    """

    listing: FolderListing
    facts: tuple[PictureFacts, ...]
    corrupt: dict[str, str]
    px: int
    channels: int


def scan_folder(folder: Path, px: int = 0) -> FolderScan:
    """Read the headers of a folder's images.

    Args:
        folder: As for `search.data.folder_listing.list_folder`.
        px: Side to keep images at; 0 takes the median of their shorter sides, at most `MOST_PX`.

    Raises:
        DataError: As `list_folder`; ``DAT07``: more than `MOST_CORRUPT` cannot be opened.
    """
    listing = list_folder(folder)
    good: list[ListedImage] = []
    facts: list[PictureFacts] = []
    corrupt: dict[str, str] = {}
    for image, found in _in_order(lambda one: read_facts(listing.root / one.path), listing.images):
        if isinstance(found, DataError):
            corrupt[image.path] = found.why
        else:
            good.append(image)
            facts.append(found)
    _require_sound(folder, len(listing.images), corrupt)
    side = px or min(MOST_PX, int(median(min(one.width_px, one.height_px) for one in facts)))
    channels = 1 if all(one.is_grey for one in facts) else 3
    return FolderScan(replace(listing, images=tuple(good)), tuple(facts), corrupt, side, channels)


def folder_train_images(folder: Path) -> int:
    """Return about how many images of a folder are trained on; none is read.

    Raises:
        DataError: As `list_folder`.
    """
    listing = list_folder(folder)
    rule = _WITH_TEST if listing.has_test else _WITHOUT_TEST
    count = sum(not one.is_test for one in listing.images)
    return round(count * (1 - rule.rank_val - rule.val - rule.test))


def open_image_folder(folder: Path, px: int = 0, cache: ImageCache | None = None) -> Dataset:
    """Return a folder of images as a data set with four splits.

    The first time, its images are decoded and kept in the user's cache; later they are mapped from there as long as no
    file has changed. Where the folder has a part for testing, that is ``test``; a training image equal to one of it is
    dropped.

    Args:
        folder: As for `search.data.folder_listing.list_folder`.
        px: As for `scan_folder`.
        cache: None for the user's.

    Raises:
        DataError: ``DAT01``, ``DAT06``, ``DAT08``, ``DAT09``: as `list_folder`. ``DAT07``: more than `MOST_CORRUPT` of
            the files cannot be read. ``DAT09``: there is no room for the decoded images.
    """
    cache = cache or ImageCache(dataset_folder("folders"))
    listing = list_folder(folder)
    source = {"folder": listing.stamp, "px": px}
    images, facts = cache.load(source) or _decode(folder, px, cache, source)
    rule = _WITH_TEST if listing.has_test else _WITHOUT_TEST
    labels = np.asarray(facts["labels"], dtype=np.int64)
    fixed_test = np.asarray(facts["is_test"], dtype=np.bool_) if listing.has_test else None
    # The folder's own name is no part of the fingerprint: moved images are the same images.
    dataset = make_dataset("images", images, labels, listing.class_names, rule, fixed_test)
    shown = {name: facts[name] for name in ("modes", "sizes", "corrupt", "files")}
    return require_usable(replace(dataset, name=listing.root.name or "images", facts=shown))


def _decode(folder: Path, px: int, cache: ImageCache, source: Any) -> tuple[Pixels, dict[str, Any]]:
    """Decode a folder's images into the cache."""
    scan = scan_folder(folder, px)

    def read(image: ListedImage) -> Pixels:
        return read_picture(scan.listing.root / image.path, scan.px, scan.channels)

    def fill(images: Pixels) -> tuple[int, dict[str, Any]]:
        corrupt, kept = dict(scan.corrupt), list[ListedImage]()
        for image, found in _in_order(read, scan.listing.images):
            if isinstance(found, DataError):
                corrupt[image.path] = found.why
            else:
                images[len(kept)] = found
                kept.append(image)
        files = len(scan.listing.images) + len(scan.corrupt)
        _require_sound(folder, files, corrupt)
        return len(kept), _facts(scan, kept, corrupt, files)

    return cache.make(source, (len(scan.listing.images), scan.channels, scan.px, scan.px), fill)


def _facts(scan: FolderScan, kept: Sequence[ListedImage], corrupt: dict[str, str], files: int) -> dict[str, Any]:
    sizes = Counter(f"{one.width_px}x{one.height_px}" for one in scan.facts)
    return {
        "labels": [one.label for one in kept],
        "is_test": [one.is_test for one in kept],
        "modes": dict(sorted(Counter(one.mode for one in scan.facts).items())),
        "sizes": dict(sizes.most_common(_LISTED)),
        "corrupt": {_printable(path): why for path, why in sorted(corrupt.items())},
        "files": files,
    }


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _in_order(
    read: Callable[[ListedImage], _Found], images: Sequence[ListedImage]
) -> Iterator[tuple[ListedImage, _Found | DataError]]:
    """Read images by several threads, few of them at a time, and give them in order, or why one cannot be read."""

    def safely(image: ListedImage) -> _Found | DataError:
        try:
            return read(image)
        except DataError as error:
            return error

    waiting: deque[tuple[ListedImage, Future[_Found | DataError]]] = deque()
    with strict_pictures(), ThreadPoolExecutor(_WORKERS, "mnas-decode") as workers:
        for image in images:
            waiting.append((image, workers.submit(safely, image)))
            if len(waiting) >= 4 * _WORKERS:
                first, found = waiting.popleft()
                yield first, found.result()
        for first, found in waiting:
            yield first, found.result()


def _require_sound(folder: Path, files: int, corrupt: dict[str, str]) -> None:
    if len(corrupt) <= MOST_CORRUPT * files:
        return
    listed = "; ".join(f"{_printable(path)} ({why})" for path, why in sorted(corrupt.items())[:5])
    raise DataError(
        "DAT07",
        "too many images of the folder cannot be read",
        value=f"{len(corrupt)} of {files} in {folder}",
        why=f"more than {MOST_CORRUPT:.0%} means that something is wrong with them: {listed}",
        fix="mend or remove them",
    )
