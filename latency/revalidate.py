"""Judges a finished table anew: other whole networks, measured now."""

from __future__ import annotations

import tempfile
from pathlib import Path

from latency.on_device import OnDevice
from latency.probes import write_network
from latency.table import LatencyTable
from latency.validation import MeasuredNetworks, Validation, validate
from mnas.architecture import Architecture
from mnas.counts import total_macs
from mnas.errors import LutError
from mnas.layers import layers_of
from mnas.seeding import derive_seed, named_rng
from mnas.space import SearchSpace
from mnas.store import Store


def revalidate(
    store: Store, device: OnDevice, table: LatencyTable, space: SearchSpace, networks: int, seed: int
) -> Validation:
    """Measure networks drawn with a seed, none of which the table was calibrated or validated on, and judge it.

    Raises:
        LutError: ``LUT03`` another device, ``LUT04`` too few networks left in the space, ``LUT07`` no calibration
            networks to make the baselines of.
    """
    table.require_fit(device.info)
    rows = store.query("SELECT * FROM lut_network WHERE lut_id = ?", (table.lut_id,))
    fitted = [row for row in rows if row["purpose"] == "calibration"]
    if len(fitted) < 2:
        raise LutError(
            "LUT07", "the table has no calibration networks", value=table.lut_id, fix="build it with calibration"
        )
    chosen = _draw(space, {row["arch_id"] for row in rows}, networks, seed)
    with tempfile.TemporaryDirectory(prefix="mnas-validate-") as folder:
        artifacts = {one.arch_id: write_network(one, Path(folder), device.model_format) for one in chosen}
        session = device.measure(artifacts, seed=derive_seed(seed, "validating", table.lut_id))
    pairs = [(one, session.networks[one.arch_id].ms) for one in chosen]
    known = [(one, ms) for one, ms in pairs if ms is not None]
    parts = [table.parts(one) for one, _ in known]
    calibration = MeasuredNetworks(
        sums_ms=[row["sum_ms"] for row in fitted],
        predicted_ms=[table.calibration.apply(row["sum_ms"], row["block_params"]) for row in fitted],
        macs=[row["macs"] for row in fitted],
        measured_ms=[row["measured_ms"] for row in fitted],
    )
    held_out = MeasuredNetworks(
        sums_ms=[sum_ms for sum_ms, _ in parts],
        predicted_ms=[table.calibration.apply(*one) for one in parts],
        macs=[total_macs(layers_of(one)) for one, _ in known],
        measured_ms=[ms for _, ms in known],
    )
    return validate(calibration, held_out)


def _draw(space: SearchSpace, used: set[str], count: int, seed: int) -> list[Architecture]:
    rng, found = named_rng(seed, "networks to validate on", space.name), dict[str, Architecture]()
    for _ in range(100 * count):
        architecture = space.decode(space.sample(rng))
        if architecture.arch_id not in used:
            found.setdefault(architecture.arch_id, architecture)
        if len(found) == count:
            return list(found.values())
    raise LutError(
        "LUT04", "the space holds too few other networks", value=f"{len(found)} of {count}", fix="ask for fewer"
    )
