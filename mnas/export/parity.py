"""The gate every artefact passes: it must compute what the torch module computes.

A difference alone proves little: a network whose output hardly depends on its input agrees with any other such
network. So the gate also asks that the reference's output *moves* with the input.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from mnas.errors import ExportError
from mnas.export.litert import load_interpreter_class

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.hooks import RemovableHandle

Image = npt.NDArray[np.float32]
Outputs = npt.NDArray[np.float64]
Run = Callable[[Image], Image]
"""Takes one image as float32 ``(1, C, H, W)``; gives ``(1, classes)`` or ``(1, C, H, W)``."""

MAX_RELATIVE_DIFFERENCE = 1e-4
MIN_MOVES = 0.1


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How far a candidate is from its reference.

    Attributes:
        max_abs_difference: Largest absolute difference of any output over all inputs.
        output_range: Largest minus smallest output of the reference over all inputs.
        relative_difference: ``max_abs_difference / output_range``.
        moves: (Largest absolute difference between the reference's outputs for two inputs) / ``output_range``: the
            smallest over all pairs of noise images, the median over all pairs of real ones, of which two may well be
            alike; 0 means that inputs do not matter.
    """

    max_abs_difference: float
    output_range: float
    relative_difference: float
    moves: float

    @property
    def ok(self) -> bool:
        """Whether the artefact may be used; NaN anywhere never is."""
        return self.relative_difference <= MAX_RELATIVE_DIFFERENCE and self.moves >= MIN_MOVES


def parity_inputs(input_shape_chw: tuple[int, int, int], count: int, seed: int) -> Image:
    """Return ``count`` images of white noise, float32 ``(count, C, H, W)``, zero mean and unit variance.

    Images of unequal contrast or texture would move the output less, not more: the strongest one sets the range,
    and beside it the others look alike.
    """
    return np.random.default_rng(seed).standard_normal((count, *input_shape_chw), dtype=np.float32)


def check_parity(
    reference: Run, candidate: Run, input_shape_chw: tuple[int, int, int], *, inputs: int = 8, seed: int
) -> ParityReport:
    """Run both on the same images of white noise and compare.

    Args:
        reference: What the candidate should compute.
        candidate: What is checked.
        input_shape_chw: Channels and pixels of the images.
        inputs: Number of images, at least 2.
        seed: Of the images.

    Raises:
        ExportError: ``EXP01`` if the outputs differ in shape, ``EXP02`` if there are fewer than two inputs.
    """
    return _compare(*_outputs(reference, candidate, parity_inputs(input_shape_chw, inputs, seed)), min)


def check_parity_on(reference: Run, candidate: Run, images: Image) -> ParityReport:
    """Run both on real images, ``(n, C, H, W)``, and compare.

    A trained network should be checked on images of its own data: noise may look all alike to it.

    Raises:
        ExportError: ``EXP01`` if the outputs differ in shape, ``EXP02`` if there are fewer than two images.
    """
    return _compare(*_outputs(reference, candidate, images), median)


def _outputs(reference: Run, candidate: Run, images: Image) -> tuple[Outputs, Outputs]:
    """Return what both make of each image, ``(n, 1, ...)``."""
    if len(images) < 2:
        raise ExportError("EXP02", "parity needs two inputs or more", value=len(images), why="one shows no movement")
    expected, seen = [], []
    for image in images:
        expected.append(np.asarray(reference(image[None].copy()), np.float64))
        seen.append(np.asarray(candidate(image[None].copy()), np.float64))
        if expected[-1].shape != seen[-1].shape:
            raise ExportError(
                "EXP01",
                "the artefact's output has another shape than the network's",
                value=(seen[-1].shape, expected[-1].shape),
                why="then it is another function",
                fix="report this with the architecture",
            )
    return np.stack(expected), np.stack(seen)


