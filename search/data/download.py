"""A file of a data set from the network: whole and of the expected content, or not there."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from mnas.errors import DataError

MAX_BYTES = 512 << 20
_CHUNK_BYTES = 1 << 18


def download(
    url: str,
    target: Path,
    sha256: str = "",
    *,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = 30.0,
    deadline_s: float = 1800.0,
) -> None:
    """Download a file and check it; where that fails the target is not there.

    Args:
        url: ``http`` or ``https``.
        target: File to write; its folder is made.
        sha256: That the content must have; "" leaves the check to the caller.
        max_bytes: The most to take.
        timeout_s: The longest silence.
        deadline_s: The longest time in all.

    Raises:
        DataError: ``DAT15``: it did not come whole, or is another file.
    """
    partial = target.with_name(f".{target.name}.part")
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("an address starts with https://")
        target.parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(url, headers={"User-Agent": "mnas", "Accept-Encoding": "identity"})
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            seen = _take(response, url, partial, max_bytes, time.monotonic() + deadline_s)
        if sha256 and seen != sha256:
            raise _failed(url, f"its SHA-256 is {seen} and must be {sha256}", "the file there is another one")
        partial.replace(target)
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(url, f"the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(url, f"{type(error).__name__}: {getattr(error, 'reason', error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def _take(response: http.client.HTTPResponse, url: str, partial: Path, max_bytes: int, ends: float) -> str:
    """Write what comes and return its SHA-256."""
    total = int(response.headers.get("Content-Length") or 0)
    digest, done = hashlib.sha256(), 0
    with partial.open("wb") as file:
        while piece := response.read1(_CHUNK_BYTES):
            done += len(piece)
            if max(done, total) > max_bytes:
                raise _failed(url, f"it has more than the {max_bytes} bytes that are allowed")
            if time.monotonic() > ends:
                raise _failed(url, f"only {done} of {total or '?'} bytes came in time")
            file.write(piece)
            digest.update(piece)
    if total and done != total:
        raise _failed(url, f"the connection ended after {done} of {total} bytes")
    return digest.hexdigest()


def _failed(url: str, why: str, fix: str = "") -> DataError:
    fix = fix or "try again, or download it by other means and name its folder with --data-dir"
    return DataError("DAT15", "the download failed", value=url, why=why, fix=fix)
