"""A network taken out of a supernet: its share of the weights, norms calibrated, written as an export folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mnas.architecture import Architecture
from mnas.counts import total_macs, total_params
from mnas.errors import SupernetError
from mnas.export.folder import export_folder, write_card, write_models
from mnas.layers import layers_of
from mnas.modules import LayerModule
from search.data.batches import SplitImages
from search.data.dataset import Dataset
from search.data.preprocessing import preprocessing_of
from search.finalists import parity_images
from search.supernet.checkpoint import Checkpoint
from search.training.memory import memory_told
from search.training.trainer import Evaluation, estimate_batch_norms, evaluate, reproducible

CALIBRATION_IMAGES = 2000
"""Training images that norms are calibrated on; as many as a search's final training takes."""
_SPLIT = "val"


@dataclass(frozen=True, slots=True, eq=False)
class Subnet:
    """A network with the weights that it inherits.

    Attributes:
        architecture: The network.
        module: In evaluation mode, norms calibrated.
        evaluation: On val; test is for those who train it.
        supernet_sha256: Of the weights that it was taken from.
    """

    architecture: Architecture
    module: LayerModule
    evaluation: Evaluation
    supernet_sha256: str


def subnet_of(checkpoint: Checkpoint, architecture: Architecture, dataset: Dataset) -> Subnet:
    """Take a network out of a supernet.

    Args:
        checkpoint: The supernet.
        architecture: One of its space.
        dataset: That it was trained on.

    Raises:
        SpaceError: ``SPC03``: the network is none of the space.
        SupernetError: ``SUP05``: the supernet was trained on other data.
        TrainingError: ``TRN01``: its loss is infinite or NaN. ``TRN10``: not enough memory.
    """
    if checkpoint.description.fingerprint != dataset.fingerprint:
        raise SupernetError(
            "SUP05",
            "the supernet was trained on other data",
            value=f"{dataset.name} {dataset.fingerprint[:12]}, trained on {checkpoint.description.dataset} "
            f"{checkpoint.description.fingerprint[:12]}",
            why="its norms would be calibrated on images that its weights have not learnt from",
            fix="name its own data with --data",
        )
    supernet, px = checkpoint.supernet(), architecture.input_shape_chw[1]
    supernet.space.encode(architecture)
    module = supernet.extract(architecture)
    with reproducible(), memory_told(f"a subnet at {px} px"):
        estimate_batch_norms(module, SplitImages(dataset, "train", px, CALIBRATION_IMAGES).slices)
        found = evaluate(module, dataset, _SPLIT, px)
    return Subnet(architecture, module.eval(), found, checkpoint.sha256)


def write_subnet(subnet: Subnet, dataset: Dataset, folder: Path) -> Path:
    """Write architecture, weights, ONNX, TFLite and card, and return their folder.

    Args:
        subnet: The network.
        dataset: That its supernet was trained on.
        folder: Of all subnets.

    Raises:
        ExportError: A file does not compute what the module computes.
    """
    architecture, preprocessing = subnet.architecture, preprocessing_of(dataset, subnet.architecture)
    images = parity_images(dataset, architecture)
    write_models(folder, architecture, subnet.module, images, _owner(subnet), preprocessing)
    write_card(folder, _card(subnet, dataset, preprocessing))
    return export_folder(folder, architecture.arch_id)


def _owner(subnet: Subnet) -> str:
    return f"supernet-{subnet.supernet_sha256[:10]}"


def _card(subnet: Subnet, dataset: Dataset, preprocessing: dict[str, Any]) -> dict[str, Any]:
    layers, found = layers_of(subnet.architecture), subnet.evaluation
    images = min(CALIBRATION_IMAGES, dataset.size("train"))
    accuracy = {
        "split": _SPLIT,
        "top1": 1 - found.error,
        "interval": None,
        "images": found.images,
        "seeds": [],
        "note": f"inherited weights, norms calibrated on {images} training images",
    }
    return {
        "schema": "mnas.card/1",
        "arch_id": subnet.architecture.arch_id,
        "study": _owner(subnet),
        "summary": f"A subnet of a supernet of {dataset.name}, not trained on its own.",
        "preprocessing": preprocessing,
        "class_labels": list(dataset.class_names),
        "dtype": "float32",
        "macs": total_macs(layers),
        "params": total_params(layers),
        "latency": None,
        "accuracy": [accuracy],
        "ties_with": [],
        "training": {"supernet_sha256": subnet.supernet_sha256, "calibration_images": images},
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "versions": {name: version(name) for name in ("mnas", "torch")},
    }
