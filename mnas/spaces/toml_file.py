"""A user's own space from a TOML file of the schema ``mnas.space/1``, read strictly, and written.

The file holds the fields of `mnas.spaces.definition.SpaceDefinition`, ``schema`` and, if wanted, a table ``[defaults]``
whose keys hold for every stage that does not set them itself. docs/spaces/ has examples.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mnas.errors import SpaceError
from mnas.jsonio import sha256_json, shown
from mnas.space import SearchSpace
from mnas.spaces.checked import checked_space
from mnas.spaces.definition import SCHEMA, BlockTemplate, SpaceDefinition, SqueezeDefinition, StageDefinition
from mnas.spaces.staged import StagedSpace
from mnas.toml_text import read_toml

USER = "user/"
"""Begins the name of every space that is not the project's own."""
_MOST_SHOWN = 5
_PARTS: dict[str, type[BaseModel]] = {
    "stem": BlockTemplate,
    "head": BlockTemplate,
    "stages": StageDefinition,
    "defaults": StageDefinition,
    "se": SqueezeDefinition,
}


def is_space_file(name: str) -> bool:
    """Return whether what was given for a space is a file and no family."""
    return Path(name).suffix.lower() == ".toml"


def read_space(path: Path) -> StagedSpace:
    """Return the space of a file; its name is ``user/`` and the file's own ``name``.

    Raises:
        SpaceError: ``SPC04``: it cannot be read, is no TOML, or has a wrong key or value; ``SPC10``: a choice cannot be
            built; ``SPC11``: too large. The message names the place in the file.
    """
    return checked_space(definition_from_json(_load(path), path.name))


def _load(path: Path) -> dict[str, Any]:
    try:
        found = read_toml(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error
    if not found:
        raise _unreadable(path, "it is empty")
    return found


def _unreadable(path: Path, why: str) -> SpaceError:
    fix = "correct the file, or name another; docs/spaces/ has examples"
    return SpaceError("SPC04", "the file of a space cannot be read", value=shown(str(path)), why=why, fix=fix)


def definition_from_json(values: object, source: str = "the definition") -> SpaceDefinition:
    """Return the definition that the contents of a file give, or a stored one.

    Args:
        values: As TOML or JSON hold it.
        source: Where it is from, for messages.

    Raises:
        SpaceError: ``SPC04``: a wrong key or value; the message names its place.
    """
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        seen = values.get("schema", "none") if isinstance(values, dict) else values
        raise _wrong(source, [f'schema: it must be "{SCHEMA}" (saw {shown(seen)})'])
    defaults = values.get("defaults", {})
    if not isinstance(defaults, dict):
        raise _wrong(source, ["defaults: it must be a table"])
    unknown = [_unknown(("defaults", key)) for key in defaults if key not in StageDefinition.model_fields]
    if unknown:
        raise _wrong(source, unknown)
    whole = {key: value for key, value in values.items() if key not in ("schema", "defaults")}
    whole["name"] = _own_name(source, values.get("name"))
    stages = values.get("stages")
    if isinstance(stages, list):
        whole["stages"] = [{**defaults, **stage} if isinstance(stage, dict) else stage for stage in stages]
    try:  # through JSON, for pydantic takes arrays for tuples there even where it is strict
        return SpaceDefinition.model_validate_json(json.dumps(whole, default=str), strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        raise _wrong(source, [_problem(dict(one), stages) for one in problems]) from error
    except (RecursionError, ValueError) as error:
        raise _wrong(source, ["the whole: it is nested too deeply"]) from error


def _own_name(source: str, name: object) -> str:
    """Return a user's name with the prefix that no family has."""
    own = name.removeprefix(USER) if isinstance(name, str) else ""
    if not own or "/" in own:
        raise _wrong(
            source, [f"name: it must be a word of small letters, digits, '.', '_' and '-' (saw {shown(name)})"]
        )
    return USER + own


def _wrong(source: str, problems: list[str]) -> SpaceError:
    told = list(dict.fromkeys(problems))
    more = [f"and {len(told) - _MOST_SHOWN} more"] if len(told) > _MOST_SHOWN else []
    return SpaceError(
        "SPC04",
        f"{shown(source)} is no definition of a space",
        value="; ".join([*told[:_MOST_SHOWN], *more]),
        why="every key must be known and within its range",
        fix="correct it; docs/spaces/ has examples",
    )


def _place(loc: tuple[int | str, ...]) -> str:
    """Return a place as it is written in the project, e.g. ``stages[1].kernels[0]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in loc).removeprefix(".")


def _unknown(loc: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = _PARTS.get(str(loc[0]), SpaceDefinition) if len(loc) > 1 else SpaceDefinition
    known = [*model.model_fields, *(("schema", "defaults") if model is SpaceDefinition else ())]
    near = get_close_matches(str(loc[-1])[:100], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{_place(loc)}: unknown key, {hint}"


def _problem(problem: dict[str, Any], stages: object) -> str:
    """Return one line of what pydantic found, at the place where it stands in the file."""
    loc: tuple[int | str, ...] = problem["loc"]
    if problem["type"] == "extra_forbidden":
        return _unknown(loc)
    if problem["type"] == "missing":
        return f"{_place(loc)}: it is missing"
    if len(loc) > 2 and loc[0] == "stages" and isinstance(stages, list) and loc[2] not in stages[int(loc[1])]:
        loc = ("defaults", *loc[2:])
    message = str(problem["msg"]).removeprefix("Value error, ")
    has_value = problem["type"] != "value_error" and not isinstance(problem["input"], dict)
    return f"{_place(loc) or 'the whole'}: {message}" + (f" (saw {shown(problem['input'])})" if has_value else "")


def definition_to_json(definition: SpaceDefinition) -> dict[str, Any]:
    """Return what `definition_from_json` reads back; defaults are left out."""
    return {"schema": SCHEMA, **definition.model_dump(mode="json", exclude_defaults=True)}


def definition_sha256(definition: SpaceDefinition) -> str:
    """Return the SHA-256 of a definition: equal ones span equal spaces, whatever file they are from."""
    return sha256_json(definition_to_json(definition))


def own_definition(space: SearchSpace) -> dict[str, Any] | None:
    """Return what must be kept beside the name of a user's own space to know it again; ``None`` for a preset."""
    if isinstance(space, StagedSpace) and space.name.startswith(USER):
        return definition_to_json(space.definition)
    return None


def space_to_toml(definition: SpaceDefinition) -> str:
    """Return a file that `read_space` reads; the space of a preset becomes a user's own.

    Args:
        definition: Of the space; of a name such as ``mnasnet/fashion`` the last part is kept.
    """
    values = definition_to_json(definition) | {"name": definition.name.rpartition("/")[2]}
    tables = {name: part for name, part in values.items() if name in _PARTS}
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if name not in tables]
    for name, part in tables.items():
        header = f"[[{name}]]" if isinstance(part, list) else f"[{name}]"
        for one in part if isinstance(part, list) else [part]:
            lines += ["", header, *(f"{key} = {_toml(value)}" for key, value in one.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a value as TOML; texts, numbers and truths are written there as in JSON."""
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)
