"""Whether the devices that shared a table agree: some probes are measured by each of them.

Latencies are ratios to the reference networks, so a phone that is slower as a whole does not show in them. What is left
between two phones of one model is how unevenly they are slower: by operator, by size, by heat.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.harness import Harness
from devices.offset import offset_of
from devices.summary import geometric_mean
from latency.plan import LutPlan
from latency.probes import Probe
from latency.records import devices_of, table_session, visits_done
from mnas.errors import LutError, MeasurementError
from mnas.jsonio import canonical_json, without_nan
from mnas.seeding import named_rng
from mnas.store import Store

SCHEMA = "mnas.consistency/1"
COMMON_SHARE, FEWEST_COMMON = 0.05, 8
"""Probes that every device measures."""
WARN_FRACTION, REFUSE_FRACTION = 0.03, 0.10
"""Disagreement of a device with the others: a probe repeats to 2 or 3 %, so the mean over eight of them to 1 %."""
WARN_SPREAD, REFUSE_SPREAD = 0.08, 0.25
"""Standard deviation over the probes of how far a device lies off."""
_FEWEST_TO_JUDGE = 3


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """What one device gave to a shared table, and how far it lies off the others.

    Attributes:
        device_id: Of the device.
        visits: Visits that it made.
        probes: Probes that it and another measured.
        ratio: Its latencies over the others', geometric mean over these probes; ``None`` without any.
        interval: Its 95 % interval over the probes; ``None`` below three.
        spread: Standard deviation of the logarithm of the ratio over the probes.
        level: Its raw reference readings over their nominals, geometric mean: how fast it is as a whole.
    """

    device_id: str
    visits: int
    probes: int
    ratio: float | None
    interval: tuple[float, float] | None
    spread: float | None
    level: float

    def objections(self, warn: float, spread: float) -> list[str]:
        """Return how it lies off the others by more than these bounds."""
        found = []
        if self.ratio is not None and abs(math.log(self.ratio)) > math.log1p(warn):
            found.append(f"{self.device_id} takes {self.ratio - 1:+.1%} against the others, {warn:.0%} allowed")
        if self.spread is not None and self.spread > spread:
            found.append(f"{self.device_id} is off by {self.spread:.0%} from probe to probe, {spread:.0%} allowed")
        return found


@dataclass(frozen=True, slots=True)
class Consistency:
    """The report on a table that several devices shared.

    Attributes:
        verdict: ``ok``, ``differ``, ``disagree`` (the table is refused), or ``unknown``: too few common probes.
        reasons: Why it is not ``ok``.
        devices: Each device.
    """

    verdict: str
    reasons: tuple[str, ...]
    devices: tuple[DeviceShare, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as strict JSON."""
        return {"schema": SCHEMA, **without_nan(asdict(self))}


def common_probes(plan: LutPlan) -> tuple[Probe, ...]:
    """Return the probes that every device of a shared build measures: 5 %, 8 at least, drawn by the plan's seed."""
    count = min(len(plan.probes), max(FEWEST_COMMON, math.ceil(COMMON_SHARE * len(plan.probes))))
    rng = named_rng(plan.settings.seed, "common probes of a table", plan.space.name)
    places = sorted(rng.choice(len(plan.probes), count, replace=False).tolist())
    return tuple(plan.probes[place] for place in places)


def check_consistency(
    store: Store, lut_id: str, harness: Harness, rounds_wanted: Mapping[str, int]
) -> Consistency | None:
    """Compare the devices that measured for a table, and keep the report with it; ``None`` for one device.

    Args:
        store: Opened with latency's tables.
        lut_id: The table.
        harness: Of one of its devices, for references, nominals and protocol.
        rounds_wanted: sha256 of each common probe -> its rounds.

    Raises:
        LutError: ``LUT21``: the devices disagree too much to be one.
    """
    names = [name for name in devices_of(store, lut_id) if name]  # sittings of before have none
    if len(names) < 2:
        return None
    report = judge(_shares(store, lut_id, harness, rounds_wanted, names))
    store.execute(
        "UPDATE lut SET consistency_json = ? WHERE lut_id = ? AND status = 'building'",
        (canonical_json(report.to_json()), lut_id),
    )
    if report.verdict == "disagree":
        raise LutError(
            "LUT21",
            "the devices that shared this table disagree",
            value="; ".join(report.reasons),
            why="their numbers would not be those of one device",
            fix="build it on one of them alone: mnas lut build --anew --device ...",
        )
    return report


def judge(shares: list[DeviceShare]) -> Consistency:
    """Return the report on what the devices gave."""
    bad = [text for one in shares for text in one.objections(REFUSE_FRACTION, REFUSE_SPREAD)]
    doubts = [text for one in shares for text in one.objections(WARN_FRACTION, WARN_SPREAD)]
    unknown = [
        f"{one.device_id} measured {one.probes} of the common probes: too few to judge it"
        for one in shares
        if one.probes < _FEWEST_TO_JUDGE
    ]
    verdict = "disagree" if bad else "unknown" if unknown else "differ" if doubts else "ok"
    return Consistency(verdict, tuple(bad or [*unknown, *doubts]), tuple(shares))


def _shares(
    store: Store, lut_id: str, harness: Harness, rounds_wanted: Mapping[str, int], names: list[str]
) -> list[DeviceShare]:
    measured: dict[str, dict[str, float]] = {}
    levels: dict[str, float] = {}
    for name in names:
        try:
            session = table_session(store, lut_id, harness, rounds_wanted, name)
        except MeasurementError:  # it was lost before its references had run once, so none of its visits counts
            measured[name], levels[name] = {}, math.nan
            continue
        found = {sha256: session.measurements.get(sha256) for sha256 in rounds_wanted}
        measured[name] = {sha256: one.latency_ms for sha256, one in found.items() if one and one.latency_ms}
        readings = [session.reference_ms[one] / nominal for one, nominal in session.reference_nominals_ms.items()]
        levels[name] = geometric_mean(readings)
    shares = []
    for name in names:
        offset = offset_of("others", _others(measured, name), name, measured[name])
        shares.append(
            DeviceShare(
                device_id=name,
                visits=visits_done(store, lut_id, name),
                probes=offset.networks if offset else 0,
                ratio=offset.ratio if offset else None,
                interval=offset.interval if offset else None,
                spread=offset.spread if offset else None,
                level=levels[name],
            )
        )
    return shares


def _others(measured: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    """Return sha256 -> geometric mean over all devices but one."""
    found: dict[str, list[float]] = {}
    for other, values in measured.items():
        for sha256, ms in values.items() if other != name else ():
            found.setdefault(sha256, []).append(ms)
    return {sha256: geometric_mean(values) for sha256, values in found.items()}


def load_consistency(store: Store, lut_id: str) -> dict[str, Any] | None:
    """Return the stored report of a table as JSON, or ``None`` where one device measured all of it."""
    (row,) = store.query("SELECT consistency_json FROM lut WHERE lut_id = ?", (lut_id,))
    return dict(json.loads(row["consistency_json"])) if row["consistency_json"] else None
