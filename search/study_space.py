"""The space of a study: a preset by its name, or a user's own, whose definition the study keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mnas.config import StudyConfig
from mnas.errors import ConfigError, SpaceError
from mnas.jsonio import sha256_json
from mnas.spaces.checked import checked_space
from mnas.spaces.presets import chosen_space
from mnas.spaces.staged import StagedSpace
from mnas.spaces.toml_file import (
    definition_from_json,
    definition_sha256,
    definition_to_json,
    is_space_file,
    own_definition,
    read_space,
)
from search.events import EventLog

if TYPE_CHECKING:
    from search.context import StudyContext


def study_space(log: EventLog, config: StudyConfig) -> StagedSpace:
    """Return the space that a study began with; the file of a user's own need not be there any more.

    Raises:
        ConfigError: ``CFG03``: the file defines another space now.
        SpaceError: No such space, or the file is wrong.
    """
    known = log.payload("space")
    if known is None:
        return chosen_space(config.space, config.preset)
    kept = definition_from_json(known["definition"])
    file = Path(config.space)
    if is_space_file(config.space) and file.exists():
        now = definition_to_json(read_space(file).definition)
        if now != definition_to_json(kept):
            raise ConfigError(
                "CFG03",
                "the file of the study's space has changed since it began",
                value=f"{file}: study {known['sha256'][:12]}, now {sha256_json(now)[:12]}",
                why="genomes and accuracies of one space mean nothing in another",
                fix="restore the file or move it away, or start a new study without --resume",
            )
    return checked_space(kept)


def keep_space(context: StudyContext) -> None:
    """Record the definition of a user's own space when the study begins."""
    definition = own_definition(context.space)
    if definition is not None:
        context.log.append("space", {"definition": definition, "sha256": sha256_json(definition)})


def space_sha256(log: EventLog, config: StudyConfig) -> str:
    """Return the SHA-256 of the definition of a study's space; "" where there is no telling."""
    known = log.payload("space")
    if known is not None:
        return str(known["sha256"])
    try:
        return definition_sha256(chosen_space(config.space, config.preset).definition)
    except SpaceError:  # a file that is gone, or a preset of another version
        return ""
