"""Where this machine keeps what every project and process must see of a phone: leases, journals, quarantines."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mnas.errors import StateError
from mnas.jsonio import sha256_text

VARIABLE = "MNAS_STATE"


def state_folder() -> Path:
    """Return the folder, ``$MNAS_STATE`` or the platform's own for the state of programs of this user."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    from platformdirs import user_state_dir

    return Path(user_state_dir("mnas"))


def state_file(kind: str, serialno: str, suffix: str, folder: Path | None = None) -> Path:
    """Return the file of a phone, with its folder made.

    A serial may hold any character, so the name is its harmless part and a hash.

    Args:
        kind: ``leases``, ``activities``, ``journals``, ``quarantine``, or ``ways`` by transport.
        serialno: The phone's own serial.
        suffix: E.g. ``.json``.
        folder: The state folder, for tests.

    Raises:
        StateError: ``ADB38``: the folder cannot be made.
    """
    harmless = re.sub(r"[^A-Za-z0-9_.-]", "_", serialno)[:40].lstrip(".")
    place = (folder or state_folder()) / "phones" / kind
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(place, error) from error
    return place / f"{harmless}-{sha256_text(serialno)[:8]}{suffix}"


def not_writable(path: Path, error: OSError) -> StateError:
    """Return the error for a file of the state folder that cannot be written."""
    return StateError(
        "ADB38",
        "the state of phones cannot be kept",
        value=str(path),
        why=f"{error.strerror or error}; without it two programs might use one phone at once, and settings that were "
        "changed could not be put back",
        fix=f"make the folder writable, or name another one in ${VARIABLE}",
    )
