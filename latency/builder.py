"""Builds a latency table on a device: every visit is a row, so that a kill costs at most the visit under way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from devices.calibration import ready_harness
from devices.device import Device, DeviceInfo
from devices.harness import Harness
from latency.assembly import finish_table
from latency.plan import NETWORK_ROUNDS_FACTOR, LutPlan
from latency.probes import Probe, write_network, write_probe
from latency.records import Measured, chunk_measurements, open_sitting, rounds_done, store_visit
from latency.table import LatencyTable, load_table
from mnas.export.artifact import ModelArtifact
from mnas.jsonio import canonical_json
from mnas.seeding import derive_seed
from mnas.space import Genome
from mnas.store import Store, utc_now

CHUNK = 400
"""Models of one sitting: enough to average over the machine's states, few enough to hold in memory."""

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, how much there is."""


def find_table(store: Store, plan: LutPlan, device: DeviceInfo) -> tuple[str, str] | None:
    """Return id and status of the newest table of this plan and device, finished ones first."""
    rows = store.query(
        "SELECT lut_id, status FROM lut WHERE identity = ? ORDER BY status = 'ready' DESC, created_at_utc DESC",
        (plan.identity(device),),
    )
    return (rows[0]["lut_id"], rows[0]["status"]) if rows else None


class LutBuilder:
    """Builds one table.

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
            LutError: ``LUT05``: segments that could not be measured; going on tries them again.
        """
        found = None if anew else find_table(self._store, self._plan, self._device.info)
        if found and found[1] == "ready":
            return load_table(self._store, found[0])
        lut_id = found[0] if found else self._insert()
        with tempfile.TemporaryDirectory(prefix="mnas-lut-") as folder:
            ready = ready_harness(
                self._device,
                self._store,
                Path(folder),
                self._plan.settings.protocol,
                rng=np.random.default_rng(derive_seed(self._plan.settings.seed, "visits", lut_id)),
            )
            measured: dict[Probe | Genome, Measured] = {}
            items: list[Probe | Genome] = [*self._plan.probes, *self._plan.networks]
            for chunk, start in enumerate(range(0, len(items), CHUNK)):
                part = items[start : start + CHUNK]
                measured |= self._measure_chunk(lut_id, chunk, part, ready.harness, Path(folder))
        finish_table(self._store, lut_id, self._plan, measured)
        return load_table(self._store, lut_id)

    def _insert(self) -> str:
        created, plan, device = utc_now(), self._plan, self._device.info
        identity = plan.identity(device)
        with self._store.transaction() as sql:
            number = sql.execute("SELECT count(*) FROM lut").fetchone()[0]
            lut_id = f"lut{number + 1}-{identity[:8]}"
            sql.execute(
                "INSERT INTO lut (lut_id, identity, created_at_utc, status, space, device_key, device_json, dtype, "
                "batch, settings_json) VALUES (?, ?, ?, 'building', ?, ?, ?, 'float32', 1, ?)",
                (
                    lut_id,
                    identity,
                    created,
                    plan.space.name,
                    device.device_key,
                    canonical_json(device.to_json()),
                    canonical_json(plan.settings.to_json()),
                ),
            )
        return lut_id

    def _measure_chunk(
        self, lut_id: str, chunk: int, items: list[Probe | Genome], harness: Harness, folder: Path
    ) -> dict[Probe | Genome, Measured]:
        artifacts = {}
        for number, item in enumerate(items):
            artifacts[item] = self._write(item, folder)
            self._progress("writing models", number + 1, len(items))
        wanted = {artifacts[item].sha256: self._rounds(item) for item in items}
        done = rounds_done(self._store, lut_id, chunk)
        left = {sha256: max(0, rounds - done.get(sha256, 0)) for sha256, rounds in wanted.items()}
        if any(left.values()):
            self._visit(lut_id, chunk, artifacts, left, harness)
        measurements = chunk_measurements(self._store, lut_id, chunk, harness, wanted)
        return {item: measurements[artifact.sha256] for item, artifact in artifacts.items()}

    def _write(self, item: Probe | Genome, folder: Path) -> ModelArtifact:
        if isinstance(item, Probe):
            return write_probe(item, folder, self._device.model_format)
        return write_network(self._plan.space.decode(item), folder, self._device.model_format)

    def _rounds(self, item: Probe | Genome) -> int:
        rounds = self._plan.settings.protocol.rounds
        return rounds if isinstance(item, Probe) else rounds * NETWORK_ROUNDS_FACTOR

    def _visit(
        self,
        lut_id: str,
        chunk: int,
        artifacts: Mapping[Probe | Genome, ModelArtifact],
        left: Mapping[str, int],
        harness: Harness,
    ) -> None:
        sitting = open_sitting(self._store, lut_id, chunk, harness.nominals_ms, self._device.conditions())
        total, seen = sum(left.values()), 0
        for record in harness.visits(artifacts.values(), left):
            store_visit(self._store, sitting, record)
            if not record.is_reference:
                seen += 1
                self._progress("measuring", min(seen, total), total)
        self._device.unload([artifact.sha256 for artifact in artifacts.values()])
