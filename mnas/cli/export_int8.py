"""``mnas export --int8``: the files of 8-bit integers beside those of floats."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnas.errors import ConfigError

if TYPE_CHECKING:
    from mnas.export.artifact import ModelArtifact
    from mnas.export.calibration_images import ImageSet
    from mnas.export.int8 import Int8Model
    from mnas.export.source import ExportSource
    from mnas.preprocessing import Preprocessing

COLUMNS = ("cosine", "agreement", "top1_float", "top1_int8")
SUFFIX = "-int8"


@dataclass(frozen=True, slots=True)
class Int8Request:
    """What ``--int8`` asks for.

    Attributes:
        folder: Of the calibration images.
        preprocessing: What they go through.
        class_labels: Of the network's outputs, where its card names them.
    """

    folder: Path
    preprocessing: Preprocessing
    class_labels: tuple[str, ...] = ()

    def images(self) -> ImageSet:
        """Read the images that calibrate, and those that the networks are compared on.

        Raises:
            DataError: ``DAT11``, ``DAT12``, ``DAT13``: there are none, a file is damaged, there are too few.
        """
        from mnas.export.calibration_images import read_image_set

        return read_image_set(self.folder, self.preprocessing, self.class_labels)

    def models(
        self, found: ExportSource, seed: int, images: ImageSet, paths: Mapping[str, Path]
    ) -> dict[str, Int8Model]:
        """Quantise in memory; weights that were drawn have no ranking that could be kept.

        Raises:
            ExportError: ``EXP03``, ``EXP04``, ``EXP05``, ``EXP11``, ``EXP12``: a file is refused.
        """
        from mnas.export.int8 import export_int8
        from mnas.export.int8_report import TRAINED, UNTRAINED

        return export_int8(
            found.architecture,
            found.module(seed),
            images.calibration,
            {model_format: os.fspath(path) for model_format, path in paths.items()},
            images=images.compared,
            labels=images.labels,
            preprocessing=found.preprocessing,
            limits=UNTRAINED if found.weights is None else TRAINED,
        )


def int8_request(
    found: ExportSource, calibration: Path | None, mean: str, std: str, *, is_wanted: bool
) -> Int8Request | None:
    """Return what is asked for, or ``None`` without ``--int8``.

    Args:
        found: What is exported; its card tells of the preprocessing.
        calibration: Folder of images.
        mean: One number a channel, with commas, or "".
        std: Likewise.
        is_wanted: ``--int8``.

    Raises:
        ConfigError: ``CFG31``: an option is missing, or goes with ``--int8``, or is no list of numbers.
        DataError: ``DAT14``: that is no preprocessing.
    """
    if not is_wanted:
        for option, value in (("--calibration", calibration), ("--mean", mean), ("--std", std)):
            if value:
                raise _bad(
                    f"{option} is given without --int8", str(value), "only integers are calibrated", "add --int8"
                )
        return None
    if calibration is None:
        raise _bad(
            "--int8 needs images", "no --calibration", "integers must span what the network sees", "name a folder"
        )
    return Int8Request(calibration, _preprocessing(found, mean, std), found.class_labels)


def _preprocessing(found: ExportSource, mean: str, std: str) -> Preprocessing:
    from mnas.preprocessing import Preprocessing

    if bool(mean) != bool(std):
        raise _bad("--mean and --std go together", mean or std, "both prepare an image", "give both or neither")
    channels, height, width = found.architecture.input_shape_chw
    if mean:
        if height != width:
            raise _bad("images can be resized to squares alone", (height, width), "the input is none", "use NPY files")
        return Preprocessing(height, channels, _numbers("--mean", mean), _numbers("--std", std))
    if found.preprocessing is None:
        why = "no card.json beside the weights says it"
        raise _bad("how images are prepared is not known", found.name, why, "give --mean and --std, e.g. 0.5,0.5,0.5")
    return Preprocessing.from_json(found.preprocessing)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        why = "one number for each channel is needed, with commas between"
        raise _bad(f"{option} is no list of numbers", text, why, "e.g. 0.485,0.456,0.406") from error


def _bad(what: str, value: object, why: str, fix: str) -> ConfigError:
    return ConfigError("CFG31", what, value=value, why=why, fix=fix)


def int8_notes(images: ImageSet) -> tuple[str, ...]:
    """Return what the columns of the comparison mean."""
    compared = len(images.compared)
    if images.is_held_out:
        on = f"{compared} images of the folder, every fourth, that calibrated nothing ({len(images.calibration)} did)"
    else:
        on = f"the {compared} calibration images themselves, too few to hold some out: it flatters the integers"
    if images.labels is None:
        labels = "not known: the images do not all lie in folders of the names of the card's class_labels"
    else:
        labels = "of these images, whose folders name their classes"
    return (
        f"integers are compared with torch on {on}",
        "cosine: of the integers' outputs with torch's, the mean over these images taken away",
        "agreement: share of these images for which both name the same class",
        f"top1: {labels}",
    )


def int8_document(images: ImageSet) -> dict[str, Any]:
    """Return which images were for what, for JSON."""
    return {
        "calibration_images": len(images.calibration),
        "compared_images": len(images.compared),
        "is_held_out": images.is_held_out,
        "has_labels": images.labels is not None,
    }


def int8_row(file: ModelArtifact, model: Int8Model) -> list[Any]:
    """Return a row of the table; the columns that compare floats are empty."""
    report = model.report
    found = report.file
    partitions = None if found.partitions is None else found.partitions.count
    operators, transposes = sum(found.lint.operators.values()), found.lint.transposes
    return [
        f"{file.format} int8",
        str(file.path),
        file.size_bytes,
        file.sha256,
        None,
        None,
        operators,
        transposes,
        partitions,
        report.accuracy.cosine,
        report.accuracy.agreement,
        report.accuracy.top1_float,
        report.accuracy.top1_int8,
    ]
