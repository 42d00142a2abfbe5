"""Builds a latency table on a device: every visit is a row, so that a kill costs at most the visit under way."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from devices.device import Device, DeviceInfo
from devices.harness import Harness
from latency.assembly import finish_table
from latency.consistency import check_consistency, common_probes
from latency.lock import BuildLock
from latency.plan import LutPlan
from latency.progress import BuildProgress, Progress
from latency.records import table_measurements, visits_done
from latency.table import LatencyTable, load_table
from latency.worker import Item, TableWorker, items_of, pieces_of, rounds_of
from mnas.jsonio import canonical_json
from mnas.seeding import derive_seed
from mnas.spaces.toml_file import own_definition
from mnas.store import Store, utc_now

CHUNK = 600
"""Models of one sitting: all probes of a table at one resolution, so that what disturbs a round disturbs them alike,
and few enough to hold in memory."""


def find_table(store: Store, plan: LutPlan, device: DeviceInfo) -> tuple[str, str] | None:
    """Return id and status of the newest table of this plan and device, finished ones first."""
    rows = store.query(
        "SELECT lut_id, status FROM lut WHERE identity = ? ORDER BY status = 'ready' DESC, created_at_utc DESC",
        (plan.identity(device),),
    )
    return (rows[0]["lut_id"], rows[0]["status"]) if rows else None


def begin_table(store: Store, plan: LutPlan, device: DeviceInfo, *, anew: bool) -> str:
    """Return the id of the table to work on: an unfinished one, or a new one.

    Args:
        store: Opened with latency's tables; the caller holds the table's `BuildLock`.
        plan: What to measure.
        device: On what.
        anew: Start a new table, whatever is there.
    """
    found = None if anew else find_table(store, plan, device)
    if found:
        return found[0]
    identity = plan.identity(device)
    with store.transaction() as sql:
        number = sql.execute("SELECT count(*) FROM lut").fetchone()[0]
        lut_id = f"lut{number + 1}-{identity[:8]}"
        sql.execute(
            "INSERT INTO lut (lut_id, identity, created_at_utc, status, space, device_key, device_json, dtype, "
            "batch, settings_json) VALUES (?, ?, ?, 'building', ?, ?, ?, ?, 1, ?)",
            (
                lut_id,
                identity,
                utc_now(),
                plan.space.name,
                device.device_key,
                canonical_json(device.to_json()),
                plan.dtype,
                canonical_json({**plan.settings.to_json(), **_definition(plan)}),
            ),
        )
    return lut_id


def _definition(plan: LutPlan) -> dict[str, Any]:
    """Return the setting that tells a user's own space to whoever reads the table."""
    own = own_definition(plan.space)
    return {"space_definition": own} if own else {}


def progress_of(store: Store, lut_id: str, plan: LutPlan, tell: Progress, devices: int = 1) -> BuildProgress:
    """Return a counter that starts with what earlier sittings made.

    Args:
        store: Opened with latency's tables.
        lut_id: The table.
        plan: Of the table.
        tell: Called with every step.
        devices: How many are at work; each measures the common probes.
    """
    total = sum(rounds_of(plan, item) for item in items_of(plan))
    total += (devices - 1) * sum(rounds_of(plan, item) for item in common_probes(plan))
    done = visits_done(store, lut_id)
    what = f"measuring {len(plan.probes)} probes and {len(plan.networks)} networks, visits"
    return BuildProgress(tell, what, min(done, total), total, is_shared=devices > 1)


def finish(store: Store, lut_id: str, plan: LutPlan, sha256s: Mapping[Item, str], harness: Harness) -> LatencyTable:
    """Make a table of all that was measured for it, once its devices are found to agree.

    Args:
        store: Opened with the components of devices and latency.
        lut_id: The table; one that is ready stays as it is.
        plan: Of the table.
        sha256s: File of every model.
        harness: Of a device of the table.

    Raises:
        LutError: ``LUT05`` segments without a number, ``LUT06`` a calibration that is none, ``LUT21`` devices that
            disagree.
        MeasurementError: The references gave no runs.
    """
    wanted = {sha256s[item]: rounds_of(plan, item) for item in items_of(plan)}
    shared = {sha256s[item]: rounds_of(plan, item) for item in common_probes(plan)}
    check_consistency(store, lut_id, harness, shared)
    found = table_measurements(store, lut_id, harness, wanted)
    finish_table(store, lut_id, plan, {item: found[sha256] for item, sha256 in sha256s.items()})
    return load_table(store, lut_id)


class LutBuilder:
    """Builds one table on one device; `latency.sharing.SharedBuild` does so on several.

    Args:
        store: Opened with the components of devices and latency.
        device: Open; it stays open.
        plan: What to measure.
        progress: Called after each visit.
    """

    def __init__(self, store: Store, device: Device, plan: LutPlan, progress: Progress) -> None:
        self._store = store
        self._device = device
        self._plan = plan
        self._progress = progress

    def build(self, *, anew: bool = False) -> LatencyTable:
        """Return the finished table: an existing one, an interrupted one gone on with, or a new one.

        Args:
            anew: Start a new table, whatever is there.

        Raises:
            DeviceError: The device is gone.
            LutError: ``LUT05``: segments that could not be measured; going on tries them again. ``LUT20``: another
                process builds the table.
            StoreError: A visit cannot be kept; going on makes it again.
        """
        store, plan, info = self._store, self._plan, self._device.info
        found = None if anew else find_table(store, plan, info)
        if found and found[1] == "ready":
            return load_table(store, found[0])
        with BuildLock(store, plan.identity(info)), tempfile.TemporaryDirectory(prefix="mnas-lut-") as folder:
            lut_id = begin_table(store, plan, info, anew=anew)
            rng = np.random.default_rng(derive_seed(plan.settings.seed, "visits", lut_id))
            worker = TableWorker(store, lut_id, plan, self._device, Path(folder), rng)
            progress = progress_of(store, lut_id, plan, self._progress)
            for piece in pieces_of(plan, CHUNK):
                worker.measure(piece, progress)
            return finish(store, lut_id, plan, worker.sha256s, worker.harness)
