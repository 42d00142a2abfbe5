"""Studies whose events are made up, of any size at once: what pages and listings are made of, without a training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from devices.testing import SimulatedDevice
from latency.saving import MeasuredNetwork, save_table
from latency.table import LatencyTable, LutEntry
from latency.testing import made_up_table
from latency.validation import Errors, Validation
from mnas.config import StudyConfig, make_config
from mnas.counts import total_macs
from mnas.jsonio import canonical_json
from mnas.layers import layers_of, layers_of_blocks
from mnas.spaces.presets import open_space
from mnas.store import Store, utc_now
from search.candidate import Candidate, ObjectiveValue
from search.outlook import Outlook
from search.result import StudyResult, load_result
from search.study import Study, open_store

SEEDS = 2
SOURCE = "proxy-training:fashion/sgd-2000x6"
_ERRORS = Errors(0.021, 0.05, 0.93, 1.0, -0.004, 0.95, 0.97)


class RecordedStudy:
    """A finished study on made-up tables, in a store of its own.

    Args:
        out: Output folder to be made.
        candidates: How many.
        finalists: How many of them; 0 for a search that has just ended.
        failing: Number of a candidate -> why it failed.
        source: Where accuracies come from, in words.
        keys: Of the configuration, beside those of a small study.
    """

    def __init__(
        self,
        out: Path,
        *,
        candidates: int = 40,
        finalists: int = 6,
        failing: dict[int, str] | None = None,
        source: str = SOURCE,
        **keys: Any,
    ) -> None:
        self.out, self._source, self._failing = out, source, failing or {}
        known = {"data": "fashion", "preset": "fashion", "budget": candidates, "finalists": max(finalists, 1)}
        config = make_config({**known, "finalist_seeds": SEEDS, **keys})
        self.space = open_space("mobilenetv3", config.preset)
        self._rng = np.random.default_rng(config.seed)
        with open_store(out) as store:
            self.tables = [self._table(store, number) for number, _ in enumerate(config.devices)]
            study = Study.create(store, config)
            self.study_id = study.study_id
            self._outlook = Outlook.of(self.space, self.tables, config)
            self.candidates = self._candidates(config, candidates)
            events = [*self._search(config), *(self._finals(config, finalists) if finalists else [])]
            with store.transaction() as sql:
                sql.executemany(
                    "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (self.study_id, number, utc_now(), kind, key, canonical_json(payload))
                        for number, (kind, key, payload) in enumerate(events, 1)
                    ],
                )
                sql.execute("UPDATE study SET status = 'finished' WHERE study_id = ?", (self.study_id,))

    def result(self) -> StudyResult:
        """Return the study as it is read."""
        with open_store(self.out, must_exist=True) as store:
            return load_result(store, self.study_id)

    def _table(self, store: Store, number: int) -> LatencyTable:
        """Return a table in which a part costs something itself and then by its MACs, each device its own way."""
        table = made_up_table(self.space)
        entries = {}
        for segment, made_up in table.entries.items():
            macs = total_macs(layers_of_blocks(segment.blocks, segment.in_shape_chw))
            ms = 0.02 * made_up.latency_ms + macs / (2e8 * (1 + 0.7 * number) * (0.5 + made_up.latency_ms))
            entries[segment] = LutEntry(ms, 0.97 * ms, 1.03 * ms, 40, "noisy" if made_up.latency_ms > 1.45 else "ok")
        device = replace(SimulatedDevice().info, device_id=f"simulated:{number}", model=f"Made-up {number}")
        validation = Validation(8, _ERRORS, replace(_ERRORS, mape=0.09), replace(_ERRORS, mape=0.4), _ERRORS, 0.02)
        table = LatencyTable(
            **{name: getattr(table, name) for name in ("space", "dtype", "batch", "settings", "calibration")},
            lut_id=f"lut{number + 1}-madeup",
            device=device,
            entries=entries,
            validation=validation,
            created_at_utc="2026-01-01T00:00:00+00:00",
        )
        saved = save_table(store, table, self._whole(table))
        with store.transaction() as sql:
            for sitting in range(6):
                load = {"load_average": [0.4 + 0.1 * sitting, 0.4, 0.3], "cpu_mhz": [2600.0 - 20 * sitting]}
                sql.execute(
                    "INSERT INTO lut_sitting (lut_id, chunk, started_at_utc, nominals_json, conditions_json) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (saved.lut_id, sitting, f"2026-01-01T00:{5 * sitting:02}:00+00:00", "{}", canonical_json(load)),
                )
        return saved

    def _whole(self, table: LatencyTable) -> list[MeasuredNetwork]:
        found = []
        for number in range(16):
            genome = self.space.sample(self._rng)
            architecture = self.space.decode(genome)
            sum_ms, params = table.parts(architecture)
            ms = table.calibration.apply(sum_ms, params) * math.exp(self._rng.normal(0, 0.02))
            purpose, macs = "validation" if number % 2 else "calibration", total_macs(layers_of(architecture))
            ends = (0.99 * ms, 1.01 * ms)
            own = (architecture.arch_id, purpose, canonical_json(list(genome)), macs, params, sum_ms, ms, *ends)
            found.append(MeasuredNetwork(*own))
        return found

    def _candidates(self, config: StudyConfig, count: int) -> list[Candidate]:
        genomes = list({self.space.canonical(self.space.draw(self._rng)): None for _ in range(count)})
        device_ms = self._outlook.device_ms(genomes)
        latency = self._outlook.combination.of_devices(device_ms)
        found = []
        for number, genome in enumerate(genomes):
            architecture = self.space.decode(genome)
            size = total_macs(layers_of(architecture)) ** 0.25
            error = None if number in self._failing else float(0.04 + 3 / size + abs(self._rng.normal(0, 0.01)))
            values = [self._value(config, one, genome, number, error, device_ms, latency) for one in config.sought]
            found.append(
                Candidate(
                    number=number,
                    arch_id=architecture.arch_id,
                    genome=genome,
                    generation=number // config.population,
                    predicted_ms=float(latency[number]),
                    latency_source="lut",
                    status="failed" if error is None else "done",
                    error=error,
                    loss=error,
                    accuracy_source=self._source,
                    reward=None if error is None else 1 - error,
                    seed=number,
                    cost_s=1.0,
                    reason=self._failing.get(number, ""),
                    values=tuple(values),
                )
            )
        return found

    def _value(
        self, config: StudyConfig, one: Any, genome: Any, number: int, error: float | None, device_ms: Any, latency: Any
    ) -> ObjectiveValue:
        if one.name == "error":
            return ObjectiveValue.of(one, error, self._source)
        if one.name == "latency":
            ms = device_ms[number, one.device - 1] if one.device else latency[number]
            return ObjectiveValue.of(one, float(ms), "lut")
        return ObjectiveValue.of(one, int(self._outlook.figure(one.name).values([genome])[0]), "counted")

    def _search(self, config: StudyConfig) -> list[tuple[str, str, dict[str, Any]]]:
        events: list[tuple[str, str, dict[str, Any]]] = [("data", "", {"name": config.data, "fingerprint": "f"})]
        for number, table in enumerate(self.tables, 1):
            key = "" if number == 1 else str(number)
            events.append(("lut", key, {"foreign": None, "lut_id": table.lut_id}))
        latencies = sorted(one.predicted_ms for one in self.candidates)
        point = [0.9, *(1e9 for _ in config.sought[2:]), 2 * latencies[-1]]
        goal = {"target_ms": latencies[len(latencies) // 2], "target_source": "median", "least_ms": latencies[0]}
        events.append(("goal", "", {**goal, "greatest_ms": latencies[-1], "reference_point": point, "confidence": 0.0}))
        for one in self.candidates:
            events.append(("evaluated", one.arch_id, one.to_json()))
        for done in range(config.population, len(self.candidates) + 1, config.population):
            volume = 1 - 1 / (1 + done / 20)
            payload = {"evaluations": done, "front": 3, "hypervolume": volume}
            events.append(("generation", f"{done // config.population - 1}/{done}", payload))
        return events

    def _finals(self, config: StudyConfig, count: int) -> list[tuple[str, str, dict[str, Any]]]:
        done = sorted((one for one in self.candidates if one.error is not None), key=lambda one: one.predicted_ms)
        chosen, least = [], 1.0
        for one in done:
            if one.error is not None and one.error < least:
                chosen, least = [*chosen, one], one.error
        rest = [one for one in done if one not in chosen]
        chosen = sorted([*chosen, *rest][:count], key=lambda one: one.predicted_ms)
        events: list[tuple[str, str, dict[str, Any]]] = [
            ("finalists", "", {"members": [one.arch_id for one in chosen]})
        ]
        errors: dict[str, list[float]] = {}
        for one in chosen:
            for repeat in range(SEEDS):
                error = (one.error or 0.5) * 0.6 + float(self._rng.normal(0, 0.002))
                errors.setdefault(one.arch_id, []).append(error)
                trained = {"errors": {"val": error}, "images": {"val": 1000}, "seed": 7 + repeat, "error_message": ""}
                events.append(("trained", f"{one.arch_id}/{repeat}", trained))
                events.append(("tested", f"{one.arch_id}/{repeat}", {"error": error + 0.003, "images": 1000}))
            files = {"onnx": {"sha256": one.arch_id[::-1], "bytes": 1000}}
            exported = {"folder": f"exports/{one.arch_id[:12]}", "repeat": 0, "files": files}
            events.append(("exported", one.arch_id, exported))
        for number in range(1, len(config.devices) + 1):
            events.append(("measured", "" if number == 1 else str(number), self._session(chosen, number)))
        return [*events, ("recommended", "", self._recommended(chosen, errors))]

    def _session(self, chosen: list[Candidate], number: int) -> dict[str, Any]:
        networks = {}
        for one in chosen:
            predicted = float(self._outlook.device_ms([one.genome])[0, number - 1])
            ms = predicted * math.exp(float(self._rng.normal(0.01, 0.02)))
            samples = [ms * float(factor) for factor in self._rng.normal(1, 0.01, 20)]
            networks[one.arch_id] = {"ms": ms, "low_ms": 0.985 * ms, "high_ms": 1.015 * ms, "verdict": "ok"}
            networks[one.arch_id] |= {"reasons": [], "samples_ms": samples, "rounds": list(range(20))}
        wave = {str(n): 1.25 * (1.02 + 0.02 * math.sin(n / 3)) for n in range(20)}
        during = [
            {"t_s": 30.0 * n, "round": n, "load_average": [0.5 + 0.02 * n], "cpu_mhz": [2600.0]} for n in range(20)
        ]
        ends = {"load_average": [0.5, 0.5, 0.4], "cpu_mhz": [2600.0]}
        return {
            "networks": networks,
            "device_key": f"{number:064x}",
            "started_at_utc": "2026-01-01T02:00:00+00:00",
            "reference_ms": {"dense": 1.26},
            "reference_nominals_ms": {"dense": 1.25},
            "reference_rounds_ms": {"dense": wave},
            "conditions_before": ends,
            "conditions_during": during,
            "conditions_after": {**ends, "load_average": [0.9, 0.6, 0.5]},
            "protocol": {"rounds": 20, "quantile": 0.2},
            "verdict": "ok",
            "reasons": [],
        }

    def _recommended(self, chosen: list[Candidate], errors: dict[str, list[float]]) -> dict[str, Any]:
        members, least = [], 1.0
        for one in chosen:
            mean = sum(errors[one.arch_id]) / SEEDS
            if mean < least:
                members, least = [*members, one.arch_id], mean
        ties = [members[:2]] if len(members) > 2 else []
        return {
            "members": members,
            "best_under_target": members[min(1, len(members) - 1)],
            "ties": ties,
            "latency_ties": [],
            "seed_noise": 0.002,
        }
