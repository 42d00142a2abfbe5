"""Two tables held against each other: how much longer each kind of operator takes, and whether both rank alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean, pstdev

from latency.pieces import canonical, pieces_of
from latency.table import LatencyTable
from latency.validation import errors_of
from mnas.errors import LutError
from mnas.segments import Segment

_LEAST_RANKED = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """What two tables say of one segment.

    Attributes:
        segment: The segment, in canonical form.
        first_ms: Entry of the first table, or the sum of its pieces, milliseconds.
        second_ms: Likewise of the second.
    """

    segment: Segment
    first_ms: float
    second_ms: float

    @property
    def ratio(self) -> float:
        """The second over the first."""
        return self.second_ms / self.first_ms


@dataclass(frozen=True, slots=True)
class OperatorKind:
    """What segments have in common that run the same kernels of a runtime.

    Attributes:
        role: ``stem``, ``block`` or ``head``.
        op: Operators of its blocks, joined by ``+``.
        kernel_size: Of its first block, pixels.
        has_se: Whether a block squeezes.
        stride: Of its first block.
    """

    role: str
    op: str
    kernel_size: int
    has_se: bool
    stride: int

    @classmethod
    def of(cls, segment: Segment) -> OperatorKind:
        """Return the kind of a segment."""
        block, has_se = segment.blocks[0], any(block.se_channels for block in segment.blocks)
        return cls(segment.role, "+".join(one.op for one in segment.blocks), block.kernel_size, has_se, block.stride)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some pairs taken together.

    Attributes:
        segments: How many.
        ratio: Geometric mean of second over first.
        spread: Factor that one standard deviation of the ratio's logarithm makes; 1 where all ratios are equal.
        least: Least ratio.
        greatest: Greatest ratio.
        spearman: Rank correlation of the latencies; ``None`` below three segments.
        kendall_tau: Likewise, tau-b.
    """

    segments: int
    ratio: float
    spread: float
    least: float
    greatest: float
    spearman: float | None
    kendall_tau: float | None


@dataclass(frozen=True, slots=True)
class TableDiff:
    """The difference of two tables; entries as they stand, without the tables' calibrations.

    Attributes:
        pairs: What both have, longest first.
        kinds: By kind of operator, in order of role, operator, kernel, stride.
        whole: Over all pairs.
        only_first: Labels of what the first alone has.
        only_second: Labels of what the second alone has.
        not_positive: Labels of segments that both have, one of them at or below zero; they are in no ratio.
    """

    pairs: tuple[Pair, ...]
    kinds: dict[OperatorKind, Comparison]
    whole: Comparison
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    not_positive: tuple[str, ...]


def diff_tables(first: LatencyTable, second: LatencyTable) -> TableDiff:
    """Compare two tables on what both have; devices, spaces and settings may differ.

    A stem or a head that one of them holds in pieces is compared with the sum of these.

    Raises:
        LutError: ``LUT36``: they have nothing in common.
    """
    firsts, seconds = (
        {canonical(segment): entry.latency_ms for segment, entry in table.entries.items()} for table in (first, second)
    )
    forth, used_seconds = _matches(firsts, seconds)
    back, used_firsts = _matches({one: ms for one, ms in seconds.items() if one not in used_seconds}, firsts)
    found = [Pair(segment, own, other) for segment, (own, other) in forth.items()]
    found += [Pair(segment, other, own) for segment, (own, other) in back.items()]
    pairs = [pair for pair in found if pair.first_ms > 0 and pair.second_ms > 0]
    if not pairs:
        raise LutError(
            "LUT36",
            "the two tables have nothing in common",
            value=f"{first.lut_id} of {first.space}, {second.lut_id} of {second.space}",
            why="no segment of one is in the other",
            fix="compare tables of spaces that share blocks and resolutions",
        )
    pairs.sort(key=lambda pair: (-pair.first_ms, pair.segment.label()))
    return TableDiff(
        pairs=tuple(pairs),
        kinds=_by_kind(pairs),
        whole=_compare(pairs),
        only_first=_labels(firsts.keys() - forth.keys() - used_firsts),
        only_second=_labels(seconds.keys() - used_seconds - back.keys()),
        not_positive=_labels({pair.segment for pair in found} - {pair.segment for pair in pairs}),
    )


def _labels(segments: set[Segment]) -> tuple[str, ...]:
    return tuple(sorted(segment.label() for segment in segments))


def _matches(
    own: Mapping[Segment, float], other: Mapping[Segment, float]
) -> tuple[dict[Segment, tuple[float, float]], set[Segment]]:
    """Return own and other latency of each segment that the other has, whole or in pieces, and what of it was used."""
    found, used = {}, set[Segment]()
    for segment, ms in own.items():
        pieces = pieces_of(segment, other)
        if all(piece in other for piece in pieces):
            found[segment] = (ms, sum(other[piece] for piece in pieces))
            used.update(pieces)
    return found, used


def _by_kind(pairs: Sequence[Pair]) -> dict[OperatorKind, Comparison]:
    groups: dict[OperatorKind, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[OperatorKind.of(pair.segment)].append(pair)
    roles = ("stem", "block", "head")
    order = sorted(groups, key=lambda k: (roles.index(k.role), k.op, k.kernel_size, k.has_se, k.stride))
    return {kind: _compare(groups[kind]) for kind in order}


def _compare(pairs: Sequence[Pair]) -> Comparison:
    logs = [log(pair.ratio) for pair in pairs]
    ranks = None
    if len(pairs) >= _LEAST_RANKED:
        ranks = errors_of([pair.first_ms for pair in pairs], [pair.second_ms for pair in pairs])
    return Comparison(
        segments=len(pairs),
        ratio=exp(fmean(logs)),
        spread=exp(pstdev(logs)),
        least=exp(min(logs)),
        greatest=exp(max(logs)),
        spearman=ranks.spearman if ranks else None,
        kendall_tau=ranks.kendall_tau if ranks else None,
    )
