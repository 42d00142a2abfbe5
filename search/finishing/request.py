"""Which networks are to be trained to the end, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnas.architecture import Architecture
from mnas.errors import ConfigError
from mnas.export.metadata import ID_LENGTH
from mnas.export.source import ARCHITECTURE_NAME, find_source
from mnas.jsonio import sha256_json
from mnas.reading import is_architecture_file, is_there, read_writable
from mnas.seeding import derive_seed
from search.accuracy.jobs import TrainingJob
from search.data.dataset import Dataset
from search.training.schedule import TrainingSchedule

SPLITS = ("val", "test")
"""Val chooses the weights that are exported; test is only told."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A network that is to be trained.

    Attributes:
        name: What a person calls it.
        architecture: The network.
    """

    name: str
    architecture: Architecture


@dataclass(frozen=True, eq=False)
class FinishRequest:
    """What is asked for.

    Attributes:
        networks: To be trained, each on every seed.
        dataset_name: As `search.data.registry` knows it: of a folder of images its path, not its own name.
        dataset: To train on.
        dataset_folder: Where its files lie; None for the usual places.
        schedule: How.
        seeds: Trainings of each network.
        seed: Of everything random.
        teacher: As `search.training.teacher.open_teacher` knows it; empty without.
        teacher_fingerprint: Of its file.
        has_int8: Whether files of 8-bit integers are written as well.
    """

    networks: tuple[Chosen, ...]
    dataset_name: str
    dataset: Dataset
    dataset_folder: str | None
    schedule: TrainingSchedule
    seeds: int
    seed: int = 0
    teacher: str = ""
    teacher_fingerprint: str = ""
    has_int8: bool = False

    def key(self, network: Chosen) -> str:
        """Return ten digits of what a training depends on besides its repeat: another key, another training."""
        parts = [network.architecture.arch_id, self.dataset.fingerprint, self.schedule.fidelity, self.seed]
        return sha256_json([*parts, self.teacher_fingerprint])[:10]

    def job(self, network: Chosen, repeat: int, weights: Path) -> TrainingJob:
        """Return one training, whose weights go to a file; an interrupted one is kept beside it."""
        return TrainingJob(
            architecture_json=network.architecture.to_json(),
            dataset_name=self.dataset_name,
            dataset_folder=self.dataset_folder,
            schedule=self.schedule,
            study_seed=derive_seed(self.seed, "finish"),
            repeat=repeat,
            evaluate_splits=SPLITS,
            keep_weights_path=str(weights),
            checkpoint_path=str(weights.with_suffix(".part")),
            teacher=self.teacher,
            fingerprint=self.dataset.fingerprint,
        )


def chosen_networks(asked: Sequence[str], px: int | None, classes: int) -> tuple[Chosen, ...]:
    """Return the networks that a person means, each once.

    Args:
        asked: Named networks, architecture files, export folders, or folders of these, as of ``mnas study export``.
        px: Pixels of named networks.
        classes: Of the data set: outputs of named networks.

    Raises:
        ConfigError: ``CFG47``: a folder holds no network.
        ExportError: ``EXP30``: nothing of that name.
        ArchitectureError: As `mnas.reading.read_writable`: a file is no architecture, or one that nothing could train.
    """
    found: dict[str, Chosen] = {}
    for words in asked:
        for one in _networks_of(words, px, classes):
            found.setdefault(one.architecture.arch_id, one)
    return tuple(found.values())


def _networks_of(words: str, px: int | None, classes: int) -> list[Chosen]:
    path = Path(words)
    if is_there(path) and path.is_dir():
        files = [path / ARCHITECTURE_NAME] if (path / ARCHITECTURE_NAME).is_file() else _files_below(path)
        architectures = [read_writable(file) for file in files]
        return [Chosen(one.arch_id[:ID_LENGTH], one) for one in architectures]
    is_file = is_there(path) or is_architecture_file(path) or path.suffix.lower() == ".pt"
    source = find_source(words, None, None if is_file else px, None if is_file else classes)
    return [Chosen(source.name, source.architecture)]


def _files_below(folder: Path) -> list[Path]:
    found = sorted(folder.glob(f"*/{ARCHITECTURE_NAME}"))
    if not found:
        raise ConfigError(
            "CFG47",
            "the folder holds no network",
            value=str(folder),
            why=f"there is no {ARCHITECTURE_NAME} in it, nor in a folder in it",
            fix="name the folder that mnas study export wrote, or one of a study's exports",
        )
    return found
