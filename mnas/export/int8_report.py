"""What 8-bit integers cost a network's outputs, and whether a file of them may be used.

Outputs cannot be compared digit by digit as those of a float file are. What must survive is the ranking: the cosine
between both networks' outputs once the mean over the images is taken away (what all images have in common says nothing
and would hide a lost ranking), and how often both name the same class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mnas.errors import ExportError
from mnas.export.float_operators import float_operators
from mnas.export.gate import Fault, FileReport, check_file
from mnas.export.lint import LintRules
from mnas.export.parity import Image, Outputs, Run
from mnas.jsonio import without_nan
from mnas.layers import LayerSpec

if TYPE_CHECKING:
    from mnas.export.int8_layers import HarmedLayer

RULES: Mapping[str, LintRules] = {
    "onnx": LintRules(
        frozenset({"QuantizeLinear", "DequantizeLinear"}),
        frozenset({"float32", "int8", "uint8", "int32"}),
        {"hswish": ("Add", "Mul")},
    ),
    "tflite": LintRules(
        frozenset({"QUANTIZE", "DEQUANTIZE"}),
        frozenset({"float32", "int8", "int32"}),
        {"hswish": ("MUL", "ADD", "MUL")},
    ),
}
_INTEGER_BYTES = 1
_BYTES_PER_CHANNEL = 20
"""A scale and a zero point for its weights, and again for its bias."""
_BYTES_PER_LAYER = 2048


@dataclass(frozen=True, slots=True)
class RankingLimits:
    """What must survive.

    Attributes:
        cosine: Least cosine of the outputs less their mean.
        agreement: Least share of the images for which both networks have the same largest output.
    """

    cosine: float
    agreement: float


TRAINED = RankingLimits(0.95, 0.9)
UNTRAINED = RankingLimits(0.0, 0.0)
"""Drawn weights tell images apart by next to nothing, and their classes mean nothing: only a file gone wrong falls."""


@dataclass(frozen=True, slots=True)
class Int8Accuracy:
    """An integer network beside the float one, on the same images.

    Attributes:
        images: How many.
        cosine: Of both networks' outputs, the mean over the images taken away from each; NaN where all outputs of one
            are equal.
        agreement: Share of the images for which both have the same largest output.
        top1_float: Accuracy of the float network; ``None`` without labels.
        top1_int8: Accuracy of the integer network; ``None`` without labels.
    """

    images: int
    cosine: float
    agreement: float
    top1_float: float | None = None
    top1_int8: float | None = None

    @property
    def loss_points(self) -> float | None:
        """Percentage points of accuracy that are lost; ``None`` without labels."""
        if self.top1_float is None or self.top1_int8 is None:
            return None
        return 100 * (self.top1_float - self.top1_int8)


@dataclass(frozen=True, slots=True)
class Int8Report:
    """What the gate found of a file of integers.

    Attributes:
        model_format: ``onnx`` or ``tflite``.
        file: What the file alone shows.
        accuracy: Against the float network.
        float_operators: Operators that would compute in float, each as ``NAME -> tensor that it gives``.
        faults: Why the file is refused.
    """

    model_format: str
    file: FileReport
    accuracy: Int8Accuracy
    float_operators: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        """Whether the file may be used."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON; a number that is not finite is null."""
        document: dict[str, Any] = without_nan(asdict(self))
        document["accuracy"]["loss_points"] = self.accuracy.loss_points
        return {**document, "ok": self.ok}


def compare_int8(
    reference: Run, candidate: Run, images: Image, labels: npt.NDArray[np.int64] | None = None
) -> Int8Accuracy:
    """Run both networks on images.

    Args:
        reference: The float network.
        candidate: The integer network.
        images: ``(n, C, H, W)``, at least 2.
        labels: ``(n,)``, where they are known.

    Raises:
        ExportError: ``EXP02``: fewer than two images, or not as many labels.
    """
    return compare_outputs(outputs_of(reference, images), outputs_of(candidate, images), labels)


def outputs_of(run: Run, images: Image) -> Outputs:
    """Return what a network makes of each image, float64 ``(n, outputs)``.

    Raises:
        ExportError: ``EXP02``: there are no images.
    """
    if not len(images):
        raise _too_few(0)
    return np.stack([np.asarray(run(one[None].copy()), np.float64).ravel() for one in images])


