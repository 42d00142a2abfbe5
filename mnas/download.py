"""A download that is whole or not there: bounded in size and time, hashed as it comes."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_CHUNK_BYTES = 1 << 18
Progress = Callable[[int, int], None]
"""Takes bytes that have come and bytes in all, 0 where the server does not tell."""


class DownloadFailedError(Exception):
    """A file did not come whole; callers make an error of their own of it.

    Attributes:
        why: In words.
        fix: Likewise; "" where there is none but to try again.
    """

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why, self.fix = why, fix


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may take.

    Attributes:
        max_bytes: The most.
        timeout_s: The longest silence.
        deadline_s: The longest time in all.
    """

    max_bytes: int = 512 << 20
    timeout_s: float = 30.0
    deadline_s: float = 1800.0


def download(url: str, target: Path, limits: Limits | None = None, progress: Progress | None = None) -> str:
    """Download a file; where that fails the target is not there.

    Args:
        url: ``http`` or ``https``.
        target: File to write; its folder is made.
        limits: On size and time.
        progress: Is told after each piece.

    Returns:
        SHA-256 of the content.

    Raises:
        DownloadFailedError: It did not come whole.
    """
    limits = limits or Limits()
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("it must start with https://")
        target.parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(url, headers={"User-Agent": "mnas", "Accept-Encoding": "identity"})
        with urllib.request.urlopen(request, timeout=limits.timeout_s) as response:
            return _take(response, target, limits, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailedError(f"the server says {error.code} {error.reason}", "check the address") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        raise DownloadFailedError(f"{type(cause).__name__}: {cause}") from error
    finally:
        partial = _partial(target)
        partial.unlink(missing_ok=True)


def _take(response: http.client.HTTPResponse, target: Path, limits: Limits, progress: Progress | None) -> str:
    max_bytes, ends = limits.max_bytes, time.monotonic() + limits.deadline_s
    total = int(response.headers.get("Content-Length") or 0)
    if total > max_bytes:
        raise _too_large(f"{total} bytes, ", max_bytes)
    digest, done, partial = hashlib.sha256(), 0, _partial(target)
    with partial.open("wb") as file:
        while piece := response.read1(_CHUNK_BYTES):
            done += len(piece)
            if done > max_bytes:
                raise _too_large("", max_bytes)
            if time.monotonic() > ends:
                raise DownloadFailedError(f"only {done} of {total or '?'} bytes came in time")
            file.write(piece)
            digest.update(piece)
            if progress:
                progress(done, total)
    if total and done != total:
        raise DownloadFailedError(f"the connection ended after {done} of {total} bytes")
    partial.replace(target)
    return digest.hexdigest()


def _too_large(seen: str, max_bytes: int) -> DownloadFailedError:
    return DownloadFailedError(f"it has {seen}more than the {max_bytes} bytes that are allowed", "check the address")


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".part")
