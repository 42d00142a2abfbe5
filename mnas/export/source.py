"""What is to be exported: a named network, an architecture, weights, or the export folder of a study."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnas.architecture import Architecture
from mnas.errors import ConfigError, ExportError
from mnas.export.metadata import ID_LENGTH
from mnas.modules import LayerModule, build_module
from mnas.named_networks import NAMED_NETWORKS
from mnas.reading import is_architecture_file, is_there, read_writable

ARCHITECTURE_NAME, WEIGHTS_NAME, CARD_NAME = "architecture.json", "weights.pt", "card.json"


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A network with its weights.

    Attributes:
        name: What its files are called without their suffix: that of a named network, else digits of the arch_id.
        architecture: The network.
        weights: The file of its weights; ``None`` where they are random.
        preprocessing: Of its images, from ``card.json``; ``None`` where it is not known.
        class_labels: Of its outputs in order, from there too; empty where they are not known.
    """

    name: str
    architecture: Architecture
    weights: Path | None = None
    preprocessing: Mapping[str, Any] | None = None
    class_labels: tuple[str, ...] = ()

    def module(self, seed: int) -> LayerModule:
        """Return the torch module, in evaluation mode; random weights get batch norm statistics that fit them.

        Raises:
            ExportError: ``EXP09``, ``EXP10``: the weights cannot be read, or are of another network.
            ArchitectureError: A block does not fit the one before it.
        """
        if self.weights is not None:
            from mnas.export.weights_file import load_weights

            return load_weights(self.architecture, self.weights)
        from mnas.export.parity import settle_batch_norm

        module = build_module(self.architecture, seed=seed)
        settle_batch_norm(module, self.architecture.input_shape_chw, seed)
        return module.eval()


def find_source(asked: str, architecture: Path | None, px: int | None, classes: int | None) -> ExportSource:
    """Return what a person means.

    Args:
        asked: A named network, an ``architecture.json`` or its text form in a file, a ``weights.pt``, or a folder that
            holds weights and architecture.
        architecture: Of the weights, where it is not beside them.
        px: Pixels of a named network's input.
        classes: Outputs of a named network.

    Raises:
        ExportError: ``EXP30``: nothing of that name.
        ArchitectureError: As `mnas.reading.read_writable`: a file is no architecture, or no model file could hold it.
        ConfigError: ``CFG30``: an option that does not go with this source.
    """
    path = Path(asked)
    is_named = asked in NAMED_NETWORKS
    if not is_named and (px is not None or classes is not None):
        raise _misplaced("--px and --classes", asked, "they are of a named network; a file has its own")
    is_description = is_architecture_file(path)
    if is_named or not (is_there(path) or is_description or path.suffix.lower() == ".pt"):
        if architecture is not None:
            raise _misplaced("--architecture", asked, "it goes with weights")
        return _named(asked, px or 224, classes or 1000)
    if is_there(path) and path.is_dir():
        return _folder(path, architecture)
    if is_description:
        if architecture is not None:
            raise _misplaced("--architecture", asked, "it goes with weights")
        found = read_writable(path)
        return ExportSource(found.arch_id[:ID_LENGTH], found)
    return _weights(path, architecture)


def _named(asked: str, px: int, classes: int) -> ExportSource:
    if asked not in NAMED_NETWORKS:
        raise ExportError(
            "EXP30",
            "there is no such network, file or folder",
            value=asked,
            why=f"named networks are {', '.join(NAMED_NETWORKS)}",
            fix="name one of them, an architecture.json, a weights.pt or an export folder",
        )
    return ExportSource(asked, read_writable(asked, px, classes))


def _folder(folder: Path, architecture: Path | None) -> ExportSource:
    if not (folder / WEIGHTS_NAME).is_file():
        raise ExportError(
            "EXP30",
            "the folder is no export of a network",
            value=os.fspath(folder),
            why=f"it holds no {WEIGHTS_NAME}",
            fix="name a folder below the exports of a study, or a file in it",
        )
    return _weights(folder / WEIGHTS_NAME, architecture)


def _weights(path: Path, architecture: Path | None) -> ExportSource:
    """Return weights with their architecture, and with the preprocessing on a card beside them."""
    if not is_there(path) or not path.is_file():
        raise ExportError(
            "EXP09", "the weights cannot be read", value=os.fspath(path), why="no such file", fix="name another file"
        )
    beside = path.parent / ARCHITECTURE_NAME
    if architecture is None and not beside.is_file():
        raise ExportError(
            "EXP30",
            "the architecture of the weights is not known",
            value=os.fspath(path),
            why=f"there is no {ARCHITECTURE_NAME} beside them",
            fix="name it with --architecture",
        )
    found = read_writable(architecture or beside)
    card = _card(path.parent / CARD_NAME, found)
    preprocessing, labels = card.get("preprocessing"), card.get("class_labels")
    is_each_named = isinstance(labels, list) and len(labels) == found.classes and {str} == {type(one) for one in labels}
    return ExportSource(
        found.arch_id[:ID_LENGTH],
        found,
        path,
        preprocessing if isinstance(preprocessing, dict) else None,
        tuple(labels) if isinstance(labels, list) and is_each_named else (),
    )


def _card(card: Path, architecture: Architecture) -> Mapping[str, Any]:
    """Return the card of this very network; one that is missing or damaged tells nothing."""
    if not card.is_file():  # a pipe would keep the reader waiting
        return {}
    try:
        document = json.loads(card.read_text(encoding="utf-8"))
        is_its = isinstance(document, dict) and document.get("arch_id") == architecture.arch_id
    except (OSError, ValueError, RecursionError):
        return {}
    return document if is_its else {}


def _misplaced(option: str, asked: str, why: str) -> ConfigError:
    return ConfigError("CFG30", f"{option} cannot be used here", value=asked, why=why, fix="leave it out")
