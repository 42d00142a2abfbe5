"""Who takes part in a run: each model opened, tried once in a process of its own, and found fit or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.device import Device
from devices.models.shapes import Shapes
from devices.models.source import OpenedModel, open_model, unique_labels
from devices.run import BenchedModel, Problem, Role
from devices.trial import How, Trial
from mnas.errors import ConfigError, MnasError, ModelError
from mnas.export.artifact import ModelArtifact

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, how much there is."""

BASELINE = " (baseline)"
"""Ends the label of every baseline."""

_SHAPE_DOES_NOT_FIT = "MOD06"
_USAGE_EXIT, _DEVICE_EXIT = 2, 4
_TRIAL_CODES: dict[How, str] = {
    "refused": "MEA05",
    "crashed": "MEA06",
    "hung": "MEA07",
    "out of memory": "MEA08",
}


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model as it was asked for.

    Attributes:
        text: What the user wrote.
        role: ``model`` or ``baseline``.
        sha256: Identity that it must have where its format is ``format``, or "" for any.
        format: Of the file with that identity.
        shapes: Sizes that it is fed, instead of those given for all.
    """

    text: str
    role: Role = "model"
    sha256: str = ""
    format: str = ""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that was looked at.

    Attributes:
        model: What is known of it; with a problem, it takes no part.
        artifact: Its file, or ``None`` when there is none.
    """

    model: BenchedModel
    artifact: ModelArtifact | None = None

    @property
    def is_fit(self) -> bool:
        """Whether it can be measured."""
        return self.artifact is not None and self.model.problem is None


def gather(
    entrants: Sequence[Entrant],
    device: Device,
    folder: Path,
    shapes: Shapes,
    *,
    fill: Mapping[str, float] | None = None,
    allow_nan: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> list[Contender]:
    """Open every model in the device's format and try it once; one that is not fit says why.

    Args:
        entrants: In the order asked for.
        device: Open.
        folder: Where files that have to be written go; it must last as long as the contenders are used.
        shapes: Input name, or "" for the only input -> sizes.
        fill: Input name -> the number that all of it is filled with, in models that have such an input.
        allow_nan: Measure models whose outputs hold a NaN, too.
        progress: Called after each model.

    Raises:
        DeviceError: The device itself is gone.
    """
    labels = _labels(entrants)
    contenders = []
    for place, (entrant, (label, twice)) in enumerate(zip(entrants, labels, strict=True)):
        progress("trying models", place, len(entrants))
        found = problem_of(twice) if twice else _open(entrant, device.model_format, folder, shapes, len(entrants) == 1)
        if isinstance(found, Problem):
            contenders.append(Contender(BenchedModel(label, entrant.role, entrant.text, problem=found)))
        else:
            opened = replace(found, label=label, artifact=_filled(found, fill or {}))
            contenders.append(_try(opened, entrant.role, device, allow_nan))
    progress("trying models", len(entrants), len(entrants))
    return contenders


def _labels(entrants: Sequence[Entrant]) -> list[tuple[str, ModelError | None]]:
    """Return a label for each, no two the same, and why it takes no part; baselines are called so."""
    of_role = {
        role: iter(unique_labels([one.text for one in entrants if one.role == role])) for role in ("model", "baseline")
    }
    labels: dict[str, ModelError | None] = {}
    for entrant in entrants:
        found = next(of_role[entrant.role])
        error = found if isinstance(found, ModelError) else None
        label = (entrant.text if error else str(found)) + (BASELINE if entrant.role == "baseline" else "")
        number = 2
        while label in labels:
            label, number = f"{label.partition(' #')[0]} #{number}", number + 1
        labels[label] = error
    return list(labels.items())


def problem_of(error: MnasError) -> Problem:
    """Return an error as it is kept with a model."""
    return Problem(error.code, " ".join(str(error).split()), error.exit_code)


def _open(entrant: Entrant, model_format: str, folder: Path, shapes: Shapes, is_alone: bool) -> OpenedModel | Problem:
    try:
        found = _open_shaped(entrant.text, model_format, folder, dict(entrant.shapes) or shapes, is_alone)
        if entrant.sha256 and entrant.format == model_format and found.artifact.identity != entrant.sha256:
            raise ConfigError(
                "CFG20",
                "the baseline's file is no longer the one that was measured",
                value=entrant.text,
                why=f"its hash was {entrant.sha256[:12]} and is {found.artifact.identity[:12]}",
                fix="name the old file itself with --against",
            )
        return found
    except MnasError as error:
        return problem_of(error)
    except MemoryError:
        code = _TRIAL_CODES["out of memory"]
        return Problem(code, f"{code}: {entrant.text} takes more memory to be written than there is", _DEVICE_EXIT)
    except OSError as error:
        return Problem("MOD02", f"MOD02: {entrant.text} cannot be read or written: {error}", _USAGE_EXIT)


def _open_shaped(text: str, model_format: str, folder: Path, shapes: Shapes, is_alone: bool) -> OpenedModel:
    """Open a model; among several, one of known sizes need not have the inputs that shapes were given for."""
    try:
        return open_model(text, model_format, folder, shapes)
    except ModelError as error:
        if is_alone or error.code != _SHAPE_DOES_NOT_FIT:
            raise
        try:
            found = open_model(text, model_format, folder, {})
        except ModelError:
            raise error from None
        if shapes.keys() & {one.name for one in found.description.inputs}:
            raise
        return found


def _filled(opened: OpenedModel, fill: Mapping[str, float]) -> ModelArtifact:
    names = [one.name for one in opened.description.inputs]
    return replace(opened.artifact, input_fill=tuple((name, fill[name]) for name in names if name in fill))


def _try(opened: OpenedModel, role: Role, device: Device, allow_nan: bool) -> Contender:
    artifact = opened.artifact
    trial = device.try_model(artifact)
    model = BenchedModel(
        label=opened.label,
        role=role,
        source=opened.source,
        path=str(artifact.path),
        format=artifact.format,
        sha256=artifact.identity,
        size_bytes=artifact.size_bytes,
        description=opened.description,
        load_ms=trial.load_ms,
        peak_memory_bytes=trial.peak_memory_bytes,
        problem=_verdict(opened.label, trial, allow_nan),
        notes=trial.notes,
    )
    return Contender(model, artifact)


def _verdict(label: str, trial: Trial, allow_nan: bool) -> Problem | None:
    if trial.how != "ok":
        code = _TRIAL_CODES[trial.how]
        return Problem(code, f"{code}: {label} {trial.how}: {trial.error}", _DEVICE_EXIT)
    if trial.bad_outputs and not allow_nan:
        names = ", ".join(trial.bad_outputs)
        text = (
            f"MEA09: {label} puts NaN or infinity into its output {names}: numbers that are none may run at another"
            " speed. Fix: mend the model, or measure it all the same with --allow-nan"
        )
        return Problem("MEA09", text, _DEVICE_EXIT)
    return None


def baselines_of(models: Sequence[BenchedModel]) -> dict[str, BenchedModel]:
    """Return label -> baseline of each model that has one: the one of its own name, or else the only one there is."""
    baselines = [model for model in models if model.role == "baseline"]
    by_name = {model.label.removesuffix(BASELINE): model for model in baselines}
    only = baselines[0] if len(baselines) == 1 else None
    found = {model.label: by_name.get(model.label, only) for model in models if model.role == "model"}
    return {label: baseline for label, baseline in found.items() if baseline is not None}
