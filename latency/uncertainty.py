"""How far a prediction may be off what a session would measure, and from where that comes.

Three parts, as relative standard deviations that add up in squares:

* what the table does not know of its own entries and calibration. It differs from network to network, and entries err
  together: they share edges, rounds and the calibration. So the whole table is drawn anew, round by round, and a
  network's prediction is looked up in every draw;
* *misfit*: what is left of the errors on whole networks when that is taken off: sums are not the whole truth, and a
  network's rounds are few;
* *session*: the level that all of a session's figures have in common. Nothing within the table's own session shows it,
  since its calibration took it off, so it is a number seen elsewhere: `SESSION_LEVEL`. It counts twice: once for the
  session that built the table, once for the one that measures the network.

Draws of few rounds claim more than is true. Where they say more than the errors that were seen, what was seen counts.

Source: Efron and Tibshirani 1993, chapter 8, for drawing what was measured together, together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DRAWS = 64
"""Draws of a table that are kept: a standard deviation from them is good to a tenth."""
SESSION_LEVEL = 0.008
"""Relative standard deviation of a session's level. In five runs on virtual machines, of 4 sessions of 100 networks and
5 tables each (onnxruntime, 224 px), 90 % intervals with it hold 80 to 95 % in a run and 90 % over all; it was
chosen for that, on these very runs, and the first run after them held 97 %. The intervals of
a build's whole networks are no guide to it: the noise of their few visits is in them (13 % wide, they held 98 %)."""
_UNVALIDATED = 0.10


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What a prediction's error is made of beside the table's own noise; relative standard deviations.

    Attributes:
        misfit: Of networks about their predictions, within the session that built the table.
        session: Of the level of one session about that of another; 0 where misfit says it all.
        networks: How many whole networks both come from.
        drawn: Factor of the variance over the draws, 0..1.
    """

    misfit: float = _UNVALIDATED
    session: float = 0.0
    networks: int = 0
    drawn: float = 1.0

    @property
    def variance(self) -> float:
        """Relative variance of both together."""
        return self.misfit**2 + self.session**2

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)


def uncertainty_of(relative_errors: Sequence[float], own_variances: Sequence[float]) -> Uncertainty:
    """Take the errors on whole networks apart.

    Args:
        relative_errors: Predicted over measured, less 1, of networks that the prediction was not fitted on.
        own_variances: Relative variance of each prediction over the draws of the table.

    Returns:
        A cautious tenth for fewer than four networks.
    """
    if len(relative_errors) < 4:
        return Uncertainty()
    total, own = float(np.mean(np.square(relative_errors))), float(np.mean(own_variances))
    drawn = min(1.0, total / own) if own > 0 else 1.0
    return Uncertainty(math.sqrt(max(0.0, total - own)), math.sqrt(2) * SESSION_LEVEL, len(relative_errors), drawn)


@dataclass(frozen=True, slots=True)
class TableDraws:
    """A table drawn anew; a draw of the entries and one of the calibration belong together.

    Attributes:
        entries_ms: Shape (segments, draws), in the order of the table's entries.
        calibrations: Scale, intercept in milliseconds and price of a million parameters, shape (draws, 3).
    """

    entries_ms: FloatArray
    calibrations: FloatArray

    def costs_ms(self, params: FloatArray, weights: FloatArray) -> FloatArray:
        """Return what each segment adds in each draw, without the intercept, shape (segments, draws).

        Args:
            params: Parameters that the calibration prices, shape (segments,).
            weights: Factor of each entry in the calibration's sum, shape (segments,).
        """
        scale, _, price = self.calibrations.T
        return np.asarray(self.entries_ms * weights[:, None] * scale + params[:, None] / 1e6 * price)

    @property
    def intercepts_ms(self) -> FloatArray:
        """Intercept of each draw, shape (draws,)."""
        return np.asarray(self.calibrations[:, 1])

    def pack(self) -> PackedDraws:
        """Return the draws as little-endian numbers of single precision, to be stored."""
        return PackedDraws(
            tuple(row.astype("<f4").tobytes() for row in self.entries_ms), self.calibrations.astype("<f4").tobytes()
        )


@dataclass(frozen=True, slots=True)
class PackedDraws:
    """`TableDraws` as bytes: a row for each segment, and the calibrations."""

    entries: tuple[bytes, ...]
    calibrations: bytes

    def unpack(self) -> TableDraws:
        """Return the draws again, in single precision's accuracy."""
        entries = np.stack([np.frombuffer(row, dtype="<f4") for row in self.entries]).astype(np.float64)
        return TableDraws(entries, np.frombuffer(self.calibrations, dtype="<f4").reshape(-1, 3).astype(np.float64))
