"""Fashion-MNIST: found on this machine, taken from Debian's package ``dataset-fashion-mnist``, or from its authors.

60,000 + 10,000 grey images of 28 x 28 pixels in 10 classes. Source: Xiao et al. 2017 (arXiv 1708.07747).
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np

from mnas.download import Limits
from mnas.errors import DataError
from mnas.jsonio import sha256_bytes, write_bytes_atomic
from search.data.dataset import Dataset, SplitRule, make_dataset
from search.data.download import download
from search.data.idx import parse_idx
from search.data.image_cache import dataset_folder

PACKAGE = "dataset-fashion-mnist"
PAGE = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
PACKAGE_FOLDER = Path("usr/share/datasets/fashion-mnist")
FILES_SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of what is inside each gzip file: packagers compress anew, the contents stay."""
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_RULE = SplitRule(rank_val=1 / 4, val=1 / 6)
_TIMEOUT_S = 300
_MOST_BYTES = 64 << 20


def cache_folder() -> Path:
    """Return the folder in the user's cache where a fetched copy is kept."""
    return dataset_folder("fashion-mnist")


def open_fashion_mnist(folder: Path | None = None) -> Dataset:
    """Find Fashion-MNIST, fetching it when this machine has none, and split it by hash.

    The 10,000 official test images are ``test``; of the others a quarter is ``rank-val``, so that two
    networks differ by more than the draw of the images, and a sixth is ``val``.

    Args:
        folder: Where the four files (or a folder ``fashion-mnist`` with them) lie; None looks at ``$MNAS_DATA``, the
            Debian package's folder and the user's cache, then fetches.

    Raises:
        DataError: ``DAT01``: not found and not to be had. ``DAT02``: a file is damaged. ``DAT15``: as `fetch`.
    """
    found = find_files(folder)
    if found is None:
        found = fetch(cache_folder())
    return read_fashion_mnist(found)


def find_files(folder: Path | None = None) -> Path | None:
    """Return the folder that holds the four files, or None.

    Raises:
        DataError: ``DAT01``: a folder was given and does not hold them.
    """
    given = folder or (Path(os.environ["MNAS_DATA"]) if os.environ.get("MNAS_DATA") else None)
    places = [given, given / "fashion-mnist"] if given else []
    if folder is None:
        places += [Path("/") / PACKAGE_FOLDER, cache_folder()]
    for place in places:
        if all((place / name).is_file() for name in FILES_SHA256):
            return place
    if folder is not None:
        raise DataError(
            "DAT01",
            "the folder does not hold Fashion-MNIST",
            value=str(folder),
            why=f"it needs {', '.join(FILES_SHA256)}",
            fix="name the folder that has them, or none so that they are fetched",
        )
    return None


def read_fashion_mnist(folder: Path) -> Dataset:
    """Read the four files of a folder.

    Raises:
        DataError: ``DAT02``: a file is damaged or holds something else.
    """
    data = {name: _contents(folder / name) for name in FILES_SHA256}
    images = [parse_idx(data[name], 3, str(folder / name)) for name in FILES_SHA256 if "images" in name]
    labels = [parse_idx(data[name], 1, str(folder / name)) for name in FILES_SHA256 if "labels" in name]
    fixed_test = np.zeros(len(images[0]) + len(images[1]), dtype=np.bool_)
    fixed_test[len(images[0]) :] = True
    return make_dataset(
        "fashion",
        np.concatenate(images)[:, None],
        np.concatenate(labels).astype(np.int64),
        CLASS_NAMES,
        _RULE,
        fixed_test,
    )


def _contents(path: Path) -> bytes:
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error), "it cannot be unpacked") from error
    seen = sha256_bytes(data)
    if seen != FILES_SHA256[path.name]:
        raise _damaged(path, seen, f"its contents must have SHA-256 {FILES_SHA256[path.name]}")
    return data


def _damaged(path: Path, value: str, why: str) -> DataError:
    return DataError("DAT02", f"{path} is damaged", value=value, why=why, fix="delete it and let it be fetched again")


def fetch(target: Path, page: str = PAGE) -> Path:
    """Take the four files from Debian's package, or where that cannot be had from the authors' page, into ``target``.

    Raises:
        DataError: ``DAT01``: neither way leads there.
    """
    try:
        return fetch_package(target)
    except DataError as failure:
        if failure.code != "DAT01":
            raise
        try:
            return fetch_files(target, page)
        except DataError as other:
            raise _unavailable(f"{failure.why}; {other.value}: {other.why}") from other


def fetch_files(target: Path, page: str = PAGE) -> Path:
    """Download the four files, check what is in them, and move them into ``target`` when all are right.

    Raises:
        DataError: ``DAT15``: a download failed. ``DAT02``: a file holds something else.
    """
    with tempfile.TemporaryDirectory(prefix="mnas-fetch-") as temporary:
        work = Path(temporary)
        for name in FILES_SHA256:
            download(page + name, work / name, limits=Limits(max_bytes=_MOST_BYTES))
        return _adopt(work, target)


def _adopt(files: Path, target: Path) -> Path:
    """Check the four files of a folder and copy them."""
    for name in FILES_SHA256:
        _contents(files / name)
    for name in FILES_SHA256:
        write_bytes_atomic(target / name, (files / name).read_bytes())
    return target


def fetch_package(target: Path) -> Path:
    """Download Debian's package without installing it, check its files and move them into ``target``.

    Raises:
        DataError: ``DAT01``: there is no apt-get, or it failed; ``DAT02``: the package holds other files.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise _unavailable(f"there is no {tool} here")
    with tempfile.TemporaryDirectory(prefix="mnas-fetch-") as temporary:
        work = Path(temporary)
        _download(work)
        archives = sorted(work.glob("*.deb"))
        if not archives:
            raise _unavailable("apt-get download left no package")
        reason = _run(["dpkg-deb", "-x", str(archives[0]), str(work / "x")], work)
        if reason:
            raise _unavailable(f"dpkg-deb: {reason}")
        return _adopt(work / "x" / PACKAGE_FOLDER, target)


def _download(work: Path) -> None:
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    options = ["-o", "APT::Sandbox::User=root"] if is_root else []
    reason = _run(["apt-get", *options, "download", PACKAGE], work)
    if reason and is_root and not _run(["apt-get", *options, "update"], work):
        reason = _run(["apt-get", *options, "download", PACKAGE], work)
    if reason:
        raise _unavailable(f"apt-get download {PACKAGE}: {reason}")


def _run(command: list[str], work: Path) -> str:
    """Run a command and return why it failed, or an empty text."""
    try:
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit status {done.returncode}")


def _unavailable(why: str) -> DataError:
    places = f"$MNAS_DATA, /{PACKAGE_FOLDER} and {cache_folder()}"
    return DataError(
        "DAT01",
        "Fashion-MNIST is not on this machine and could not be fetched",
        value=f"looked in {places}",
        why=why,
        fix=f"install Debian's {PACKAGE}, or set MNAS_DATA to a folder with the four idx files, or use --data digits",
    )