def _compare(expected: Outputs, seen: Outputs, typical: Callable[[list[float]], float]) -> ParityReport:
    if not (np.isfinite(expected).all() and np.isfinite(seen).all()):
        return ParityReport(float("nan"), float("nan"), float("nan"), float("nan"))
    difference = float(np.abs(expected - seen).max())
    output_range = float(np.ptp(expected))
    if output_range == 0.0:
        return ParityReport(difference, 0.0, 0.0 if difference == 0.0 else float("inf"), 0.0)
    moves = typical([float(np.abs(a - b).max()) for a, b in itertools.combinations(expected, 2)])
    return ParityReport(difference, output_range, difference / output_range, moves / output_range)


def require_parity(report: ParityReport, what: str) -> None:
    """Refuse an artefact that is not what it should be.

    Args:
        report: Of `check_parity`.
        what: The artefact as a person knows it, e.g. its path.

    Raises:
        ExportError: ``EXP01``: the report is not ok.
    """
    if not report.ok:
        differs = not report.relative_difference <= MAX_RELATIVE_DIFFERENCE
        raise ExportError(
            "EXP01",
            f"{what} does not compute what the network computes"
            if differs
            else f"{what} cannot be checked: the network's output hardly depends on its input",
            value=report,
            why=f"a difference <= {MAX_RELATIVE_DIFFERENCE:g} of the output's range and outputs that move by "
            f">= {MIN_MOVES:g} of it are asked for",
            fix="train the network or set its batch norm statistics first; if that is done, report the architecture",
        )


def run_torch(module: nn.Module) -> Run:
    """Return a torch module as a function of one image; the module is put into evaluation mode."""
    import torch

    module.eval()

    def run(image: Image) -> Image:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(image)).numpy(), np.float32)

    return run


def run_onnx(data: bytes | Path) -> Run:
    """Return an ONNX model (its bytes or its path) as a function of one image, run on one CPU thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = data if isinstance(data, bytes) else str(data)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: Image) -> Image:
        return np.asarray(session.run(None, {name: image})[0], np.float32)

    return run


def run_tflite(data: bytes | Path) -> Run:
    """Return a TFLite model (its bytes or its path) as a function of one image, run on one CPU thread.

    The function takes and gives NCHW; the model itself is NHWC.

    Raises:
        DeviceError: ``DEV01``: no TFLite runtime is installed.
    """
    interpreter_class = load_interpreter_class()[0]
    source: dict[str, Any] = {"model_content": data} if isinstance(data, bytes) else {"model_path": str(data)}
    interpreter = interpreter_class(num_threads=1, **source)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]

    def run(image: Image) -> Image:
        interpreter.set_tensor(input_index, np.ascontiguousarray(image.transpose(0, 2, 3, 1)))
        interpreter.invoke()
        output = np.asarray(interpreter.get_tensor(output_index), np.float32)
        return output.transpose(0, 3, 1, 2) if output.ndim == 4 else output

    return run


def settle_batch_norm(module: nn.Module, input_shape_chw: tuple[int, int, int], seed: int, images: int = 32) -> None:
    """Set every batch norm's statistics by one forward pass over random images; the mode is left as it was.

    A freshly built network normalises nothing (mean 0, variance 1), so its outputs may vanish, explode or hardly
    depend on the input: parity on such a network would prove little. One without any batch norm gets the biases of
    its convolutions instead, so that each gives a mean of zero: else the same means rule every image's output.
    """
    import torch

    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    was_training = {part: part.training for part in module.modules()}
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    centred = [] if norms else _centre_convolutions(module)
    with torch.no_grad():
        module(torch.from_numpy(parity_inputs(input_shape_chw, images, seed)))
    for handle in centred:
        handle.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for part, training in was_training.items():
        part.training = training


def _centre_convolutions(module: nn.Module) -> list[RemovableHandle]:
    """Make the next forward pass set each convolution's bias, and go on with what it then gives."""
    import torch

    def centre(part: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        mean = output.mean((0, 2, 3))
        cast(torch.Tensor, part.bias).sub_(mean)
        return output - mean[:, None, None]

    convolutions = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d) and part.bias is not None]
    return [part.register_forward_hook(centre) for part in convolutions]
