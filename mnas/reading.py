"""Reading an architecture from wherever a person has it: a name, a file, a text; checked before anything is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnas.architecture import Architecture
from mnas.archstring import from_text
from mnas.errors import ArchitectureError
from mnas.jsonio import shown
from mnas.layers import layers_of
from mnas.limits import MOST_BLOCKS, absurd, require_holdable, require_writable
from mnas.named_networks import NAMED_NETWORKS, named_network

MOST_BYTES = 1 << 23
_PX, _CLASSES = 224, 1000
_TEXT_SUFFIXES = (".arch", ".txt")
SUFFIXES = (".json", *_TEXT_SUFFIXES)
"""Of files that describe a network, in small letters."""


def read_architecture(text_or_path: str | Path, px: int | None = None, classes: int | None = None) -> Architecture:
    """Return the architecture that is meant.

    Args:
        text_or_path: Name of a network; path of an architecture.json or of a text file (``.arch``, ``.txt``); or the
            text form itself, which begins with ``input`` and has several parts.
        px: Side of a named network's input, 224 unless given; anything else says its own.
        classes: Of a named network, 1000 unless given.

    Raises:
        ArchitectureError: ``ARC01`` a wrong field, ``ARC02`` blocks that do not fit together, ``ARC03`` no such
            network, ``ARC04`` a file that cannot be read, is no JSON or too large, or a size that was given beside it,
            ``ARC05`` a wrong text, ``ARC06`` a network of absurd size; the message names the place.
    """
    text = str(text_or_path)
    if isinstance(text_or_path, str) and _is_text_form(text):
        architecture, source = require_buildable(from_text(text)), "a text"
    elif text not in NAMED_NETWORKS and (suffix := Path(text).suffix.lower()) in SUFFIXES:
        read = architecture_from_json if suffix == ".json" else _architecture_from_text
        architecture, source = _read_file(Path(text), read), Path(text).name
    elif text in NAMED_NETWORKS or not is_there(Path(text)):
        return require_buildable(
            named_network(text, _PX if px is None else px, _CLASSES if classes is None else classes)
        )
    else:
        raise _unreadable(text or "nothing", "a file is told by its name: .json, .arch or .txt")
    _require_sizes(architecture, px, classes, source)
    return architecture


def read_writable(text_or_path: str | Path, px: int | None = None, classes: int | None = None) -> Architecture:
    """Return the architecture that is meant, for whoever writes or trains it; arguments as for `read_architecture`.

    Raises:
        ArchitectureError: As `read_architecture`; ``ARC06`` also where no model file could hold the network.
    """
    architecture = read_architecture(text_or_path, px, classes)
    require_writable(layers_of(architecture))
    return architecture


def is_architecture_file(path: Path) -> bool:
    """Whether a path is that of a description of a network, by its name."""
    return path.suffix.lower() in SUFFIXES


def _is_text_form(text: str) -> bool:
    """Whether a string is the text form, not a name or a path; it has several parts, whatever else is wrong."""
    return "\n" in text or ";" in text or text.split(maxsplit=1)[:1] == ["input"]


def is_there(path: Path) -> bool:
    """Whether something has this path; what is longer than a name may be, or holds a zero, has not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _unreadable(place: str, why: str, fix: str = "correct the file, or name another") -> ArchitectureError:
    return ArchitectureError("ARC04", "the architecture cannot be read", value=shown(place), why=why, fix=fix)


def _read_file(path: Path, read: Callable[[str], Architecture]) -> Architecture:
    """Read a file; whatever is wrong in it is told with the file's name."""
    try:
        if path.exists() and not path.is_file():
            raise _unreadable(str(path), "it is no file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _unreadable(str(path), f"it is larger than {MOST_BYTES:,} bytes, which no architecture is")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(
            str(path), f"it is no text in UTF-8: byte {error.start} is {data[error.start]:#04x}"
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), getattr(error, "strerror", None) or str(error)) from error
    try:
        return read(text)
    except ArchitectureError as error:
        what = f"{shown(path.name)}: {error.what}"
        raise ArchitectureError(error.code, what, value=error.value, why=error.why, fix=error.fix) from error


def _architecture_from_text(text: str) -> Architecture:
    return require_buildable(from_text(text))


def architecture_from_json(text: str) -> Architecture:
    """Read the text of an architecture.json, and check that it can be built.

    Raises:
        ArchitectureError: ``ARC04`` no JSON, ``ARC01`` a wrong field, ``ARC02`` blocks that do not fit, ``ARC06``
            absurd size; the message names the place.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}: {error.msg}"
        seen = text[error.pos : error.pos + 20] or "the end of the text"
        raise ArchitectureError("ARC04", "it is no JSON", value=shown(seen), why=at, fix="correct it there") from error
    except (ValueError, RecursionError) as error:
        why = "a number has too many digits" if isinstance(error, ValueError) else "brackets are nested too deeply"
        raise ArchitectureError("ARC04", "no JSON of an architecture", value="the whole", why=why) from error
    return require_buildable(Architecture.from_json(value))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON; of a key that is there twice, the second is renamed, and so refused in its place."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[f"{name} (twice)" if name in found else name] = value
    return found


def require_buildable(architecture: Architecture) -> Architecture:
    """Return an architecture whose blocks fit together, and whose size a machine may have memory for.

    Raises:
        ArchitectureError: ``ARC02``: a layer does not fit its input. ``ARC06``: too many blocks, parameters or
            features; the message names the number and the layer.
    """
    blocks = len(architecture.blocks)
    if blocks > MOST_BLOCKS:
        raise absurd("stages: too many blocks", blocks, MOST_BLOCKS)
    require_holdable(layers_of(architecture))
    return architecture


def _require_sizes(architecture: Architecture, px: int | None, classes: int | None, source: str) -> None:
    own = {"px": architecture.input_shape_chw[1], "classes": architecture.classes}
    for name, wanted in (("px", px), ("classes", classes)):
        if wanted is not None and wanted != own[name]:
            why = f"it has {name} {own[name]} of its own, and only a named network takes another"
            raise _unreadable(f"{name} {wanted} for {source}", why, f"leave {name} out, or change the file")
