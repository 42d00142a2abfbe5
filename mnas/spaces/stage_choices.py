"""What a stage can hold between given channels: counted, numbered, told apart, and the cheapest of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property

from mnas.architecture import Block
from mnas.spaces.definition import StageDefinition
from mnas.spaces.layer_options import Choice, LayerOptions

Cost = Callable[[Block], float]


class StageChoices(ABC):
    """The fillings of one stage between given channels.

    The genes of a stage's layers are one tuple, the *choices*: of all layers alike, or of each layer up to the deepest.

    Args:
        stage: The stage.
        first: Options of its first layer.
        others: Options of every later one.
    """

    def __init__(self, stage: StageDefinition, first: LayerOptions, others: LayerOptions) -> None:
        self.depths, self.first, self.others = stage.depths, first, others
        self._distinct_depths = tuple(dict.fromkeys(stage.depths))
        self._nothing: Choice = next(iter(first.blocks))

    @cached_property
    def count(self) -> int:
        """Number of distinct fillings."""
        return sum(self._per_depth.values())

    @cached_property
    def _per_depth(self) -> dict[int, int]:
        """Number of layers -> number of distinct fillings of so many."""
        return {depth: self._count_at(depth) for depth in self._distinct_depths}

    def filling(self, number: int) -> tuple[int, tuple[Choice, ...]]:
        """Return depth gene and choices, in canonical form, of one of the fillings ``0 .. count - 1``."""
        for depth, here in self._per_depth.items():
            if number < here:
                return self.depths.index(depth), self._choices_of(depth, number)
            number -= here
        raise IndexError(number)

    def canonical(self, depth: int, choices: tuple[Choice, ...]) -> tuple[int, tuple[Choice, ...]]:
        """Return the first genes that give the same blocks."""
        layers = self.depths[depth]
        return self.depths.index(layers), self._canonical_choices(layers, choices)

    def match(self, blocks: tuple[Block, ...]) -> tuple[int, tuple[Choice, ...]] | None:
        """Return the canonical genes of blocks, or ``None`` where they are no filling."""
        if len(blocks) not in self.depths:
            return None
        choices = self._match_choices(blocks)
        return None if choices is None else (self.depths.index(len(blocks)), choices)

    def reachable(self) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
        """Return every block that can stand in the first layer, and every one in a later layer."""
        return tuple(self.first.choices), tuple(self.others.choices) if max(self.depths) > 1 else ()

    @abstractmethod
    def blocks(self, depth: int, choices: tuple[Choice, ...]) -> tuple[Block, ...]:
        """Return the blocks of a depth gene and choices."""

    @abstractmethod
    def cheapest(self, first: Cost, other: Cost) -> tuple[float, int, tuple[Choice, ...]]:
        """Return the least cost of a filling, and its genes.

        Args:
            first: Cost of a block in the first layer.
            other: Cost of a block in a later layer.
        """

    @abstractmethod
    def _count_at(self, depth: int) -> int: ...

    @abstractmethod
    def _choices_of(self, depth: int, number: int) -> tuple[Choice, ...]: ...

    @abstractmethod
    def _canonical_choices(self, depth: int, choices: tuple[Choice, ...]) -> tuple[Choice, ...]: ...

    @abstractmethod
    def _match_choices(self, blocks: tuple[Block, ...]) -> tuple[Choice, ...] | None: ...


class OwnChoices(StageChoices):
    """Each layer has choices of its own; those of layers beyond the depth are the first ones in canonical form."""

    def _count_at(self, depth: int) -> int:
        return int(len(self.first.choices) * len(self.others.choices) ** (depth - 1))

    def _choices_of(self, depth: int, number: int) -> tuple[Choice, ...]:
        first, later, found = self.first.numbered, self.others.numbered, []
        for _ in range(depth - 1):
            number, at = divmod(number, len(later))
            found.append(later[at])
        return self._filled([first[number], *found])

    def _filled(self, choices: list[Choice]) -> tuple[Choice, ...]:
        return (*choices, *[self._nothing] * (max(self.depths) - len(choices)))

    def _canonical_choices(self, depth: int, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
        own = [self.first.canonical(choices[0]), *map(self.others.canonical, choices[1:depth])]
        return self._filled(own)

    def _match_choices(self, blocks: tuple[Block, ...]) -> tuple[Choice, ...] | None:
        found = []
        for layer, block in enumerate(blocks):
            choice = (self.others if layer else self.first).choices.get(block)
            if choice is None:
                return None
            found.append(choice)
        return self._filled(found)

    def blocks(self, depth: int, choices: tuple[Choice, ...]) -> tuple[Block, ...]:
        """Return the blocks of a depth gene and choices."""
        layers = self.depths[depth]
        return (self.first.blocks[choices[0]], *(self.others.blocks[choice] for choice in choices[1:layers]))

    def cheapest(self, first: Cost, other: Cost) -> tuple[float, int, tuple[Choice, ...]]:
        """Return the least cost of a filling, and its genes."""
        start = min(self.first.choices, key=first)
        found = [self.first.choices[start]]
        layers, cost = 1, first(start)
        if max(self.depths) > 1:  # else nothing stands in a later layer, and no cost is known of it
            later = min(self.others.choices, key=other)
            each = other(later)
            layers = min(self._distinct_depths, key=lambda depth: (depth - 1) * each)
            found += [self.others.choices[later]] * (layers - 1)
            cost += (layers - 1) * each
        return cost, self.depths.index(layers), self._filled(found)


class SharedChoices(StageChoices):
    """All layers have the same choices."""

    @cached_property
    def _fillings(self) -> dict[bool, dict[tuple[Block, ...], Choice]]:
        """Whether there are later layers -> first block (and later one) -> first choice that gives them."""
        alone: dict[tuple[Block, ...], Choice] = {}
        pairs: dict[tuple[Block, ...], Choice] = {}
        for choice, block in self.first.blocks.items():
            alone.setdefault((block,), choice)
            pairs.setdefault((block, self.others.blocks[choice]), choice)
        return {False: alone, True: pairs}

    @cached_property
    def _listed(self) -> dict[bool, tuple[Choice, ...]]:
        return {has_later: tuple(found.values()) for has_later, found in self._fillings.items()}

    def _count_at(self, depth: int) -> int:
        return len(self._listed[depth > 1])

    def _choices_of(self, depth: int, number: int) -> tuple[Choice, ...]:
        return (self._listed[depth > 1][number],)

    def _canonical_choices(self, depth: int, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
        key = (self.first.blocks[choices[0]], self.others.blocks[choices[0]])
        return (self._fillings[depth > 1][key if depth > 1 else key[:1]],)

    def _match_choices(self, blocks: tuple[Block, ...]) -> tuple[Choice, ...] | None:
        if any(block != blocks[1] for block in blocks[2:]):
            return None
        choice = self._fillings[len(blocks) > 1].get(blocks[:2])
        return None if choice is None else (choice,)

    def blocks(self, depth: int, choices: tuple[Choice, ...]) -> tuple[Block, ...]:
        """Return the blocks of a depth gene and choices."""
        choice = choices[0]
        return (self.first.blocks[choice], *[self.others.blocks[choice]] * (self.depths[depth] - 1))

    def cheapest(self, first: Cost, other: Cost) -> tuple[float, int, tuple[Choice, ...]]:
        """Return the least cost of a filling, and its genes."""
        best: tuple[float, int, tuple[Choice, ...]] | None = None
        for depth in self._distinct_depths:
            for blocks, choice in self._fillings[depth > 1].items():
                cost = first(blocks[0]) + (depth - 1) * (other(blocks[1]) if depth > 1 else 0.0)
                if best is None or cost < best[0]:
                    best = (cost, self.depths.index(depth), (choice,))
        assert best is not None, "a stage has a depth and a choice"
        return best


def stage_choices(stage: StageDefinition, first: LayerOptions, others: LayerOptions) -> StageChoices:
    """Return the fillings of a stage."""
    return (SharedChoices if stage.same_layers else OwnChoices)(stage, first, others)


def layer_choices(stage: StageDefinition) -> Iterator[int]:
    """Yield the layers that have choices of their own."""
    yield from range(1 if stage.same_layers else max(stage.depths))
