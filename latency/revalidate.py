"""Judges a finished table anew: other whole networks, measured now."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latency.on_device import OnDevice
from latency.probes import write_network
from latency.table import LatencyTable
from latency.validation import MeasuredNetworks, Validation, validate
from mnas.architecture import Architecture
from mnas.counts import total_macs
from mnas.errors import LutError, MeasurementError
from mnas.layers import layers_of
from mnas.seeding import derive_seed, named_rng
from mnas.space import SearchSpace
from mnas.store import Store


@dataclass(frozen=True, slots=True)
class ValidatedNetwork:
    """A network that the table had never seen.

    Attributes:
        arch_id: Of the network.
        predicted_ms: By the table.
        low_ms: Lower end of the prediction's 95 % interval.
        high_ms: Upper end of it.
        measured_ms: Measured now.
    """

    arch_id: str
    predicted_ms: float
    low_ms: float
    high_ms: float
    measured_ms: float


@dataclass(frozen=True, slots=True)
class Revalidation:
    """How a table did on networks that were measured now.

    Attributes:
        validation: Errors beside the baselines.
        networks: Each network.
    """

    validation: Validation
    networks: tuple[ValidatedNetwork, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "covered": self.validation.covered,
            "relative_width": self.validation.relative_width,
            "networks": [asdict(one) for one in self.networks],
        }


def revalidate(
    store: Store, device: OnDevice, table: LatencyTable, space: SearchSpace, networks: int, seed: int
) -> Revalidation:
    """Measure networks drawn with a seed, none of which the table was calibrated or validated on, and judge it.

    Raises:
        LutError: ``LUT03`` another device, ``LUT04`` too few networks left in the space, ``LUT07`` no calibration
            networks to make the baselines of.
        MeasurementError: ``MEA10``: fewer than two of the networks gave a number.
    """
    table.require_fit(device.info, table.dtype)
    rows = store.query("SELECT * FROM lut_network WHERE lut_id = ?", (table.lut_id,))
    is_on_all = table.calibration.networks == len(rows)  # those that validated it serve the calibration in use, too
    fitted = [row for row in rows if is_on_all or row["purpose"] == "calibration"]
    if len(fitted) < 2:
        raise LutError(
            "LUT07", "the table has no calibration networks", value=table.lut_id, fix="build it with calibration"
        )
    chosen = _draw(space, {row["arch_id"] for row in rows}, networks, seed)
    with tempfile.TemporaryDirectory(prefix="mnas-validate-") as folder:
        artifacts = {one.arch_id: write_network(one, Path(folder), device.model_format, table.dtype) for one in chosen}
        session = device.measure(artifacts, seed=derive_seed(seed, "validating", table.lut_id))
    pairs = [(one, session.networks[one.arch_id].ms) for one in chosen]
    known = [(one, ms) for one, ms in pairs if ms is not None]
    if len(known) < 2:
        raise MeasurementError(
            "MEA10",
            "too few networks gave a number",
            value=f"{len(known)} of {len(pairs)}",
            why="; ".join(dict.fromkeys(why for one in session.networks.values() for why in one.reasons)),
            fix="look at the device, then run the same command again",
        )
    return _judged(table, [dict(row) for row in fitted], known)


def _judged(
    table: LatencyTable, fitted: Sequence[Mapping[str, Any]], known: Sequence[tuple[Architecture, float]]
) -> Revalidation:
    """Compare predictions with measured milliseconds, beside baselines of the rows of ``lut_network``."""
    parts = [table.parts(one) for one, _ in known]
    estimates = table.estimate([one for one, _ in known])
    calibration = MeasuredNetworks(
        sums_ms=[row["sum_ms"] for row in fitted],
        predicted_ms=[table.calibration.apply(row["sum_ms"], row["block_params"]) for row in fitted],
        macs=[row["macs"] for row in fitted],
        measured_ms=[row["measured_ms"] for row in fitted],
    )
    held_out = MeasuredNetworks(
        sums_ms=[table.plain_sum_ms(one) for one, _ in known],
        predicted_ms=[table.calibration.apply(*one) for one in parts],
        macs=[total_macs(layers_of(one)) for one, _ in known],
        measured_ms=[ms for _, ms in known],
        intervals_ms=[(found.low_ms, found.high_ms) for found in estimates],
    )
    return Revalidation(
        validate(calibration, held_out),
        tuple(
            ValidatedNetwork(one.arch_id, found.ms, found.low_ms, found.high_ms, ms)
            for (one, ms), found in zip(known, estimates, strict=True)
        ),
    )


def _draw(space: SearchSpace, used: set[str], count: int, seed: int) -> list[Architecture]:
    rng, found = named_rng(seed, "networks to validate on", space.name), dict[str, Architecture]()
    for _ in range(100 * count):
        architecture = space.decode(space.draw(rng))
        if architecture.arch_id not in used:
            found.setdefault(architecture.arch_id, architecture)
        if len(found) == count:
            return list(found.values())
    raise LutError(
        "LUT04", "the space holds too few other networks", value=f"{len(found)} of {count}", fix="ask for fewer"
    )
