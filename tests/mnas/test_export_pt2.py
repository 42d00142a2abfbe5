from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from devices.references import REFERENCE_NETWORKS
from mnas.errors import ExportError
from mnas.export.pt2 import write_pt2
from mnas.layers import LayerSpec, layers_of_blocks
from mnas.weights import LayerWeights, random_weights

_NETWORK = REFERENCE_NETWORKS["depthwise"]


def _parts() -> tuple[tuple[LayerSpec, ...], dict[int, LayerWeights]]:
    layers = layers_of_blocks(_NETWORK.blocks, _NETWORK.input_shape_chw)
    return layers, random_weights(layers, np.random.default_rng(0))


def test_bytes_are_the_same_on_every_call_and_in_another_process() -> None:
    first = write_pt2(*_parts())
    assert write_pt2(*_parts()) == first
    code = (
        "import hashlib, runpy, sys\n"
        f"parts = runpy.run_path({__file__!r})\n"
        "sys.stdout.write(hashlib.sha256(parts['write_pt2'](*parts['_parts']())).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == hashlib.sha256(first).hexdigest()
    # Where the code lies must not be in the file: it would differ from one installation to the next.
    assert b"modules.py" not in first and b"LayerModule" not in first


def test_the_program_computes_what_onnx_does_and_moves_with_its_input() -> None:
    import onnxruntime as ort

    from mnas.export.onnx import write_onnx

    layers, weights = _parts()
    program = torch.export.load(io.BytesIO(write_pt2(layers, weights))).module()
    session = ort.InferenceSession(write_onnx(layers, weights), providers=["CPUExecutionProvider"])
    outputs = []
    for seed in (0, 1):
        images = np.random.default_rng(seed).standard_normal((1, *_NETWORK.input_shape_chw)).astype(np.float32)
        with torch.inference_mode():
            found = program(torch.from_numpy(images)).numpy()
        (expected,) = session.run(None, {"input": images})
        assert found == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))
        outputs.append(found)
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01


def test_the_callers_generator_stays_as_it_was() -> None:
    state = torch.random.get_rng_state()
    write_pt2(*_parts())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_weights_that_do_not_fit_are_refused() -> None:
    layers, weights = _parts()
    missing = {index: value for index, value in weights.items() if index != 0}
    wrong = {**weights, 0: replace(weights[0], bias=np.zeros(3, np.float32))}
    for bad in (missing, wrong):
        with pytest.raises(ExportError, match="EXP02"):
            write_pt2(layers, bad)
