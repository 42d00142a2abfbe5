"""Trains chosen networks on several seeds, and writes each as a folder that can be shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnas.counts import total_macs
from mnas.errors import ExportError, TrainingError
from mnas.export.artifact import ModelArtifact
from mnas.export.folder import export_folder, write_card, write_models
from mnas.export.int8_report import Int8Report
from mnas.layers import layers_of
from search.accuracy.jobs import TrainingJob, require_training, training_outcome
from search.context import Reporter
from search.data.preprocessing import preprocessing_of
from search.executors.executor import Executor, Outcome
from search.finalists import parity_images
from search.finishing.card import finished_card
from search.finishing.request import Chosen, FinishRequest
from search.finishing.trainings import SeedFiles, Trainings
from search.int8_files import write_int8_files
from search.seed_noise import are_tied, pooled_noise
from search.training.weights_file import load_weights

_FORMATS = ("onnx", "tflite")
_COMPARED = 2000
_WORK = "work"


@dataclass(frozen=True, slots=True)
class Finished:
    """A network that was trained, and its folder.

    Attributes:
        network: Which.
        trainings: On all seeds.
        folder: With architecture, weights of the seed that did best on val, ONNX, TFLite and card.
        int8: Format -> file of integers and what the gate found; empty where none was asked for or the gate refused.
        int8_refusal: Why the gate refused the integers; else empty.
        tied_with: Names of networks whose val accuracy the seeds cannot tell from its own.
    """

    network: Chosen
    trainings: Trainings
    folder: Path
    int8: dict[str, tuple[ModelArtifact, Int8Report]]
    int8_refusal: str
    tied_with: tuple[str, ...]


def finish(request: FinishRequest, folder: Path, executor: Executor, reporter: Reporter) -> list[Finished]:
    """Train what is not trained yet, and write the folders, smallest network first; one that fails is left out.

    What failed before is tried again, unless its loss diverged.

    Args:
        request: What is asked for.
        folder: Of all trained networks; what was interrupted in it is gone on with.
        executor: Where networks are trained.
        reporter: Is told how it gets on.

    Raises:
        TrainingError: ``TRN05``: a training could not be run. ``TRN18``: no network could be trained.
        ExportError: A file of floats did not pass the gate.
    """
    if left_out := request.dataset.left_out:
        reporter.warn(left_out)
    files = {one.name: SeedFiles(folder / _WORK / request.key(one)) for one in request.networks}
    _train(request, files, executor, reporter)
    found = {one.name: _trainings(request, files[one.name]) for one in request.networks}
    for name, trainings in found.items():
        for repeat, outcome in trainings.outcomes.items():
            if not outcome.is_ok:
                reporter.warn(f"{name}, seed {repeat}: {outcome.error_message}")
    able = [one for one in request.networks if found[one.name].good]
    if not able:
        raise _all_failed(found)
    ties = ties_of({one.name: found[one.name] for one in able})
    written = []
    for network in sorted(able, key=lambda one: total_macs(layers_of(one.architecture))):
        seeds = files[network.name]
        written.append(_write(request, network, found[network.name], seeds, folder, ties, reporter))
        reporter.progress("writing models", len(written), len(able))
    return written


def _all_failed(found: dict[str, Trainings]) -> TrainingError:
    why = next(one.error_message for trainings in found.values() for one in trainings.outcomes.values())
    fix = "lower the rate with --lr, or try another recipe"
    return TrainingError("TRN18", "no network could be trained", value=", ".join(found), why=why, fix=fix)


def ties_of(found: dict[str, Trainings]) -> dict[str, tuple[str, ...]]:
    """Return for each network which others have a val accuracy that the seeds cannot tell from its own."""
    values = {name: [one.errors["val"] for one in trainings.good.values()] for name, trainings in found.items()}
    noise = pooled_noise(list(values.values()))
    return {
        name: tuple(other for other in values if other != name and are_tied(values[name], values[other], noise))
        for name in values
    }


def _train(request: FinishRequest, files: dict[str, SeedFiles], executor: Executor, reporter: Reporter) -> None:
    """Run what is lacking, the largest network first, so that no long training is left over at the end."""
    ordered = sorted(request.networks, key=lambda one: -total_macs(layers_of(one.architecture)))
    todo: list[tuple[SeedFiles, int, TrainingJob]] = []
    for repeat in range(request.seeds):
        for one in ordered:
            seeds = files[one.name]
            if not seeds.is_settled(repeat):
                todo.append((seeds, repeat, request.job(one, repeat, seeds.weights(repeat))))
    done = 0

    def on_done(index: int, outcome: Outcome) -> None:
        nonlocal done
        require_training(outcome)
        seeds, repeat, job = todo[index]
        found = training_outcome(job, outcome)
        seeds.keep(repeat, found)
        if found.note:
            reporter.warn(found.note)
        done += 1
        reporter.progress("training", done, len(todo))

    for seeds, _, _ in todo:
        seeds.folder.mkdir(parents=True, exist_ok=True)
    executor.map_in_order([job.as_job() for _, _, job in todo], on_done)


def _trainings(request: FinishRequest, seeds: SeedFiles) -> Trainings:
    outcomes = {repeat: seeds.outcome(repeat) for repeat in range(request.seeds)}
    return Trainings({repeat: one for repeat, one in outcomes.items() if one is not None})


def _write(
    request: FinishRequest,
    network: Chosen,
    trainings: Trainings,
    seeds: SeedFiles,
    folder: Path,
    ties: dict[str, tuple[str, ...]],
    reporter: Reporter,
) -> Finished:
    architecture, dataset = network.architecture, request.dataset
    module = load_weights(architecture, seeds.weights(trainings.best))
    preprocessing = preprocessing_of(dataset, architecture)
    images = parity_images(dataset, architecture)
    write_models(folder, architecture, module, images, f"train-{request.key(network)}", preprocessing)
    own, integers, refusal = export_folder(folder, architecture.arch_id), {}, ""
    if request.has_int8:
        try:
            integers = write_int8_files(dataset, architecture, module, own, _FORMATS, _COMPARED)
        except ExportError as failure:
            refusal = str(failure)
            reporter.warn(f"{network.name} is not written in int8: {failure}")
    reports = {model_format: report for model_format, (_, report) in integers.items()}
    write_card(folder, finished_card(request, network, trainings, reports, ties[network.name]))
    return Finished(network, trainings, own, integers, refusal, ties[network.name])
