"""The parity gate: it must be able to fail."""

import numpy as np
import pytest
import torch
from torch import nn

from mnas.errors import DeviceError, ExportError
from mnas.export import litert
from mnas.export.onnx import write_onnx
from mnas.export.parity import (
    ParityReport,
    check_parity,
    parity_inputs,
    require_parity,
    run_onnx,
    run_tflite,
    run_torch,
    settle_batch_norm,
)
from mnas.export.tflite import write_tflite
from mnas.layers import layers_of
from mnas.modules import build_module, folded_weights
from mnas.named_networks import named_network
from mnas.weights import LayerWeights

SHAPE = (3, 4, 5)


def flatten(image):
    return image.reshape(1, -1)


@pytest.fixture(scope="module")
def network():
    architecture = named_network("mobilenetv3-small", 64, 10)
    module = build_module(architecture)
    settle_batch_norm(module, architecture.input_shape_chw, 0)
    return architecture, module


def test_equal_functions_pass():
    report = check_parity(flatten, flatten, SHAPE, seed=0)
    assert report.ok
    assert report.max_abs_difference == 0
    require_parity(report, "a model")


def test_figures_are_as_documented():
    # Outputs 0, 1 and 3 for the three inputs: range 3, smallest movement 1; the candidate is off by 0.3 once.
    outputs, shifted = iter([0.0, 1.0, 3.0]), iter([0.0, 1.3, 3.0])
    report = check_parity(
        lambda _: np.array([[next(outputs)]]), lambda _: np.array([[next(shifted)]]), SHAPE, inputs=3, seed=0
    )
    assert report.output_range == 3.0
    assert report.max_abs_difference == pytest.approx(0.3)
    assert report.relative_difference == pytest.approx(0.1)
    assert report.moves == pytest.approx(1 / 3)


@pytest.mark.parametrize(("factor", "ok"), [(0.9e-4, True), (1.1e-4, False)])
def test_the_limit_of_the_difference(factor, ok):
    span = np.ptp(parity_inputs(SHAPE, 8, 0))
    assert check_parity(flatten, lambda image: flatten(image) + factor * span, SHAPE, seed=0).ok == ok


def test_constant_outputs_are_not_ok():
    report = check_parity(lambda _: np.array([[1.0, 2.0]]), lambda _: np.array([[1.0, 2.0]]), SHAPE, seed=0)
    assert (report.relative_difference, report.moves) == (0.0, 0.0)
    assert not report.ok
    assert not check_parity(lambda _: np.ones((1, 1)), lambda _: np.ones((1, 1)), SHAPE, seed=0).ok


def test_outputs_that_hardly_move_are_not_ok():
    def still(image):
        return np.array([[0.0, 1.0]]) + 1e-3 * image.mean()

    assert not check_parity(still, still, SHAPE, seed=0).ok


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_never_ok(bad):
    def broken(image):
        return np.where(np.arange(60) == 7, bad, flatten(image))

    for reference, candidate in ((broken, flatten), (flatten, broken), (broken, broken)):
        assert not check_parity(reference, candidate, SHAPE, seed=0).ok
    assert not ParityReport(float("nan"), 1.0, float("nan"), 0.5).ok
    assert not ParityReport(0.0, 1.0, 0.0, float("nan")).ok


def test_another_shape_is_an_error():
    with pytest.raises(ExportError, match="EXP01"):
        check_parity(flatten, lambda image: image, SHAPE, seed=0)


def test_one_input_cannot_show_a_movement():
    with pytest.raises(ExportError, match="EXP02"):
        check_parity(flatten, flatten, SHAPE, inputs=1, seed=0)


def test_require_parity_names_the_artefact():
    with pytest.raises(ExportError, match=r"EXP01: model\.onnx.*relative_difference=0\.5") as caught:
        require_parity(ParityReport(0.5, 1.0, 0.5, 0.5), "model.onnx")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(("write", "run"), [(write_onnx, run_onnx), (write_tflite, run_tflite)])
def test_a_wrong_weight_is_caught(network, write, run):
    architecture, module = network
    layers, weights = layers_of(architecture), folded_weights(module)
    reference = run_torch(module)
    assert check_parity(reference, run(write(layers, weights)), architecture.input_shape_chw, seed=0).ok
    # Two rows of the classifier swapped, or one bias off by a percent of the output's range.
    last = weights[len(layers) - 1]
    swapped = LayerWeights(last.weight[[1, 0, *range(2, 10)]], last.bias)
    shifted = LayerWeights(last.weight, last.bias + np.float32(0.01) * (np.arange(10) == 3).astype(np.float32))
    for wrong in (swapped, shifted):
        data = write(layers, {**weights, len(layers) - 1: wrong})
        assert not check_parity(reference, run(data), architecture.input_shape_chw, seed=0).ok


def test_models_run_from_a_file_too(network, tmp_path):
    architecture, module = network
    layers, weights = layers_of(architecture), folded_weights(module)
    image = parity_inputs(architecture.input_shape_chw, 1, 0)
    for write, run in ((write_onnx, run_onnx), (write_tflite, run_tflite)):
        data = write(layers, weights)
        path = tmp_path / "model"
        path.write_bytes(data)
        assert run(path)(image).tolist() == run(data)(image).tolist()


def test_settled_statistics_normalise_and_leave_the_mode():
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4))
    module.train()
    module[2].eval()
    settle_batch_norm(module, (3, 12, 12), 7)
    assert [part.training for part in module] == [True, True, False, True]
    assert all(module[i].momentum == 0.1 for i in (1, 3))
    out = run_torch(module)(parity_inputs((3, 12, 12), 32, 7))
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(out.std((0, 2, 3)), 1, atol=1e-2)


def test_a_network_without_batch_norm_is_centred_and_then_moves():
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    module.train()
    before = check_parity(run_torch(module), run_torch(module), (3, 40, 40), seed=1)
    module.train()
    settle_batch_norm(module, (3, 40, 40), 7)
    assert all(part.training for part in module)
    images = parity_inputs((3, 40, 40), 32, 7)
    for end in (1, 3):  # behind each convolution, before what follows it
        np.testing.assert_allclose(run_torch(module[:end])(images).mean((0, 2, 3)), 0, atol=1e-5)
    after = check_parity(run_torch(module), run_torch(module), (3, 40, 40), seed=1)
    assert after.moves > before.moves


def test_settling_is_reproducible():
    def settled(seed):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6))
        settle_batch_norm(module, (3, 8, 8), seed)
        return module[1].running_mean.tolist()

    assert settled(1) == settled(1) != settled(2)


def test_inputs_depend_on_the_seed_alone():
    assert parity_inputs(SHAPE, 3, 5).tolist() == parity_inputs(SHAPE, 3, 5).tolist()
    assert parity_inputs(SHAPE, 3, 5).tolist() != parity_inputs(SHAPE, 3, 6).tolist()


def test_the_runtime_in_use_is_known():
    interpreter, package, version = litert.load_interpreter_class()
    assert interpreter.__name__ == "Interpreter"
    assert package in {"ai-edge-litert", "tflite-runtime"}
    assert version[0].isdigit()


def test_without_any_runtime_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(litert, "_CANDIDATES", (("no_such_package.interpreter", "no-such-package"),))
    with pytest.raises(DeviceError, match=r"DEV01.*no-such-package.*pip install ai-edge-litert"):
        litert.load_interpreter_class()
