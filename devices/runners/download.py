"""Downloads of runners."""

from __future__ import annotations

from pathlib import Path

from mnas.download import DownloadFailedError, Limits, Progress
from mnas.download import download as download_file
from mnas.errors import DeviceError


def download(url: str, target: Path, limits: Limits | None = None, progress: Progress | None = None) -> str:
    """Download a file and return its SHA-256; where that fails the target is not there.

    Args:
        url: ``http`` or ``https``.
        target: File to write.
        limits: On size and time.
        progress: Is told after each piece.

    Raises:
        DeviceError: ``RNR19``: it did not come whole.
    """
    try:
        return download_file(url, target, limits, progress)
    except DownloadFailedError as failure:
        fix = "check name, ABI and version, or give the address with --url" if failure.fix else "try again"
        raise DeviceError("RNR19", "the download failed", value=url, why=failure.why, fix=fix) from failure
