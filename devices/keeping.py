"""Keeps a run in the store for as long as the store can be written; the measurement does not hang on that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from devices.device import DeviceInfo
from devices.harness import Harness
from devices.protocol import VisitRecord
from devices.run import BenchedModel, BenchRun
from devices.runs import RunRecorder
from mnas.errors import StoreError
from mnas.store import Store


class RunKeeper:
    """Hands a run to its recorder, round by round. Once the store fails, e.g. for a full disk, it only warns.

    Args:
        store: Opened with the component `devices.runs.RUNS`.
        device: What is measured on.
        request: What was asked for.
        versions: Package -> version.
        started_at_utc: ISO 8601.

    Raises:
        StoreError: Not even the beginning can be kept.
    """

    def __init__(
        self,
        store: Store,
        device: DeviceInfo,
        request: Mapping[str, Any],
        versions: Mapping[str, str],
        started_at_utc: str,
    ) -> None:
        self._recorder = RunRecorder.begin(store, device, request, versions, started_at_utc=started_at_utc)
        self._pending: list[VisitRecord] = []
        self.warnings: list[str] = []

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._recorder.run_id

    def __enter__(self) -> RunKeeper:
        self._recorder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.__exit__(kind, error, trace)

    def models(self, models: Sequence[BenchedModel]) -> None:
        """Keep which models take part."""
        self._keep(lambda: self._recorder.models(models))

    def measuring(self, harness: Harness, conditions: Mapping[str, Any]) -> None:
        """Keep what the visits have to be judged by."""
        references = {name: artifact.identity for name, artifact in harness.references.items()}
        self._keep(lambda: self._recorder.measuring(references, harness.nominals_ms, harness.settings, conditions))

    def add(self, record: VisitRecord) -> None:
        """Take a visit; those of a round are kept together when the next round begins."""
        if self._pending and self._pending[-1].round != record.round:
            self.flush()
        self._pending.append(record)

    def flush(self) -> None:
        """Keep the visits that were taken and not kept yet."""
        records, self._pending = self._pending, []
        if records:
            self._keep(lambda: self._recorder.append_round(records))

    def judged(self, run: BenchRun) -> None:
        """Keep what the session said, before anything else is measured."""
        self._keep(lambda: self._recorder.judged(run))

    def extra(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep what is measured beside the session."""
        self._keep(lambda: self._recorder.extra(name, value))

    def finish(self, run: BenchRun) -> None:
        """Keep the whole run."""
        self._keep(lambda: self._recorder.finish(run))

    def _keep(self, write: Callable[[], None]) -> None:
        if self.warnings:
            return
        try:
            write()
        except StoreError as error:
            self.warnings.append(f"the run is not kept any further: {error}")
