"""A file of a data set from the network: of the expected content, or not there."""

from __future__ import annotations

from pathlib import Path

from mnas.download import DownloadFailedError, Limits
from mnas.download import download as download_file
from mnas.errors import DataError


def download(url: str, target: Path, sha256: str = "", limits: Limits | None = None) -> None:
    """Download a file and check it; where that fails the target is not there.

    Args:
        url: ``http`` or ``https``.
        target: File to write; its folder is made.
        sha256: That the content must have; "" leaves the check to the caller.
        limits: On size and time.

    Raises:
        DataError: ``DAT15``: it did not come whole, or is another file.
    """
    fresh = target.with_name(f".{target.name}.new")
    try:
        seen = download_file(url, fresh, limits)
        if sha256 and seen != sha256:
            raise DownloadFailedError(f"its SHA-256 is {seen} and must be {sha256}")
        fresh.replace(target)
    except DownloadFailedError as failure:
        fix = "try again, or download it by other means and name its folder with --data-dir"
        raise DataError("DAT15", "the download failed", value=url, why=failure.why, fix=fix) from failure
    finally:
        fresh.unlink(missing_ok=True)
