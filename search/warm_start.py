"""Networks that a search begins with: named ones, an earlier front, an earlier study; kept in the study itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnas.architecture import Architecture
from mnas.errors import ArchitectureError, ConfigError, MnasError, SpaceError, StudyError
from mnas.named_networks import NAMED_NETWORKS
from mnas.reading import architecture_from_json, is_there, read_architecture
from mnas.space import Genome
from mnas.spaces.staged import StagedSpace
from search.context import StudyContext
from search.events import EventLog
from search.pareto import front_indices
from search.result import load_result
from search.study_space import study_space

EVENT = "warm start"
_FRONT_SCHEMA = "mnas.front/1"


@dataclass(frozen=True, slots=True)
class _Proposed:
    name: str
    architectures: tuple[Architecture, ...]


def warm_genomes(context: StudyContext) -> list[Genome]:
    """Return the genomes that the study begins with, each once, in the order in which they were given.

    What is found is kept in the log, so that a resumed study needs neither the files nor the other study.

    Raises:
        ConfigError: ``CFG70``: a source cannot be read, or has no network of the space; the message says why.
    """
    known = context.log.payload(EVENT)
    if known is None:
        if not context.config.warm_start:
            return []
        known = _gathered(context)
        context.log.append(EVENT, known)
    return [tuple(member["genome"]) for member in known["members"]]


def _gathered(context: StudyContext) -> dict[str, list[dict[str, Any]]]:
    members: dict[Genome, dict[str, Any]] = {}
    refused: list[dict[str, Any]] = []
    for source in context.config.warm_start:
        found = 0
        reasons: list[str] = []
        for proposed in _proposed(context, source):
            try:
                genome = _genome(context, proposed)
            except SpaceError as error:
                reasons.append(f"{proposed.name}: {error}")
                continue
            found += 1
            members.setdefault(genome, {"source": source, "name": proposed.name, "genome": list(genome)})
        if not found:
            raise _refused(source, "; ".join(reasons) or "it holds no network")
        for reason in reasons:
            context.reporter.warn(f"warm start {source}: left out {reason}")
        refused += [{"source": source, "reason": reason} for reason in reasons]
    context.reporter.line(f"warm start with {len(members)} networks of {', '.join(context.config.warm_start)}")
    return {"members": list(members.values()), "refused": refused}


def _genome(context: StudyContext, proposed: _Proposed) -> Genome:
    """Return the genome of the first of a network's forms that is in the space.

    Raises:
        SpaceError: None of them is.
    """
    failure: SpaceError | None = None
    for architecture in proposed.architectures:
        try:
            return context.space.encode(architecture)
        except SpaceError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _proposed(context: StudyContext, source: str) -> Iterator[_Proposed]:
    """Yield the networks of a source: an architecture, a front, or a study of this store."""
    try:
        if source in NAMED_NETWORKS:
            yield _Proposed(source, _named(context, source))
        elif Path(source).suffix.lower() == ".json" and _is_front(Path(source)):
            yield from _front(Path(source))
        elif source.startswith("study") and not Path(source).suffix:
            yield from _study(context, source)
        else:
            yield _Proposed(source, (read_architecture(source),))
    except (ArchitectureError, StudyError, OSError, ValueError, KeyError) as error:
        raise _refused(source, str(error)) from error


def _named(context: StudyContext, name: str) -> tuple[Architecture, ...]:
    """Return a named network at every resolution of the space."""
    smallest, largest = (context.space.decode(genome) for genome in context.space.extremes())
    sides: tuple[int, ...] = (largest.input_shape_chw[1],)
    if isinstance(context.space, StagedSpace):
        sides = context.space.definition.resolutions_px
    return tuple(NAMED_NETWORKS[name](px, smallest.classes) for px in sides)


def _is_front(path: Path) -> bool:
    if not is_there(path) or not path.is_file():  # a pipe would keep the reader waiting; the reader tells of it
        return False
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("schema") == _FRONT_SCHEMA


def _front(path: Path) -> Iterator[_Proposed]:
    for member in json.loads(path.read_text(encoding="utf-8-sig"))["members"]:
        if member["export"] is not None:
            text = (path.parent / member["export"] / "architecture.json").read_text(encoding="utf-8")
            yield _Proposed(member["arch_id"][:12], (architecture_from_json(text),))


def _study(context: StudyContext, study_id: str) -> Iterator[_Proposed]:
    """Yield the front of the candidates of a study, by what they were ranked by."""
    result = load_result(context.store, study_id)
    space = study_space(EventLog(context.store, result.study_id), result.config)
    done = [candidate for candidate in result.candidates if candidate.status == "done"]
    objectives = np.asarray([candidate.objectives for candidate in done])
    for place in front_indices(objectives) if done else []:
        yield _Proposed(done[place].arch_id[:12], (space.decode(done[place].genome),))


def _refused(source: str, why: str) -> MnasError:
    return ConfigError(
        "CFG70",
        "a search cannot begin with these networks",
        value=source,
        why=why,
        fix="name networks of the space, a front.json beside its exports, or a study of this output folder",
    )
