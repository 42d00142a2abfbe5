"""The second stage: a few networks are trained longer on several seeds, exported and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.on_device import MeasuringDevice, MeasuringSession
from mnas.architecture import Architecture
from mnas.errors import ExportError, StudyError
from mnas.export.artifact import ModelArtifact
from mnas.export.folder import ExportedModels, export_folder, parity_to_json, write_models
from mnas.seeding import derive_seed
from search.accuracy.jobs import TrainingJob, TrainingOutcome, require_training, training_outcome
from search.candidate import Candidate
from search.context import StudyContext
from search.data.dataset import Dataset, tensors
from search.data.preprocessing import preprocessing_of
from search.events import device_key
from search.executors.executor import Outcome
from search.goal import Goal
from search.outlook import Outlook
from search.pareto import front_indices, front_ranks, thin_front
from search.study_device import open_study_device
from search.training.weights_file import load_weights

LEAST_FINALISTS = 5
"""Where the front has fewer members, the next ranks fill up: short training does not tell close networks apart."""
_PARITY_IMAGES = 8


def choose_finalists(candidates: Sequence[Candidate], count: int, goal: Goal) -> list[Candidate]:
    """Return the front by the objectives that candidates were ranked by, thinned to ``count``, fastest first.

    The best candidate at or below the target is always among them.
    """
    done = [candidate for candidate in candidates if candidate.status == "done"]
    objectives = np.asarray([candidate.objectives for candidate in done])
    order = front_indices(objectives)
    if len(order) < LEAST_FINALISTS:
        ranks = front_ranks(objectives)
        rest = sorted(set(range(len(done))) - set(order), key=lambda i: (ranks[i], done[i].objectives))
        order += rest[: max(0, min(LEAST_FINALISTS, count) - len(order))]
    within = [place for place, i in enumerate(order) if done[i].latency_ms <= goal.target_ms]
    best = min(within, key=lambda place: done[order[place]].objectives, default=None)
    keep = () if best is None else (best,)
    chosen = [done[order[place]] for place in thin_front(objectives[order], count, keep)]
    return sorted(chosen, key=lambda candidate: candidate.latency_ms)


def train_finalists(context: StudyContext, finalists: Sequence[Candidate]) -> None:
    """Train every finalist on every seed with the final schedule; each training is kept as soon as it is done.

    The slowest network comes first, so that no long training is left over for one process at the end.
    """
    log, known = context.log, context.log.payloads("trained")
    jobs: list[tuple[str, TrainingJob]] = []
    for finalist in sorted(finalists, key=lambda one: -one.predicted_ms):
        for repeat in range(context.config.finalist_seeds):
            key, weights = f"{finalist.arch_id}/{repeat}", weights_path(context.work, finalist.arch_id, repeat)
            if key not in known or (known[key]["error_message"] == "" and not weights.is_file()):
                jobs.append((key, _final_job(context, finalist, repeat, weights)))

    done = 0

    def on_done(index: int, outcome: Outcome) -> None:
        nonlocal done
        require_training(outcome)
        key, job = jobs[index]
        found = training_outcome(job, outcome)
        log.append("trained", asdict(found), key)
        if found.note:
            context.reporter.warn(f"finalist {key}: {found.note}")
        done += 1
        context.reporter.progress("training finalists", done, len(jobs))

    context.executor.map_in_order([job.as_job() for _, job in jobs], on_done)


def _final_job(context: StudyContext, finalist: Candidate, repeat: int, weights: Path) -> TrainingJob:
    return TrainingJob(
        architecture_json=context.architecture(finalist.genome).to_json(),
        dataset_name=context.config.data,
        dataset_folder=context.config.data_dir or None,
        schedule=context.schedule("final"),
        study_seed=context.config.seed,
        repeat=repeat,
        evaluate_splits=("val",),
        keep_weights_path=str(weights),
        checkpoint_path=str(weights.with_suffix(".part")),
        fingerprint=context.dataset.fingerprint,
    )


def weights_path(work: Path, arch_id: str, repeat: int) -> Path:
    """Return where the weights of one training lie."""
    return work / f"{arch_id}-{repeat}.pt"


def trainings_of(context: StudyContext, finalist: Candidate) -> dict[int, TrainingOutcome]:
    """Return the successful trainings of a finalist by repeat."""
    found = {}
    for repeat in range(context.config.finalist_seeds):
        value = context.log.payload("trained", f"{finalist.arch_id}/{repeat}")
        if value is not None and not value["error_message"]:
            found[repeat] = TrainingOutcome(**value)
    return found


def export_finalists(context: StudyContext, finalists: Sequence[Candidate]) -> dict[str, ExportedModels]:
    """Export each finalist with the weights that did best on val; one that fails the gate is left out, loudly.

    Raises:
        StudyError: ``STU04``: not one could be exported.
    """
    exported = {}
    for number, finalist in enumerate(finalists):
        architecture = context.architecture(finalist.genome)
        trainings = trainings_of(context, finalist)
        if not trainings:
            context.reporter.warn(f"finalist {finalist.arch_id[:12]} could not be trained and is left out")
            continue
        repeat = min(trainings, key=lambda r: (trainings[r].errors["val"], trainings[r].losses["val"], r))
        module = load_weights(architecture, weights_path(context.work, finalist.arch_id, repeat))
        try:
            models = write_models(
                context.exports,
                architecture,
                module,
                parity_images(context.dataset, architecture),
                context.study_id,
                preprocessing_of(context.dataset, architecture),
            )
        except ExportError as failure:
            context.reporter.warn(f"finalist {finalist.arch_id[:12]} is left out: {failure}")
            continue
        exported[finalist.arch_id] = models
        context.log.append("exported", _export_event(context, models, repeat), finalist.arch_id)
        context.reporter.progress("exporting finalists", number + 1, len(finalists))
    if not exported:
        raise StudyError(
            "STU04",
            "no finalist could be trained and exported",
            value=", ".join(finalist.arch_id[:12] for finalist in finalists),
            why="see the warnings above",
            fix="start a study with other training or another seed",
        )
    return exported


def parity_images(dataset: Dataset, architecture: Architecture) -> npt.NDArray[np.float32]:
    """Return images of val for the export gate, of as many classes as there are."""
    images, labels = tensors(dataset, "val", architecture.input_shape_chw[1], 200)
    firsts = {int(label): index for index, label in reversed(list(enumerate(labels.tolist())))}
    chosen = sorted(firsts.values())[:_PARITY_IMAGES]
    return np.asarray(images[chosen].contiguous().numpy(), dtype=np.float32)


def _export_event(context: StudyContext, models: ExportedModels, repeat: int) -> dict[str, Any]:
    folder = export_folder(context.exports, models.onnx.arch_id)
    return {
        "folder": folder.relative_to(context.out).as_posix(),
        "repeat": repeat,
        "files": {
            file.format: {"sha256": file.sha256, "bytes": file.size_bytes} for file in (models.onnx, models.tflite)
        },
        "parity": {model_format: parity_to_json(report) for model_format, report in models.parity.items()},
    }


def measure_on_devices(
    context: StudyContext, outlook: Outlook, finalists: Sequence[Candidate], exported: dict[str, ExportedModels]
) -> None:
    """Measure the exported files on each device that has not done so yet, each in a session of its own.

    Raises:
        DeviceError: A device is gone.
        LutError: ``LUT03``: it is another device than that of its table.
        MeasurementError: The reference networks could not be measured.
    """
    from search.int8_finalists import int8_files

    config = context.config
    for number, (spec, table) in enumerate(zip(config.devices, outlook.tables, strict=True), 1):
        if context.log.payload("measured", device_key(number)) is not None:
            continue
        with open_study_device(spec, context.store, context.executor) as device:
            table.require_fit(device.info, config.dtype, allow_foreign=config.allow_foreign_lut)
            if config.dtype == "int8":
                files = int8_files(context, list(finalists), device.model_format)
            else:
                files = {arch_id: models.of_format(device.model_format) for arch_id, models in exported.items()}
            measure_finalists(context, device, files, device_key(number))


def measure_finalists(
    context: StudyContext, device: MeasuringDevice, artifacts: dict[str, ModelArtifact], key: str = ""
) -> None:
    """Measure finalists' files, interleaved in one session, and keep everything that it gave.

    Args:
        context: The study.
        device: Open.
        artifacts: arch_id -> file.
        key: Of the record, as `search.context.device_key` gives it.
    """
    context.reporter.line(f"measuring {len(artifacts)} exported networks on {device.info.device_id}")
    session = device.measure(
        artifacts, seed=derive_seed(context.config.seed, "measuring finalists", *([key] if key else []))
    )
    for reason in session.about["reasons"]:
        context.reporter.warn(f"measuring session: {reason}")
    for arch_id, network in session.networks.items():
        if network.ms is None:
            context.reporter.warn(f"finalist {arch_id[:12]} could not be measured: {'; '.join(network.reasons)}")
    context.log.append("measured", _session_event(session), key)


def _session_event(session: MeasuringSession) -> dict[str, Any]:
    networks = {arch_id: asdict(network) for arch_id, network in session.networks.items()}
    for network in networks.values():
        network["samples_ms"] = [round(sample, 6) for sample in network["samples_ms"]]
    return {"networks": networks, **session.about}
