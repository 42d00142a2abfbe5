"""A latency table in a notebook or a script: opened or built, looked up, asked for predictions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.coverage import covered_space
from latency.on_device import COMPONENTS, OnDevice, lut_settings
from latency.plan import LutPlan
from latency.probes import Mode
from latency.progress import Progress
from latency.saving import MeasuredNetwork, networks_of
from latency.schema import LATENCY
from latency.table import LatencyTable as _Table
from latency.table import LutEntry, Missing, list_tables, load_table
from mnas.architecture import Architecture
from mnas.errors import SpaceError
from mnas.export.network import Dtype
from mnas.output_folder import output_folder
from mnas.reading import read_architecture
from mnas.segments import Segment, segments_of
from mnas.space import Genome, SearchSpace
from mnas.spaces.presets import chosen_space
from mnas.store import FILE_NAME, Store
from search.api.rows import Rows, Tabular

_LISTED = ("lut_id", "created_at_utc", "status", "space", "device", "runtime", "entries", "dtype", "mape", "origin")
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True, repr=False)
class LatencyTable(Tabular):
    """A finished table of an output folder, with the whole networks that were measured beside it.

    Attributes:
        table: The table itself.
        measured: Whole networks that it was calibrated and validated on.
    """

    table: _Table
    measured: tuple[MeasuredNetwork, ...] = ()

    @staticmethod
    def list(out: str | Path | None = None) -> Rows:
        """Return the tables of an output folder, newest first.

        Args:
            out: The folder; else ``$MNAS_OUT``, else ``./mnas-out``.

        Raises:
            StoreError: ``STO06``: there is none yet.
        """
        folder = output_folder(out)
        with _stored(folder) as store:
            found = list_tables(store)
        return Rows(tuple(_listed(row) for row in found), f"latency tables in {folder}")

    @classmethod
    def open(cls, lut_id: str = "", out: str | Path | None = None) -> LatencyTable:
        """Return a finished table.

        Args:
            lut_id: Its id or the beginning of it; the newest finished one unless given.
            out: The output folder.

        Raises:
            LutError: ``LUT01``: no such finished table.
            StoreError: ``STO06``: nothing was measured into the folder yet.
        """
        with _stored(output_folder(out)) as store:
            ready = [row["lut_id"] for row in list_tables(store) if row["status"] == "ready"]
            return cls._read(store, lut_id or (ready[0] if ready else "the newest"))

    @classmethod
    def build(
        cls,
        space: str = "mobilenetv3",
        preset: str = "imagenet",
        device: str = "host:ort",
        out: str | Path | None = None,
        *,
        resolutions_px: Sequence[int] = (),
        mode: Mode = "accurate",
        rounds: int | None = None,
        calibration: int | None = None,
        validation: int | None = None,
        dtype: Dtype = "float32",
        progress: Progress = lambda what, done, total: None,
    ) -> LatencyTable:
        """Return the table of a space on a device: there already, gone on with, or built.

        Args:
            space: Family, or the path of a ``.toml`` file.
            preset: Of the family; "" for a file.
            device: Device spec.
            out: The output folder.
            resolutions_px: Keep only these of the space's; all of them when empty.
            mode: ``accurate`` or ``fast``.
            rounds: Visits of each segment; the mode's own unless given.
            calibration: Networks to calibrate on; likewise.
            validation: Others to validate on; likewise.
            dtype: Of the networks.
            progress: Told what is being done, how much of it is done, how much there is.

        Raises:
            DeviceError: The device cannot be opened, or is gone; what was measured is kept.
            LutError: Segments could not be measured.
            SpaceError: No such space.
        """
        settings = lut_settings(mode, rounds, calibration, validation, device)
        plan = LutPlan(chosen_space(space, preset, tuple(resolutions_px)), settings, dtype)
        with Store(output_folder(out) / FILE_NAME, COMPONENTS) as store, OnDevice(device, store) as opened:
            return cls._read(store, opened.build_table(plan, progress).lut_id)

    @classmethod
    def _read(cls, store: Store, lut_id: str) -> LatencyTable:
        table = load_table(store, lut_id)
        return cls(table, tuple(networks_of(store, table.lut_id)))

    @property
    def lut_id(self) -> str:
        """Its id."""
        return self.table.lut_id

    @property
    def space(self) -> SearchSpace | None:
        """The space that it was built for; ``None`` where that is not known here."""
        return covered_space(self.table)

    def rows(self) -> Rows:
        """Return its entries, in the order of their labels."""
        return self._entries(self.table.entries.items(), "")

    def lookup(self, what: str | Architecture | Genome) -> Rows:
        """Return some of its entries.

        Args:
            what: Part of their labels, such as ``k5`` or ``stem``; or a network: those it is the sum of, in order.

        Raises:
            LutError: ``LUT02``: the table lacks entries of the network.
            SpaceError: ``SPC01``: a genome, and the space is not known here; ``SPC02``: not a genome of it.
        """
        if isinstance(what, str):
            return self._entries(
                ((s, e) for s, e in self.table.entries.items() if what in s.label()), f" with '{what}'"
            )
        segments = segments_of(self._architecture(what))
        self.table.require(segments)
        rows = tuple(_entry(one, self.table.entries[one]) for one in segments)
        return Rows(rows, f"entries of a network in {self._title()}", self._notes())

    def predict(self, *networks: str | Path | Architecture | Genome, missing: Missing = "refuse") -> Rows:
        """Return the latency of networks as one session would measure it, with 95 % intervals.

        Args:
            networks: Architectures, genomes of its space, names, or paths of architecture.json.
            missing: What to do about entries that it lacks: ``refuse``, or ``interpolate``.

        Raises:
            ArchitectureError: No such network.
            LutError: ``LUT02``: entries are missing.
            SpaceError: As `lookup`.
        """
        architectures = [self._architecture(one) for one in networks]
        estimates = self.table.estimate(architectures, missing=missing)
        rows = tuple(
            {
                "network": str(given) if isinstance(given, str | Path) else architecture.arch_id[:_SHOWN_DIGITS],
                "latency_ms": one.ms,
                "low_ms": one.low_ms,
                "high_ms": one.high_ms,
                "source": one.source,
                "interpolated": one.interpolated,
                "arch_id": architecture.arch_id,
            }
            for given, architecture, one in zip(networks, architectures, estimates, strict=True)
        )
        shown = ("network", "latency_ms", "low_ms", "high_ms", "source")
        return Rows(rows, f"predicted by {self._title()}", self._notes(), shown)

    def networks(self) -> Rows:
        """Return the whole networks that were measured beside it, with what it predicts of them."""
        predict = self.table.calibration.apply
        rows = tuple(
            {
                "arch_id": one.arch_id,
                "purpose": one.purpose,
                "predicted_ms": predict(one.sum_ms, one.block_params),
                "measured_ms": one.measured_ms,
                "low_ms": one.low_ms,
                "high_ms": one.high_ms,
                "macs": one.macs,
            }
            for one in self.measured
        )
        return Rows(rows, f"whole networks of {self._title()}", self._notes())

    def plot(self) -> Any:
        """Return a plotly figure: what it predicts of whole networks against what was measured.

        Raises:
            PackageError: ``PKG01``: plotly is not installed.
        """
        from search.api.plots import table_figure

        return table_figure(self.networks())

    def _architecture(self, network: str | Path | Architecture | Genome) -> Architecture:
        if isinstance(network, Architecture):
            return network
        if isinstance(network, str | Path):
            return read_architecture(network)
        space = self.space
        if space is None:
            raise SpaceError(
                "SPC01",
                "the space of the table is not known here",
                value=self.table.space,
                why="a genome means nothing without it",
                fix="give the architecture instead",
            )
        return space.decode(tuple(network))

    def _entries(self, items: Iterable[tuple[Segment, LutEntry]], which: str) -> Rows:
        rows = sorted((_entry(*item) for item in items), key=lambda row: str(row["segment"]))
        return Rows(tuple(rows), f"{self._title()}{which}", self._notes())

    def _title(self) -> str:
        info = self.table.device
        return f"{self.lut_id}: {self.table.space} on {info.model}, {info.runtime}"

    def _notes(self) -> tuple[str, ...]:
        found = self.table.validation
        how_good = f"MAPE {found.table.mape:.2%} on {found.networks} other networks" if found else ""
        return tuple(filter(None, (*self.table.marks(), how_good)))


def _stored(folder: Path) -> Store:
    return Store(folder / FILE_NAME, (LATENCY,), must_exist=True)


def _entry(segment: Segment, entry: LutEntry) -> dict[str, Any]:
    return {
        "segment": segment.label(),
        "latency_ms": entry.latency_ms,
        "low_ms": entry.low_ms,
        "high_ms": entry.high_ms,
        "samples": entry.samples,
        "verdict": entry.verdict,
    }


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    info, validation = json.loads(row["device_json"]), json.loads(row["validation_json"] or "null")
    told = {
        "device": info["model"],
        "runtime": info["runtime"],
        "mape": validation["table"]["mape"] if validation else None,
    }
    return {name: told[name] if name in told else row[name] for name in _LISTED}
