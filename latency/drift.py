"""Whether a device still takes what a table says: references and some of the table's own networks, measured again.

Latencies are ratios to the reference networks, so a device that is slower as a whole is still the table's device. It is
not any more when networks take another multiple of the references than they did: another version of a driver, another
state of the processor, or nominals that were replaced since the table was built.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from latency.on_device import MeasuringDevice, MeasuringSession
from latency.probes import write_network
from latency.records import nominals_of
from latency.table import LatencyTable
from mnas.jsonio import without_nan
from mnas.seeding import derive_seed, named_rng
from mnas.space import Genome, SearchSpace
from mnas.store import Store

SCHEMA = "mnas.drift/1"
BOUND = 0.05
"""Median over the networks of how far they are off what the table was calibrated on."""
REFUSED = 6 * BOUND
"""No search begins by a table whose device is off by more, noise taken off, in two sessions on end. A table of tiny
networks that was built while a shared machine was loaded was off by 14 to 18 % so, afterwards."""
NETWORKS = 5
_ROUNDS = 12
_Z95 = 1.96
_SAME_NOMINAL = 1e-6


@dataclass(frozen=True, slots=True)
class NetworkDrift:
    """A network of the table, then and now.

    Attributes:
        arch_id: Of the network.
        stored_ms: Measured as the table was built.
        measured_ms: Measured now.
        ratio: Now over then.
        noise: Half-width of the ratio's 95 % interval, as a fraction.
    """

    arch_id: str
    stored_ms: float
    measured_ms: float
    ratio: float
    noise: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a device has drifted since a table was built on it.

    Attributes:
        lut_id: The table.
        verdict: ``ok``; ``drifted``: by more than the bound, and more than noise explains; ``unclear``: by more than
            the bound, but within noise; ``unknown``: the table holds no network that can be measured again.
        bound: As a fraction.
        off: Median over the networks of how far they are off, as a fraction; ``None`` without networks.
        networks: Each network.
        references: Reference network -> its raw reading now over its nominal when the table was built.
        were_nominals_replaced: The device has been calibrated anew since.
        reasons: What speaks against the table, or against this judgement.
        at_least: Median over the networks of the least that they can be off, by the ends of their intervals, as a
            fraction; below zero where noise explains it all, ``None`` without networks.
    """

    lut_id: str
    verdict: str
    bound: float
    off: float | None
    networks: tuple[NetworkDrift, ...]
    references: dict[str, float]
    were_nominals_replaced: bool
    reasons: tuple[str, ...]
    at_least: float | None = None

    def is_beyond(self, bound: float) -> bool:
        """Return whether the device is off by more than a bound whatever noise explains."""
        return self.at_least is not None and self.at_least > bound

    def to_json(self) -> dict[str, Any]:
        """Return the fields as strict JSON."""
        return {"schema": SCHEMA, **without_nan(asdict(self))}

    def text(self) -> str:
        """Return one line for people."""
        if self.off is None:
            return f"drift of {self.lut_id} is unknown: {'; '.join(self.reasons)}"
        seen = f"{len(self.networks)} of its networks are off by {self.off:.1%} (median), {self.bound:.0%} allowed"
        return f"{self.lut_id}: {self.verdict}; {'; '.join([seen, *self.reasons])}"


def measure_drift(
    store: Store,
    device: MeasuringDevice,
    table: LatencyTable,
    space: SearchSpace | None,
    *,
    networks: int = NETWORKS,
    seed: int = 0,
    bound: float = BOUND,
) -> Drift:
    """Measure some of a table's calibration networks, and the references beside them, and compare.

    Args:
        store: Opened with the components of devices and latency.
        device: The table's device.
        table: The table.
        space: That the table was built for; ``None`` where it is not known here, and then only references are read.
        networks: How many networks to measure.
        seed: Draws them.
        bound: As a fraction.

    Raises:
        DeviceError: The device is gone.
        LutError: ``LUT03``: the table is of another device.
        MeasurementError: The reference networks could not be measured.
    """
    table.require_fit(device.info, table.dtype)
    rows = store.query(
        "SELECT arch_id, genome_json, measured_ms, low_ms, high_ms FROM lut_network "
        "WHERE lut_id = ? AND purpose = 'calibration' ORDER BY arch_id",
        (table.lut_id,),
    )
    if not rows or space is None:
        why = "it was calibrated on no networks" if not rows else f"its space {table.space} is not known here"
        return Drift(table.lut_id, "unknown", bound, None, (), {}, False, (why,))
    rng = named_rng(seed, "networks to see drift by", table.lut_id)
    chosen = [dict(rows[place]) for place in sorted(rng.permutation(len(rows))[:networks])]
    with tempfile.TemporaryDirectory(prefix="mnas-drift-") as folder:
        genomes: dict[str, Genome] = {row["arch_id"]: tuple(json.loads(row["genome_json"])) for row in chosen}
        artifacts = {
            arch_id: write_network(space.decode(genome), Path(folder), device.model_format, table.dtype)
            for arch_id, genome in genomes.items()
        }
        session = device.measure(artifacts, seed=derive_seed(seed, "drift", table.lut_id), rounds=_ROUNDS)
    found = tuple(_drift_of(row, session) for row in chosen if session.networks[row["arch_id"]].ms is not None)
    return judge(table.lut_id, found, session.about, nominals_of(store, table.lut_id), bound)


def judge(
    lut_id: str,
    networks: tuple[NetworkDrift, ...],
    session: Mapping[str, Any],
    nominals_ms: Mapping[str, float],
    bound: float,
) -> Drift:
    """Return what networks and references say.

    Args:
        lut_id: The table.
        networks: Networks of the table, measured again.
        session: In which they were, as `devices.measurement.Session.describe` gives it.
        nominals_ms: Of the references as the table was built.
        bound: As a fraction.
    """
    readings, now = session["reference_ms"], session["reference_nominals_ms"]
    references = {name: readings[name] / nominal for name, nominal in nominals_ms.items() if name in readings}
    replaced = any(abs(now[name] / nominals_ms[name] - 1) > _SAME_NOMINAL for name in references if name in now)
    reasons = ["the device was calibrated anew since the table was built"] if replaced else []
    reasons += [f"the session was {session['verdict']}: {why}" for why in session["reasons"]]
    off = median(abs(one.ratio - 1) for one in networks) if networks else None
    if off is None:
        reasons.append("none of its networks gave a number")
        return Drift(lut_id, "unknown", bound, None, networks, references, replaced, tuple(reasons))
    at_least = math.expm1(median(abs(math.log(one.ratio)) - math.log1p(one.noise) for one in networks))
    verdict = "ok" if off <= bound else "drifted" if at_least > 0 else "unclear"
    return Drift(lut_id, verdict, bound, off, networks, references, replaced, tuple(reasons), at_least)


def _drift_of(row: Mapping[str, Any], session: MeasuringSession) -> NetworkDrift:
    now = session.networks[row["arch_id"]]
    ms = now.ms if now.ms is not None else math.nan
    halves = [(row["high_ms"] - row["low_ms"]) / 2 / row["measured_ms"], (now.high_ms - now.low_ms) / 2 / ms]
    return NetworkDrift(row["arch_id"], row["measured_ms"], ms, ms / row["measured_ms"], math.hypot(*halves))
