"""Tables that hold stems and heads in pieces, as those of once-for-all and ProxylessNAS do."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from latency.estimator import LatencyEstimate
from latency.genomes import GenomeLatencies
from latency.importers.layout import LAYOUTS, key_of_segment
from latency.pieces import pieces_of
from latency.table import LatencyTable, LutEntry, Missing
from mnas.architecture import Architecture
from mnas.segments import Segment, segments_of
from mnas.space import SearchSpace

__all__ = ["LAYOUTS", "PiecewiseTable"]


class PiecewiseTable(LatencyTable):
    """A table whose entries may be pieces of a stem or a head; whole ones are added up when they are asked for."""

    def missing(self, segments: Sequence[Segment]) -> list[str]:
        """Return the keys of the pieces that the table lacks, in the layout that it came in."""
        pieces = dict.fromkeys(piece for segment in segments for piece in pieces_of(segment, self.entries))
        return [self._key(piece) for piece in pieces if piece not in self.entries]

    def joined(self, segments: Sequence[Segment], missing: Missing = "refuse") -> LatencyTable:
        """Return a plain table of exactly these segments, whole.

        Args:
            segments: Of the networks that will be asked for.
            missing: ``interpolate``: pieces that are missing are predicted from the entries; their segments are marked.

        Raises:
            LutError: ``LUT02``: pieces are missing; the message names their keys.
        """
        pieces = {one: pieces_of(one, self.entries) for one in segments}
        lacking = dict.fromkeys(piece for own in pieces.values() for piece in own if piece not in self.entries)
        if missing == "refuse":
            self.require(segments)
        source = self.filled(list(lacking))
        entries = {one: _sum([source.entries[piece] for piece in own]) for one, own in pieces.items()}
        return LatencyTable(
            lut_id=self.lut_id,
            space=self.space,
            device=self.device,
            dtype=self.dtype,
            batch=self.batch,
            settings=self.settings,
            entries=entries,
            calibration=self.calibration,
            validation=self.validation,
            created_at_utc=self.created_at_utc,
            uncertainty=self.uncertainty,
            filled_in=frozenset(one for one, own in pieces.items() if not lacking.keys().isdisjoint(own)),
            origin=self.origin,
        )

    def completed(self, segments: Sequence[Segment]) -> LatencyTable:
        """Return a plain table of exactly these segments; what is missing of them is predicted from the entries."""
        return self.joined(segments, "interpolate")

    def _key(self, piece: Segment) -> str:
        for name in sorted(self.origin.layouts if self.origin else ()):
            if name in LAYOUTS and (key := key_of_segment(piece, LAYOUTS[name])):
                return key
        return piece.label()

    def parts(self, architecture: Architecture) -> tuple[float, int]:
        """Return the plain sum of a network's entries in milliseconds, and its blocks' parameters.

        Raises:
            LutError: ``LUT02``: as `joined`.
        """
        return self.joined(segments_of(architecture)).parts(architecture)

    def cost_ms(self, segment: Segment) -> float:
        """Return what a segment adds to a network's calibrated latency, in milliseconds.

        Raises:
            LutError: ``LUT02``: as `joined`.
        """
        return self.joined([segment]).cost_ms(segment)

    def estimate(self, architectures: Sequence[Architecture], *, missing: Missing = "refuse") -> list[LatencyEstimate]:
        """Return one estimate for each architecture, in order; ``missing`` as in `joined`.

        Raises:
            LutError: ``LUT02``: as `joined`.
        """
        segments = dict.fromkeys(one for architecture in architectures for one in segments_of(architecture))
        return self.joined(list(segments), missing).estimate(architectures)

    def over(self, space: SearchSpace) -> GenomeLatencies:
        """Return the table's latencies of a space's genomes, vectorised; made at the first call and kept.

        Raises:
            LutError: ``LUT02``: as `joined`; what a space can reach must be there before anything is looked up.
        """
        if space not in self._populations:
            self._populations[space] = self.joined(list(space.segments())).over(space)
        return self._populations[space]


def _sum(entries: Sequence[LutEntry]) -> LutEntry:
    """Return the sum of pieces; their errors are independent, as far as anybody knows."""
    if len(entries) == 1:
        return entries[0]
    total = sum(entry.latency_ms for entry in entries)
    half = sqrt(sum(((entry.high_ms - entry.low_ms) / 2) ** 2 for entry in entries))
    samples = min(entry.samples for entry in entries)
    return LutEntry(total, total - half, total + half, samples, entries[0].verdict)
