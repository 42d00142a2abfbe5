"""One latency for a network that several devices shall run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mnas.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
Combine = Literal["worst", "weighted"]


@dataclass(frozen=True, slots=True)
class Combination:
    """How latencies on several devices become one: that of a single device is left as it is.

    ``worst`` takes the greatest. ``weighted`` takes the weighted geometric mean: with one exponent, MnasNet's reward
    is then accuracy times the product of each device's ``(LAT / T) ** (w * weight)``, and no device counts more for
    being slow.

    Attributes:
        combine: ``worst`` or ``weighted``.
        weights: Of the devices, adding up to 1; not used by ``worst``.
    """

    combine: Combine
    weights: tuple[float, ...]

    @classmethod
    def of(cls, combine: Combine, weights: Sequence[float], devices: int) -> Combination:
        """Return the combination that is asked for.

        Args:
            combine: ``worst`` or ``weighted``.
            weights: One for each device, positive; none stands for equal ones.
            devices: How many there are.

        Raises:
            ConfigError: ``CFG43``: not so many weights, one that is not positive, or weights without ``weighted``.
        """
        if weights and combine != "weighted":
            raise _refused(weights, "only the weighted combination has weights")
        if weights and len(weights) != devices:
            raise _refused(weights, f"there are {devices} devices")
        if not all(0 < weight < float("inf") for weight in weights):
            raise _refused(weights, "a weight is a positive number")
        given = np.asarray(weights or [1.0] * devices, dtype=float)
        return cls(combine, tuple(float(one) for one in given / given.sum()))

    def of_devices(self, latency_ms: FloatArray) -> FloatArray:
        """Return the combined latencies, ``(n,)``; none is beyond those of its devices.

        Args:
            latency_ms: ``(n, devices)``, positive.
        """
        values = np.asarray(latency_ms, dtype=float)
        if values.shape[1] == 1:
            return values[:, 0]
        if self.combine == "worst":
            return np.asarray(values.max(axis=1))
        with np.errstate(divide="ignore"):
            means = np.exp(np.log(values) @ np.asarray(self.weights))
        return np.asarray(np.clip(means, values.min(axis=1), values.max(axis=1)))

    def of_one(self, latency_ms: Sequence[float]) -> float:
        """Return the combined latency of one network, given one of each device."""
        return float(self.of_devices(np.asarray([latency_ms], dtype=float))[0])

    def probability_within(self, latency_ms: FloatArray, sd_ms: FloatArray, target_ms: float) -> FloatArray:
        """Return the probability that the combined latency is measured at no more than a target, ``(n,)``.

        Devices err independently: ``worst`` needs each of them within it. A weighted mean errs by the sum of relative
        errors.

        Args:
            latency_ms: ``(n, devices)``, positive.
            sd_ms: Likewise, 0 or more.
            target_ms: T.
        """
        if self.combine == "worst" or latency_ms.shape[1] == 1:
            return np.asarray(_within(target_ms - latency_ms, sd_ms).prod(axis=1))
        weights = np.asarray(self.weights)
        sd = np.sqrt(((weights * sd_ms / latency_ms) ** 2).sum(axis=1))
        return _within(np.log(target_ms) - np.log(self.of_devices(latency_ms)), sd)


def _within(room: FloatArray, sd: FloatArray) -> FloatArray:
    """Return the probability that an error of some standard deviation is no more than the room there is for it."""
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        found = ndtr(room / sd)
    return np.asarray(np.where(sd > 0, found, room >= 0))


def _refused(value: object, why: str) -> ConfigError:
    return ConfigError(
        "CFG43",
        "these are no weights of the devices",
        value=value,
        why=why,
        fix="give one positive number for each --device with --combine weighted, e.g. --weights 2,1,1",
    )
