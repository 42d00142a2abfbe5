"""From the sum over a table's entries to the latency of a whole network.

A scale always; an intercept, and a price of the blocks' weights, where cross-validation says that they pay. The price
is there because a block that is measured over and over keeps its weights in the cache, while those of a whole large
network pass through it. And a factor for the blocks of each resolution, held near 1: tensors of one resolution are of
much the same size, and whether such a tensor is still in the cache when the next block reads it differs between a whole
network and a block between two convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.errors import LutError
from mnas.segments import Segment

_RICHER_MUST_WIN_BY = 0.9
_FEWEST_NETWORKS = {"scale": 1, "affine": 4, "weights": 8}
"""A kind is tried only with so many networks: about two and a half for each number that is fitted."""
_FEWEST_FOR_WEIGHTS = 8
_WEIGHTS_SPREAD = 0.06
"""Standard deviation that resolutions' factors are expected to have about 1, before a network was measured."""
_LEAST_ERROR = 0.005
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``latency = scale * sum + per_mparam_ms * block parameters / 1e6 + intercept_ms``.

    The sum is that of the entries, each times the `weight` of its segment.

    Attributes:
        kind: ``none`` (no network was measured), ``scale``, ``affine`` or ``weights``.
        scale: Factor.
        intercept_ms: Milliseconds.
        per_mparam_ms: Milliseconds for a million parameters of the blocks between stem and head.
        networks: How many whole networks it was fitted on.
        cv_error: Root mean square of the relative error in leave-one-out cross-validation; 0 for fewer than 2.
        px_weights: Side of a block's input in pixels -> factor of its entry; empty where none paid.
    """

    kind: str = "none"
    scale: float = 1.0
    intercept_ms: float = 0.0
    per_mparam_ms: float = 0.0
    networks: int = 0
    cv_error: float = 0.0
    px_weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, segment: Segment) -> float:
        """Return the factor of a segment's entry in the sum; 1 where its resolution has none of its own."""
        return self.px_weights.get(resolution_of(segment), 1.0)

    def apply(self, sum_ms: float, block_params: int) -> float:
        """Return the latency for a weighted sum of entries and the parameters of the blocks."""
        return self.scale * sum_ms + self.per_mparam_ms * block_params / 1e6 + self.intercept_ms

    def formula(self) -> str:
        """Return the formula for people."""
        parts = [f"{self.scale:.4f} x sum"]
        if self.per_mparam_ms:
            parts.append(f"{self.per_mparam_ms:+.4f} ms a million block parameters")
        if self.intercept_ms:
            parts.append(f"{self.intercept_ms:+.4f} ms")
        weights = ", ".join(f"{px} px x {weight:.3f}" for px, weight in self.px_weights.items())
        weighted = f"; blocks of {weights}" if weights else ""
        return " ".join(parts) + f" ({self.kind}, fitted on {self.networks} networks{weighted})"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def resolution_of(segment: Segment) -> str:
    """Return the side of a block's input in pixels, or "" for stem and head, which every network has."""
    return str(segment.in_shape_chw[1]) if segment.role == "block" else ""


def sums_by_resolution(segments: Sequence[Segment], entries_ms: Mapping[Segment, float]) -> dict[str, float]:
    """Return the sum of a network's entries for each resolution, "" for stem and head, in milliseconds.

    Args:
        segments: Of the network.
        entries_ms: Segment -> its entry.
    """
    found: dict[str, float] = {}
    for segment in segments:
        name = resolution_of(segment)
        found[name] = found.get(name, 0.0) + entries_ms[segment]
    return found


def _columns(kind: str, sums: FloatArray, mparams: FloatArray) -> FloatArray:
    one = np.ones_like(sums)
    return np.stack({"scale": [sums], "affine": [sums, one], "weights": [sums, one, mparams]}[kind], axis=1)


def _fit(columns: FloatArray, measured: FloatArray) -> FloatArray:
    """Least squares on the relative error."""
    solution, *_ = np.linalg.lstsq(columns / measured[:, None], np.ones_like(measured), rcond=None)
    return np.asarray(solution, dtype=float)


def _cross_validate(columns: FloatArray, measured: FloatArray) -> float:
    if len(measured) < 2:
        return 0.0
    errors = []
    for held_out in range(len(measured)):
        kept = np.arange(len(measured)) != held_out
        errors.append(float(columns[held_out] @ _fit(columns[kept], measured[kept])) / measured[held_out] - 1)
    return float(np.sqrt(np.mean(np.square(errors))))


def _fitted(kind: str, sums: FloatArray, mparams: FloatArray, measured: FloatArray) -> tuple[float, float, float]:
    """Return scale, intercept and price; those that the kind does not have are 0."""
    values = [*(float(value) for value in _fit(_columns(kind, sums, mparams), measured)), 0.0, 0.0]
    return values[0], values[1], values[2]


def refit(kind: str, sums_ms: FloatArray, block_params: FloatArray, measured_ms: FloatArray) -> tuple[float, ...]:
    """Fit a calibration of a kind that is already chosen; returns scale, intercept in milliseconds and price."""
    return _fitted(kind, sums_ms, block_params / 1e6, measured_ms)


def _is_sane(fitted: tuple[float, float, float], plain: float, fastest: tuple[float, int] | None) -> bool:
    scale, intercept, price = fitted
    if fastest is None:
        return scale > 0
    sum_ms, params = fastest
    return scale > 0 and scale * sum_ms + price * params / 1e6 + intercept >= 0.5 * plain * sum_ms


