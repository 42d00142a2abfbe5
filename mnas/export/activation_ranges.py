"""What a network's tensors hold on given images: the ranges that int8 numbers have to span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mnas.errors import ExportError
from mnas.export.parity import Image, parity_inputs
from mnas.export.program import module_of
from mnas.export.range_choice import BINS, RANGE_CHOICES, Limits, choose_limits
from mnas.layers import NETWORK_INPUT, LayerSpec
from mnas.modules import LayerModule
from mnas.weights import Weights

INPUT = "input"
_BATCH = 32


@dataclass(frozen=True, slots=True)
class ActivationRanges:
    """Ranges by tensor, under the names that both writers give them.

    Attributes:
        limits: ``input``, a layer's name for its output, and ``NAME/linear`` for what its activation is applied to ->
            lowest and highest number to be told apart.
        input_means: Index of a ``conv`` or ``linear`` layer -> mean of each channel of its input, float64.
    """

    limits: Mapping[str, Limits]
    input_means: Mapping[int, npt.NDArray[np.float64]]


def linear_name(layer: LayerSpec) -> str:
    """Return the name of what a layer's activation is applied to."""
    return f"{layer.name}/linear"


def tensor_name(layers: tuple[LayerSpec, ...], index: int) -> str:
    """Return the name of a layer's output, or of the network's input for -1."""
    return INPUT if index == NETWORK_INPUT else layers[index].name


def calibrate(
    layers: tuple[LayerSpec, ...], weights: Weights, images: Image, *, choice: str = "mse"
) -> ActivationRanges:
    """Run a network on images and choose the range of each of its tensors.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        images: As the network takes them, ``(n, C, H, W)``.
        choice: One of `mnas.export.range_choice.RANGE_CHOICES`.

    Raises:
        ExportError: ``EXP11``: no images, images of another shape, or the network gives no finite numbers on them.
    """
    _check(layers, images, choice)
    with _one_thread():
        observer = _observed(layers, weights, images, is_counting=choice != "minmax")
    limits = {name: choose_limits(span, observer.counts.get(name), choice) for name, span in observer.spans.items()}
    means = {
        layer.index: observer.sums[tensor_name(layers, layer.inputs[0])] / len(images)
        for layer in layers
        if layer.op in ("conv", "linear")
    }
    return ActivationRanges(limits, means)


def _observed(layers: tuple[LayerSpec, ...], weights: Weights, images: Image, *, is_counting: bool) -> _Observer:
    # Building a module draws weights that are replaced at once; the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        observer = _Observer(module_of(layers, weights))
    batches = torch.split(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), _BATCH)
    observer.watch(batches)
    if not all(np.isfinite(pair).all() for pair in observer.spans.values()):
        raise _refused("the network gives no finite numbers on the calibration images", "NaN or infinity", "train it")
    if is_counting:
        observer.watch(batches, is_counting=True)
    return observer


@contextmanager
def _one_thread() -> Iterator[None]:
    """Hold torch to one thread: a sum over two is another sum, and equal networks must give equal files anywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def random_ranges(layers: tuple[LayerSpec, ...], weights: Weights, *, seed: int = 0) -> ActivationRanges:
    """Return ranges for white noise, for files that are measured and never used, e.g. blocks of a latency table.

    Args:
        layers: As `mnas.layers` gives them.
        weights: Folded weights of every ``conv`` and ``linear`` layer.
        seed: Of the noise.
    """
    return calibrate(layers, weights, parity_inputs(layers[0].in_shapes_chw[0], 1, seed), choice="minmax")


def _check(layers: tuple[LayerSpec, ...], images: Image, choice: str) -> None:
    shape = layers[0].in_shapes_chw[0]
    if images.ndim != 4 or not len(images) or images.shape[1:] != shape:
        raise _refused("these images cannot calibrate the network", images.shape, f"it takes images of {shape}")
    if choice not in RANGE_CHOICES:
        raise _refused("no such way to choose ranges", choice, f"use one of {', '.join(RANGE_CHOICES)}")


def _refused(what: str, value: object, fix: str) -> ExportError:
    why = "int8 numbers must span what the network's tensors hold"
    return ExportError("EXP11", what, value=value, why=why, fix=fix)


class _Observer(LayerModule):
    """Runs a network and looks at every tensor: first at its span and mean, once there are counts at how often."""

    def __init__(self, module: LayerModule) -> None:
        super().__init__(module.layers)
        self.parts = module.parts
        self.eval()
        self.spans: dict[str, Limits] = {}
        self.counts: dict[str, npt.NDArray[np.float64]] = {}
        self.sums: dict[str, npt.NDArray[np.float64]] = {}
        self._is_counting = False
        self._seen: set[str] = set()

    @torch.inference_mode()
    def watch(self, batches: Sequence[torch.Tensor], *, is_counting: bool = False) -> None:
        """Run all batches."""
        self._is_counting = is_counting
        for batch in batches:
            self._seen.clear()
            output = self(batch)
            self._look(self.layers[-1].name, output)

    def _run(self, layer: LayerSpec, inputs: list[torch.Tensor]) -> torch.Tensor:
        for source, value in zip(layer.inputs, inputs, strict=True):
            self._look(tensor_name(self.layers, source), value)
        value = super()._run(layer, inputs)
        if layer.activation != "none":
            self._look(linear_name(layer), value)
        return value

    def _look(self, name: str, value: torch.Tensor) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        if self._is_counting:
            low, high = self.spans[name]
            counted = torch.histc(value, BINS, low, high) if high > low else torch.zeros(BINS)
            self.counts[name] = self.counts.get(name, np.zeros(BINS)) + counted.double().numpy()
            return
        low, high = (float(one) for one in torch.aminmax(value))
        known = self.spans.get(name, (low, high))
        self.spans[name] = min(known[0], low), max(known[1], high)
        mean = value.double().flatten(2).mean(2) if value.ndim > 2 else value.double()
        self.sums[name] = self.sums.get(name, np.zeros(value.shape[1])) + mean.sum(0).numpy()
