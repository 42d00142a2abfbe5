"""The objectives of a table: names, directions, and the form in which algorithms minimise them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from mnas.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
Direction = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class TableObjective:
    """A column that is minimised or maximised.

    Attributes:
        name: Column, or keys joined by dots.
        direction: ``min`` or ``max``.
    """

    name: str
    direction: Direction

    def minimised(self, values: FloatArray) -> FloatArray:
        """Return a whole column as something to minimise.

        What is minimised stays as it is. What is maximised becomes ``1 - v`` where all of it lies in 0..1,
        ``1 - v / 100`` where all of it lies in 0..100 (an accuracy becomes an error, 0..1), and ``-v`` elsewhere.
        """
        if self.direction == "min":
            return values
        if values.min() >= 0 and values.max() <= 1:
            return 1 - values
        if values.min() >= 0 and values.max() <= 100:
            return 1 - values / 100
        return -values


def parse_objectives(text: str) -> tuple[TableObjective, ...]:
    """Read objectives such as ``top1:max,latency_ms:min``.

    Args:
        text: Two or more, the one that is known for any network - the cheap one - last.

    Raises:
        ConfigError: ``CFG18``: not objectives; the message names the part that is wrong.
    """
    found: list[TableObjective] = []
    for part in text.split(","):
        name, _, direction = part.strip().rpartition(":")
        if not name or direction not in ("min", "max"):
            raise _refused(part, "each is a name and a direction")
        if name in {one.name for one in found}:
            raise _refused(part, "each counts once")
        found.append(TableObjective(name, cast(Direction, direction)))
    if len(found) < 2:
        raise _refused(text, "a front needs two or more")
    return tuple(found)


def _refused(value: str, why: str) -> ConfigError:
    return ConfigError(
        "CFG18",
        "these are no objectives of a table",
        value=value,
        why=why,
        fix="write them like top1:max,latency_ms:min, the one that is known for any network last",
    )