def calibrate(
    sums_ms: Sequence[Mapping[str, float]],
    block_params: Sequence[int],
    measured_ms: Sequence[float],
    *,
    fastest: tuple[float, int] | None = None,
) -> Calibration:
    """Fit the calibration on whole networks; a richer kind must beat the simpler one in cross-validation by a tenth.

    A richer kind is passed over, too, where it would say that the space's fastest network, which no calibration network
    may be near, takes less than half of what the scale alone says. Factors of resolutions come on top, where
    cross-validation is none the worse for them.

    Args:
        sums_ms: Sums of the table's entries by resolution, as `sums_by_resolution` gives them.
        block_params: Parameters of the blocks between stem and head.
        measured_ms: Measured latencies.
        fastest: Sum of entries, and block parameters, of the network of the space with the least sum.

    Raises:
        LutError: ``LUT06``: the fit is not a latency (a scale that is not positive).
    """
    if len(sums_ms) == 0:
        return Calibration()
    sums, measured = np.array([sum(one.values()) for one in sums_ms]), np.asarray(measured_ms, dtype=float)
    mparams = np.asarray(block_params, dtype=float) / 1e6
    best, error = _choose_kind(sums, mparams, measured, fastest)
    weights: dict[str, float] = {}
    if len(sums_ms) >= _FEWEST_FOR_WEIGHTS:
        weighted = _Weighted.of(best, sums_ms, mparams, measured)
        own = weighted.cross_validate(error)
        if own <= error:
            weights, sums = weighted.weights(error), weighted.weighted_sums(error)
            error = own
    scale, intercept, price = _fitted(best, sums, mparams, measured)
    if not scale > 0:
        raise LutError(
            "LUT06",
            "the calibration networks contradict the table",
            value=f"scale {scale:.4g}",
            why="a longer sum of blocks would mean a faster network",
            fix="build the table anew on a quieter machine: mnas lut build --anew",
        )
    return Calibration(best, scale, intercept, price, len(sums), error, weights)


def _choose_kind(
    sums: FloatArray, mparams: FloatArray, measured: FloatArray, fastest: tuple[float, int] | None
) -> tuple[str, float]:
    """Return the kind and its error in cross-validation."""
    best, error = "scale", _cross_validate(_columns("scale", sums, mparams), measured)
    plain = _fitted("scale", sums, mparams, measured)[0]
    for kind in ("affine", "weights"):
        if len(sums) >= _FEWEST_NETWORKS[kind]:
            own = _cross_validate(_columns(kind, sums, mparams), measured)
            if own < _RICHER_MUST_WIN_BY * error and _is_sane(_fitted(kind, sums, mparams, measured), plain, fastest):
                best, error = kind, own
    return best, error


@dataclass(frozen=True, slots=True)
class _Weighted:
    """A fit with a factor for each resolution's blocks, drawn towards 1 as far as the networks do not tell.

    Attributes:
        columns: Of the kind, shape (networks, numbers); the first is the sum.
        parts: Sum of each resolution's blocks, shape (networks, resolutions).
        names: Of the resolutions.
        measured: Shape (networks,).
    """

    columns: FloatArray
    parts: FloatArray
    names: tuple[str, ...]
    measured: FloatArray

    @classmethod
    def of(
        cls, kind: str, sums_ms: Sequence[Mapping[str, float]], mparams: FloatArray, measured: FloatArray
    ) -> _Weighted:
        names = tuple(dict.fromkeys(name for one in sums_ms for name in one if name))
        parts = np.array([[one.get(name, 0.0) for name in names] for one in sums_ms], dtype=float)
        sums = np.array([sum(one.values()) for one in sums_ms])
        return cls(_columns(kind, sums, mparams), parts.reshape(len(sums_ms), len(names)), names, measured)

    def _solve(self, error: float) -> FloatArray:
        """Return the kind's numbers, then by how much each resolution differs from the scale."""
        plain = _fit(self.columns, self.measured)
        noise, spread = max(error, _LEAST_ERROR), max(abs(float(plain[0])), 1e-9) * _WEIGHTS_SPREAD
        rows = np.hstack([self.columns, self.parts]) / self.measured[:, None] / noise
        held = np.hstack([np.zeros((len(self.names), len(plain))), np.eye(len(self.names)) / spread])
        goal = np.concatenate([np.ones(len(self.measured)) / noise, np.zeros(len(self.names))])
        solution, *_ = np.linalg.lstsq(np.vstack([rows, held]), goal, rcond=None)
        return np.asarray(solution, dtype=float)

    def weights(self, error: float) -> dict[str, float]:
        """Return resolution -> factor.

        Args:
            error: Relative error that the networks are expected to have.
        """
        solution = self._solve(error)
        shares = 1 + solution[self.columns.shape[1] :] / solution[0]
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}

    def weighted_sums(self, error: float) -> FloatArray:
        """Return the weighted sums of the networks, milliseconds."""
        extra = np.array(list(self.weights(error).values())) - 1
        return np.asarray(self.columns[:, 0] + self.parts @ extra)

    def cross_validate(self, error: float) -> float:
        """Return the root mean square of the relative error of networks that were left out."""
        errors = []
        for held_out in range(len(self.measured)):
            kept = np.arange(len(self.measured)) != held_out
            own = replace(self, columns=self.columns[kept], parts=self.parts[kept], measured=self.measured[kept])
            row = np.concatenate([self.columns[held_out], self.parts[held_out]])
            errors.append(float(row @ own._solve(error)) / self.measured[held_out] - 1)
        return float(np.sqrt(np.mean(np.square(errors))))
