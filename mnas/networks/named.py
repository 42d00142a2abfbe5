"""A network with a name, and what its authors report of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mnas.architecture import Architecture


@dataclass(frozen=True, slots=True)
class ReportedLatency:
    """A latency that others measured; comparable only with figures of the same phone, tool and table.

    Attributes:
        ms: As printed there.
        phone: Its market name.
        measured_with: Runtime, cores and number format, as far as the source says.
        place: Where the figure stands.
    """

    ms: float
    phone: str
    measured_with: str
    place: str


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """Where a network comes from and what is reported of it at 224 px on ImageNet.

    Attributes:
        paper: Authors and year.
        arxiv_id: Of the paper.
        top1: Accuracy, 0..1; None where no figure is known of exactly this network.
        top1_place: Where it stands.
        latency: None where the paper times no phone.
        note: What the paper leaves open, and how it is taken here.
    """

    paper: str
    arxiv_id: str
    top1: float | None = None
    top1_place: str = ""
    latency: ReportedLatency | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return every field by its name."""
        return asdict(self)

    def lines(self) -> tuple[str, ...]:
        """Return the facts as lines for people."""
        told = [f"paper: {self.paper}, arXiv {self.arxiv_id}"]
        if self.top1 is not None:
            told.append(f"reported top-1: {100 * self.top1:.4g} % ({self.top1_place})")
        if self.latency is not None:
            one = self.latency
            told.append(f"reported latency: {one.ms:g} ms on {one.phone}, {one.measured_with} ({one.place})")
        return (*told, f"note: {self.note}") if self.note else tuple(told)


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """A name, what makes the network of that name from pixels and classes, and the facts about it."""

    name: str
    make: Callable[[int, int], Architecture]
    facts: NetworkFacts