def compare_outputs(expected: Outputs, seen: Outputs, labels: npt.NDArray[np.int64] | None = None) -> Int8Accuracy:
    """Compare what two networks made of the same images, each ``(n, outputs)``; see `compare_int8`.

    Raises:
        ExportError: ``EXP02``: fewer than two images, or not as many labels.
    """
    if len(expected) < 2 or (labels is not None and len(labels) != len(expected)):
        raise _too_few((len(expected), None if labels is None else len(labels)))
    classes, found = expected.argmax(1), seen.argmax(1)
    accuracies = () if labels is None else (float((classes == labels).mean()), float((found == labels).mean()))
    cosine = centred_cosine(expected, seen)
    return Int8Accuracy(len(expected), cosine, float((classes == found).mean()), *accuracies)


def _too_few(value: object) -> ExportError:
    return ExportError(
        "EXP02", "two images or more are needed, each with its label", value=value, why="one shows no ranking"
    )


def centred_cosine(first: Outputs, second: Outputs) -> float:
    """Return the cosine of two sets of outputs, ``(n, outputs)``, after taking each one's mean over the images away."""
    one, other = (values - values.mean(0) for values in (first, second))
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 0 else float("nan")


def check_int8(
    data: bytes,
    layers: tuple[LayerSpec, ...],
    model_format: str,
    accuracy: Int8Accuracy,
    metadata: Mapping[str, str],
    *,
    limits: RankingLimits = TRAINED,
    harmed: Callable[[], HarmedLayer | None] = lambda: None,
) -> Int8Report:
    """Judge a file of integers.

    Args:
        data: The whole file.
        layers: Those of its `mnas.export.int8_plan.Int8Plan`.
        model_format: ``onnx`` or ``tflite``.
        accuracy: Of `compare_int8`.
        metadata: The texts that were stored in it.
        limits: `UNTRAINED` for weights that were never trained.
        harmed: Finds the layer that a refusal names; called where the ranking is lost.

    Raises:
        ExportError: ``EXP06``: the file is damaged.
        DeviceError: ``DEV01``: no TFLite runtime is installed.
    """
    channels = sum(layer.out_shape_chw[0] for layer in layers if layer.op in ("conv", "linear"))
    file = check_file(
        data,
        layers,
        model_format,
        metadata,
        rules=RULES[model_format],
        weight_bytes=_INTEGER_BYTES,
        overhead_bytes=_BYTES_PER_CHANNEL * channels + _BYTES_PER_LAYER * len(layers),
    )
    floating = float_operators(data, model_format)
    faults = [Fault("EXP03", f"{one} computes in float", one) for one in floating]
    if not (accuracy.cosine >= limits.cosine and accuracy.agreement >= limits.agreement):
        faults.append(_lost_ranking(accuracy, limits, harmed()))
    return Int8Report(model_format, file, accuracy, floating, (*file.faults, *faults))


def _lost_ranking(accuracy: Int8Accuracy, limits: RankingLimits, harmed: HarmedLayer | None) -> Fault:
    what = (
        f"integers change what the network tells: cosine {accuracy.cosine:.3f} of the outputs less their mean "
        f"(least {limits.cosine:g}), the same class for {accuracy.agreement:.1%} of {accuracy.images} images (least "
        f"{limits.agreement:.0%})"
    )
    if harmed is None:
        return Fault("EXP12", what)
    told = "the same for every image" if np.isnan(harmed.cosine) else f"cosine {harmed.cosine:.3f}"
    return Fault("EXP12", f"{what}; most is lost in layer {harmed.name} ({harmed.op}): {told}", harmed.name)


def require_int8(report: Int8Report, what: str) -> None:
    """Refuse a file with a fault.

    Args:
        report: Of `check_int8`.
        what: The file as a person knows it, e.g. its path.

    Raises:
        ExportError: ``EXP03``, ``EXP04``, ``EXP05`` or ``EXP12``: the first fault; the message tells of all.
    """
    if report.faults:
        raise ExportError(
            report.faults[0].code,
            f"{what} is refused by the gate for integers",
            value=report.faults[0].where or None,
            why="; ".join(fault.what for fault in report.faults[:5]),
            fix="calibrate with more images of the kind that the network sees; if that is done, report the network",
        )
