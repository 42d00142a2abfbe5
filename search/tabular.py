"""Search on an exact table: every network's objectives are known, so that algorithms can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import moocore
import numpy as np
import numpy.typing as npt

from mnas.errors import DataError, SpaceError
from mnas.space import Genome
from mnas.spaces.operators import GenomeMoves
from search.table_file import Label, TableRow, read_table
from search.table_objective import FloatArray, TableObjective


class TabularProblem(GenomeMoves):
    """The networks of a table as a space, and what each is worth.

    Choices of a gene are the labels that occur, numbers in order before words, so that a genome counts them from 0.
    A table may lack combinations: the canonical genome of one that it lacks is the nearest one that it has. Whatever
    the order of its rows, a table gives the same problem.

    Args:
        name: Of the table.
        gene_names: A name for each gene.
        objectives: What is minimised and maximised; the last is the cheap one, that an algorithm may ask for freely.
        rows: One or more.

    Attributes:
        name: Of the table.
        objectives: What is minimised and maximised.
        choices: Labels of each gene.

    Raises:
        DataError: ``TAB05``: a network stands there twice; ``TAB02``: there is nothing to choose.
    """

    def __init__(
        self, name: str, gene_names: Sequence[str], objectives: Sequence[TableObjective], rows: Sequence[TableRow]
    ) -> None:
        self.name = name
        self.objectives = tuple(objectives)
        self.choices = tuple(_choices(column) for column in zip(*(row.labels for row in rows), strict=True))
        self._gene_names = tuple(gene_names)
        codes = [{label: code for code, label in enumerate(labels)} for labels in self.choices]
        genomes = [tuple(code[one] for code, one in zip(codes, row.labels, strict=True)) for row in rows]
        _require_distinct(genomes, rows)
        order = sorted(range(len(rows)), key=genomes.__getitem__)
        self._genomes = [genomes[place] for place in order]
        self._number = {genome: number for number, genome in enumerate(self._genomes)}
        self._matrix = np.asarray(self._genomes, dtype=np.int64)
        self._values = np.asarray([rows[place].values for place in order], dtype=float)
        self._minimised = np.stack(
            [one.minimised(column) for one, column in zip(self.objectives, self._values.T, strict=True)], axis=1
        )

    @classmethod
    def read(cls, path: Path, objectives: Sequence[TableObjective], genes: Sequence[str] = ()) -> Self:
        """Read a table from a CSV or JSON file.

        Args:
            path: The file.
            objectives: Of `search.table_objective.parse_objectives`.
            genes: Columns of genes; see `search.table_file.read_table`.

        Raises:
            DataError: ``TAB01`` to ``TAB05``: the table is wrong; the message names the place.
        """
        names, rows = read_table(path, [one.name for one in objectives], genes)
        return cls(path.stem, names, objectives, rows)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of choices of each gene."""
        return tuple(len(labels) for labels in self.choices)

    @property
    def gene_names(self) -> tuple[str, ...]:
        """A name for each gene."""
        return self._gene_names

    def size(self) -> int:
        """Return how many networks the table has."""
        return len(self._genomes)

    def unrank(self, number: int) -> Genome:
        """Return the genome of one of the networks ``0 .. size - 1``, in the order of genomes.

        Raises:
            SpaceError: ``SPC02``: there are not so many.
        """
        if not 0 <= number < self.size():
            raise self._refused(number, f"it holds {self.size()} networks")
        return self._genomes[number]

    def draw(self, rng: np.random.Generator) -> Genome:
        """Draw a network of the table, each as likely as any other."""
        return self._genomes[int(rng.integers(self.size()))]

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome itself where the table has it, else the nearest one: least sum of steps, then the first.

        Raises:
            SpaceError: ``SPC02``: wrong length or a choice out of range.
        """
        if genome in self._number:
            return genome
        codes, top = np.asarray(genome), np.asarray(self.cardinalities)
        if codes.shape != top.shape or (codes < 0).any() or (codes >= top).any():
            raise self._refused(genome, f"each needs {len(top)} genes below {tuple(top.tolist())}")
        return self._genomes[int(np.abs(self._matrix - codes).sum(axis=1).argmin())]

    def values(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the objectives as the file has them, ``(n, m)``.

        Raises:
            SpaceError: ``SPC02``: the table has no such network.
        """
        return np.asarray(self._values[self._rows(genomes)])

    def minimised(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the objectives as something to minimise, ``(n, m)``; see `TableObjective.minimised`.

        Raises:
            SpaceError: ``SPC02``: the table has no such network.
        """
        return np.asarray(self._minimised[self._rows(genomes)])

    def cheap(self, genomes: Sequence[Genome]) -> FloatArray:
        """Return the last objective, minimised, ``(n,)``: what may be known of any network before it is evaluated.

        Raises:
            SpaceError: ``SPC02``: the table has no such network.
        """
        return np.asarray(self._minimised[self._rows(genomes), -1])

    def reference_point(self) -> tuple[float, ...]:
        """Return the worst of each objective, minimised."""
        return tuple(float(worst) for worst in self._minimised.max(axis=0))

    def true_front(self) -> FloatArray:
        """Return the distinct non-dominated points of the whole table, minimised, ``(k, m)``."""
        points = np.unique(self._minimised, axis=0)
        return np.asarray(points[moocore.is_nondominated(points)])

    def _rows(self, genomes: Sequence[Genome]) -> npt.NDArray[np.int64]:
        missing = [genome for genome in genomes if genome not in self._number]
        if missing:
            raise self._refused(missing[0], "the table has no such network")
        return np.asarray([self._number[genome] for genome in genomes], dtype=np.int64)

    def _refused(self, value: object, why: str) -> SpaceError:
        return SpaceError(
            "SPC02",
            f"not a network of {self.name}",
            value=value,
            why=why,
            fix="take genomes from the problem's own draw or canonical",
        )


def _choices(labels: Sequence[Label]) -> tuple[Label, ...]:
    return tuple(sorted(set(labels), key=lambda label: (isinstance(label, str), label)))


def _require_distinct(genomes: Sequence[Genome], rows: Sequence[TableRow]) -> None:
    first: dict[Genome, TableRow] = {}
    for genome, row in zip(genomes, rows, strict=True):
        if genome in first:
            raise DataError(
                "TAB05",
                "the table is wrong",
                value=f"{first[genome].place} and {row.place}",
                why="both are the same network",
                fix="leave one of them out",
            )
        first[genome] = row
    if len(rows) < 2:
        raise DataError(
            "TAB02", "the table is wrong", value=rows[0].place, why="it holds one network alone", fix="add others"
        )
