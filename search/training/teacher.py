"""Opens teachers: the largest network of a supernet, trained weights, or any ONNX file."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch

from mnas.errors import MnasError, TrainingError
from mnas.export.source import find_source
from mnas.jsonio import sha256_bytes
from mnas.modules import LayerModule
from search.data.dataset import Dataset
from search.data.registry import open_dataset
from search.training import onnx_child
from search.training.distillation import Teacher
from search.training.trainer import estimate_batch_norms

SUPERNET = "supernet:"
_CALIBRATION_IMAGES = 2000
_USUAL_PX = 224
_TRIAL_S = 120.0


@lru_cache(maxsize=2)
def cached_teacher(name: str, dataset_name: str, dataset_folder: str | None) -> Teacher:
    """Return a teacher that this process has opened before, or opens now; see `open_teacher`."""
    return open_teacher(name, open_dataset(dataset_name, Path(dataset_folder) if dataset_folder else None))


def open_teacher(name: str, dataset: Dataset) -> Teacher:
    """Open a teacher; an ONNX file is tried in a process of its own first.

    Args:
        name: ``supernet:PATH`` for the largest network of a supernet, with norms estimated on this data; the path of an
            export folder or a ``weights.pt``; or an ONNX file of one input, float32 NCHW, and one output.
        dataset: That it is to teach.

    Raises:
        TrainingError: ``TRN16``: it cannot be read. ``TRN17``: it is of other classes or channels.
    """
    try:
        if name.startswith(SUPERNET):
            found = _of_supernet(name, dataset)
        elif Path(name).suffix == ".onnx":
            found = _of_onnx(name, dataset)
        else:
            found = _of_weights(name)
    except TrainingError:
        raise
    except (MnasError, OSError) as error:
        raise _unreadable(name, str(error)) from error
    _require_fit(found, dataset)
    return found


def _unreadable(name: str, why: str) -> TrainingError:
    fix = "name an export folder, a weights.pt, an .onnx file or supernet:PATH"
    return TrainingError("TRN16", "the teacher cannot be read", value=name, why=why, fix=fix)


def _require_fit(teacher: Teacher, dataset: Dataset) -> None:
    """Refuse a teacher of other classes or channels, which one image shows."""
    try:
        shape = tuple(teacher.outputs(torch.zeros(2, dataset.channels, teacher.px, teacher.px)).shape)
    except Exception as error:  # whatever torch or onnxruntime say of an input that does not fit
        raise _unfit(teacher.name, str(error).strip().splitlines()[0], dataset) from error
    if shape != (2, dataset.classes):
        raise _unfit(teacher.name, f"for 2 images it gives outputs of shape {shape}", dataset)


def _unfit(name: str, why: str, dataset: Dataset) -> TrainingError:
    fix = f"name one that was trained for {dataset.channels} channels and {dataset.classes} classes"
    return TrainingError("TRN17", f"the teacher does not fit the data set {dataset.name}", value=name, why=why, fix=fix)


def _of_module(name: str, fingerprint: str, module: LayerModule, px: int) -> Teacher:
    module.eval().requires_grad_(False)
    copies: dict[torch.device, LayerModule] = {torch.device("cpu"): module}

    def answer(images: torch.Tensor) -> torch.Tensor:
        device = images.device
        if device not in copies:
            copies[device] = copy.deepcopy(module).to(device)
        return cast(torch.Tensor, copies[device](images))

    return Teacher(name, fingerprint, px, answer)


def _of_weights(name: str) -> Teacher:
    found = find_source(name, None, None, None)
    if found.weights is None:
        raise _unreadable(name, "it has no weights: a network that was never trained teaches nothing")
    digest = sha256_bytes(found.weights.read_bytes())
    return _of_module(name, digest, found.module(0), found.architecture.input_shape_chw[1])


def _of_supernet(name: str, dataset: Dataset) -> Teacher:
    from mnas.spaces.staged import StagedSpace
    from search.data.batches import SplitImages
    from search.supernet.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(Path(name.removeprefix(SUPERNET)))
    if checkpoint.description.fingerprint != dataset.fingerprint:
        raise _unfit(name, f"it was trained on {checkpoint.description.dataset}", dataset)
    space = StagedSpace(checkpoint.description.definition)
    largest = space.decode(space.extremes()[1])
    module, px = checkpoint.supernet().extract(largest), largest.input_shape_chw[1]
    images = SplitImages(dataset, "train", px, _CALIBRATION_IMAGES)
    estimate_batch_norms(module, images.slices)
    return _of_module(name, checkpoint.sha256, module, px)


def _of_onnx(name: str, dataset: Dataset) -> Teacher:
    import onnxruntime

    data = Path(name).read_bytes()
    _try_in_child(name, data, dataset.channels)
    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common class
        raise _unreadable(name, str(error).strip().splitlines()[0]) from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise _unfit(name, f"its inputs are {[one.shape for one in inputs]}, and one NCHW is wanted", dataset)
    batch, _, _, px = inputs[0].shape

    def answer(images: torch.Tensor) -> torch.Tensor:
        values = np.ascontiguousarray(images.cpu().numpy(), dtype=np.float32)
        parts = [values[i : i + 1] for i in range(len(values))] if batch == 1 else [values]
        found = np.concatenate([session.run(None, {inputs[0].name: part})[0] for part in parts])
        return torch.from_numpy(found).to(images.device)

    return Teacher(name, sha256_bytes(data), px if isinstance(px, int) else _USUAL_PX, answer)


def _try_in_child(name: str, data: bytes, channels: int) -> None:
    """Load a file and run it once where nothing is lost: a damaged one may end the process, or never end."""
    numbers = (channels, _USUAL_PX, math.ceil(_TRIAL_S) + 1)
    command = [sys.executable, "-P", onnx_child.__file__, *map(str, numbers)]
    try:
        done = subprocess.run(
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_TRIAL_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _unreadable(name, f"onnxruntime does not end with it within {_TRIAL_S:g} s") from error
    if done.returncode == 0:
        return
    said = done.stdout.decode("utf-8", "replace").strip().partition("\n")[0]
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    raise _unreadable(name, said or f"onnxruntime died of it ({ended})")
