"""A download that is whole or not there: bounded in size and time, hashed as it comes."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from mnas.errors import DeviceError

MAX_BYTES = 512 << 20
_CHUNK_BYTES = 1 << 18
Progress = Callable[[int, int], None]
"""Takes bytes that have come and bytes in all, 0 where the server does not tell."""


def download(
    url: str,
    target: Path,
    *,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = 30.0,
    deadline_s: float = 900.0,
    progress: Progress | None = None,
) -> str:
    """Download a file; where that fails the target is not there.

    Args:
        url: ``http`` or ``https``.
        target: File to write; its folder is there.
        max_bytes: The most to take.
        timeout_s: The longest silence.
        deadline_s: The longest time in all.
        progress: Is told after each piece.

    Returns:
        SHA-256 of the content.

    Raises:
        DeviceError: ``RNR19``: it did not come whole.
    """
    ends = time.monotonic() + deadline_s
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("it must start with https://")
        request = urllib.request.Request(url, headers={"User-Agent": "mnas", "Accept-Encoding": "identity"})
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return _take(response, url, target, max_bytes, ends, progress)
    except urllib.error.HTTPError as error:
        error.close()
        why = f"the server says {error.code} {error.reason}"
        raise _failed(url, why, "check name, ABI and version, or give the address with --url") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        raise _failed(
            url, f"{type(cause).__name__}: {cause}", "try again; check the network and the address"
        ) from error
    finally:
        partial = _partial(target)
        partial.unlink(missing_ok=True)


def _take(
    response: http.client.HTTPResponse, url: str, target: Path, max_bytes: int, ends: float, progress: Progress | None
) -> str:
    total = int(response.headers.get("Content-Length") or 0)
    if total > max_bytes:
        raise _failed(url, f"it has {total} bytes, more than the {max_bytes} that are allowed", "check the address")
    digest, done, partial = hashlib.sha256(), 0, _partial(target)
    with partial.open("wb") as file:
        while piece := response.read1(_CHUNK_BYTES):
            done += len(piece)
            if done > max_bytes:
                raise _failed(url, f"it has more than the {max_bytes} bytes that are allowed", "check the address")
            if time.monotonic() > ends:
                raise _failed(url, f"only {done} of {total or '?'} bytes came in time", "try again")
            file.write(piece)
            digest.update(piece)
            if progress:
                progress(done, total)
    if total and done != total:
        raise _failed(url, f"the connection ended after {done} of {total} bytes", "try again")
    partial.replace(target)
    return digest.hexdigest()


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _failed(url: str, why: str, fix: str) -> DeviceError:
    return DeviceError("RNR19", "the download failed", value=url, why=why, fix=fix)
