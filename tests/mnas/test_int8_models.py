"""Files of 8-bit integers: they keep the ranking, in both formats alike, and no convolution is left in float."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.architecture import Block
from mnas.errors import ExportError
from mnas.export.activation_ranges import calibrate
from mnas.export.float_operators import float_operators
from mnas.export.int8 import INTERFACE, export_int8, quantize
from mnas.export.int8_layers import most_harmed_layer
from mnas.export.int8_onnx import write_int8_onnx
from mnas.export.int8_plan import plan_int8
from mnas.export.int8_report import (
    UNTRAINED,
    RankingLimits,
    centred_cosine,
    check_int8,
    compare_int8,
    require_int8,
)
from mnas.export.int8_tflite import write_int8_tflite
from mnas.export.onnx import write_onnx
from mnas.export.parity import parity_inputs, run_onnx, run_tflite, run_torch, settle_batch_norm
from mnas.export.partitions import partitions_of
from mnas.export.tflite import write_tflite
from mnas.layers import layers_of, layers_of_blocks
from mnas.modules import LayerModule, build_module, folded_weights
from mnas.named_networks import named_network
from mnas.weights import LayerWeights

WRITERS = {"onnx": write_int8_onnx, "tflite": write_int8_tflite}
RUNS = {"onnx": run_onnx, "tflite": run_tflite}
SE = {"se_channels": 12, "se_activation": "relu"}
BLOCKS = {
    "hard swish and gate": Block("mbconv", 24, 5, 2, mid_channels=48, se_gate="hsigmoid", activation="hswish", **SE),
    "swish and sigmoid": Block(
        "mbconv", 16, 3, mid_channels=48, se_gate="sigmoid", activation="swish", skip=True, **SE
    ),
    "relu6 and skip": Block("mbconv", 16, 3, mid_channels=48, activation="relu6", skip=True),
    "dilated": Block("sepconv", 16, 3, dilation=2, activation="relu"),
    "grouped": Block("conv", 16, 3, groups=4, activation="relu"),
    "fire": Block("fire", 16, 3, 2, mid_channels=8, activation="relu"),
    "ghost": Block("ghost", 16, 3, mid_channels=24, activation="relu"),
    "shuffle 1": Block("shufflev1", 32, 3, 2, groups=4, mid_channels=8, activation="relu", out_activation="relu"),
    "shuffle 2": Block("shufflev2", 16, 3, mid_channels=8, activation="relu"),
    "shuffle 2, strided": Block("shufflev2", 24, 3, 2, mid_channels=8, activation="hswish"),
}
SHAPE = (16, 14, 14)


def network_of(blocks, shape, seed=0):
    torch.manual_seed(seed)
    layers = layers_of_blocks(blocks, shape)
    module = LayerModule(layers)
    settle_batch_norm(module, shape, seed)
    return layers, folded_weights(module), run_torch(module)


def quantized(name, model_format):
    layers, weights, reference = network_of((BLOCKS[name],), SHAPE)
    ranges = calibrate(layers, weights, parity_inputs(SHAPE, 32, 1))
    return WRITERS[model_format](layers, weights, ranges), reference


@pytest.mark.parametrize("model_format", WRITERS)
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_keeps_what_it_computes(name, model_format):
    data, reference = quantized(name, model_format)
    found = compare_int8(reference, RUNS[model_format](data), parity_inputs(SHAPE, 8, 2))
    assert found.cosine >= 0.995
    assert float_operators(data, model_format) == ()


@pytest.mark.parametrize("name", BLOCKS)
def test_both_formats_compute_the_same(name):
    images, seen = parity_inputs(SHAPE, 4, 2), {}
    for model_format, run in RUNS.items():
        candidate = run(quantized(name, model_format)[0])
        seen[model_format] = np.stack([candidate(image[None]) for image in images])
    # Each rounds halves its own way; what is left is far from the step of 1/255 of the range, on average.
    assert np.abs(seen["onnx"] - seen["tflite"]).mean() <= np.ptp(seen["onnx"]) / 255


@pytest.mark.parametrize("name", BLOCKS)
def test_onnxruntime_runs_integer_convolutions_only(name, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(quantized(name, "onnx")[0], options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert "QLinearConv" in operators
    assert not operators & {"Conv", "FusedConv", "Gemm", "HardSwish", "HardSigmoid"}


@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in ("fire", "shuffle 1")])
def test_xnnpack_takes_a_whole_block(name):
    found = partitions_of(quantized(name, "tflite")[0])
    assert found is None or (found.count, found.outside) == (1, ())


@pytest.mark.parametrize("name", BLOCKS)
def test_tflites_own_kernels_take_it_too(name):
    data, reference = quantized(name, "tflite")
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()

    def run(image):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1))
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).transpose(0, 3, 1, 2)

    assert compare_int8(reference, run, parity_inputs(SHAPE, 8, 2)).cosine >= 0.995


@pytest.mark.parametrize("model_format", WRITERS)
def test_every_operator(model_format, every_operator):
    shape = every_operator[0].in_shapes_chw[0]
    torch.manual_seed(0)
    module = LayerModule(every_operator)
    settle_batch_norm(module, shape, 0)
    weights = folded_weights(module)
    data = WRITERS[model_format](
        every_operator, weights, calibrate(every_operator, weights, parity_inputs(shape, 32, 1))
    )
    assert compare_int8(run_torch(module), RUNS[model_format](data), parity_inputs(shape, 8, 2)).cosine >= 0.98


@pytest.mark.parametrize("model_format", WRITERS)
@pytest.mark.parametrize(("name", "least"), [("mobilenetv2", 0.7), ("mobilenetv3-small", 0.95)])
def test_a_named_network_passes_the_gate(name, least, model_format):
    architecture = named_network(name, 64, 10)
    module = build_module(architecture)
    settle_batch_norm(module, architecture.input_shape_chw, 0)
    images = parity_inputs(architecture.input_shape_chw, 32, 1)
    model = export_int8(architecture, module, images, {model_format: "here"}, limits=UNTRAINED)[model_format]
    assert model.report.ok
    assert model.report.file.lint.findings == ()
    assert model.report.accuracy.cosine >= least
    assert len(model.data) < 0.6 * len(
        (write_onnx if model_format == "onnx" else write_tflite)(layers_of(architecture), folded_weights(module))
    )


def test_equal_arguments_give_equal_bytes():
    layers, weights, _ = network_of((BLOCKS["hard swish and gate"],), SHAPE)
    first, second = (calibrate(layers, weights, parity_inputs(SHAPE, 8, 1)) for _ in range(2))
    for write in WRITERS.values():
        assert write(layers, weights, first) == write(layers, weights, second)


def test_the_interface_is_float_or_int8_and_the_file_says_which():
    layers, weights, _ = network_of((BLOCKS["relu6 and skip"],), SHAPE)
    ranges = calibrate(layers, weights, parity_inputs(SHAPE, 8, 1))
    for interface, dtype in (("float32", np.float32), ("int8", np.int8)):
        data = write_int8_tflite(layers, weights, ranges, interface=interface)
        interpreter = Interpreter(model_content=data)
        interpreter.allocate_tensors()
        assert {one[0]["dtype"] for one in (interpreter.get_input_details(), interpreter.get_output_details())} == {
            dtype
        }
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        texts = {entry.name: bytes(model.buffers[entry.buffer].data) for entry in model.metadata}
        assert texts[b"mnas.dtype"] == b"int8"
        assert texts[b"mnas.interface_dtype"] == interface.encode()
        assert model.signatureDefs[0].inputs[0].tensorIndex == model.subgraphs[0].inputs[0]


def test_numbers_of_both_interfaces_are_the_same():
    layers, weights, _ = network_of((BLOCKS["fire"],), SHAPE)
    ranges = calibrate(layers, weights, parity_inputs(SHAPE, 8, 1))
    image = parity_inputs(SHAPE, 1, 5)
    outer = run_tflite(write_int8_tflite(layers, weights, ranges))(image)
    interpreter = Interpreter(model_content=write_int8_tflite(layers, weights, ranges, interface="int8"))
    interpreter.allocate_tensors()
    source, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = source["quantization"]
    numbers = np.clip(np.round(image.transpose(0, 2, 3, 1) / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], numbers)
    interpreter.invoke()
    scale, zero = out["quantization"]
    inner = (interpreter.get_tensor(out["index"]).astype(np.float32) - zero) * scale
    np.testing.assert_allclose(inner.transpose(0, 3, 1, 2), outer, atol=1.01 * scale)


@settings(max_examples=25)
@given(
    kernel=st.sampled_from((1, 3, 5)),
    stride=st.integers(1, 2),
    px=st.integers(4, 13),
    depthwise=st.booleans(),
    activation=st.sampled_from(("none", "relu", "relu6", "hswish", "swish", "sigmoid", "hsigmoid")),
    exponent=st.integers(-6, 6),
)
def test_a_convolution_of_any_scale(kernel, stride, px, depthwise, activation, exponent):
    block = Block("conv", 6, kernel, stride, groups=3 if depthwise else 1, activation=activation, norm="none")
    layers = layers_of_blocks((block,), (3, px, px))
    rng, scale = np.random.default_rng(0), np.float32(10.0**exponent)
    # Weights and images both of another size: their product is again of about 1, unless it is nothing at all.
    weight = rng.standard_normal((6, 1 if depthwise else 3, kernel, kernel), dtype=np.float32) / scale
    weight[2] = 0
    weights = {0: LayerWeights(weight, rng.standard_normal(6, dtype=np.float32))}
    images = parity_inputs((3, px, px), 12, 1) * scale
    ranges = calibrate(layers, weights, images)
    runs = [RUNS[name](write(layers, weights, ranges)) for name, write in WRITERS.items()]
    reference = run_onnx(write_onnx(layers, weights))
    for run in runs:
        seen, expected = (np.stack([one(image[None]) for image in images]) for one in (run, reference))
        assert np.abs(seen - expected).mean() <= 0.02 * max(np.ptp(expected), 1e-3)


def test_a_lost_ranking_is_refused_although_plain_cosine_is_high():
    rng = np.random.default_rng(0)
    common, own, noise = rng.normal(size=(1, 10)) * 100, rng.normal(size=(50, 10)), rng.normal(size=(50, 10))
    first, second = common + own, common + noise
    assert (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()) > 0.99
    assert abs(centred_cosine(first, second)) < 0.3
    assert centred_cosine(first, 3 * first + 7) == pytest.approx(1.0)
    assert np.isnan(centred_cosine(first, np.ones_like(first)))


@pytest.mark.parametrize("model_format", WRITERS)
def test_wrong_ranges_are_refused(model_format):
    blocks = (BLOCKS["relu6 and skip"], Block("pool", 16), Block("linear", 10))
    layers, weights, _ = network_of(blocks, SHAPE)
    images = parity_inputs(SHAPE, 32, 1)
    limits = RankingLimits(0.95, 0.5)
    good = quantize(layers, weights, model_format, calibrate(layers, weights, images), images, limits=limits)
    require_int8(good.report, "good")
    far = calibrate(layers, weights, images * 1000)
    bad = quantize(layers, weights, model_format, far, images, limits=limits)
    told = rf"EXP12: here is refused.*cosine.*most is lost in layer {layers[0].name} \(conv\): the same for every image"
    with pytest.raises(ExportError, match=told):
        require_int8(bad.report, "here")


@pytest.mark.parametrize("model_format", WRITERS)
@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in ("grouped", "fire")])
def test_the_layer_that_integers_harm_is_found(name, model_format):
    block = BLOCKS[name]
    layers, weights, _ = network_of((block, Block("pool", block.out_channels), Block("linear", 10)), SHAPE)
    images = parity_inputs(SHAPE, 32, 1)
    ranges = calibrate(layers, weights, images)
    sound = most_harmed_layer(layers, weights, WRITERS[model_format](layers, weights, ranges), model_format, images)
    assert sound.cosine > 0.8
    # One layer alone is spoilt: its range is far too wide for what it gives.
    harmed = next(layer for layer in layers if layer.op == "conv" and layer.activation == "none")
    names = {harmed.name, f"{harmed.name}/linear"} & set(ranges.limits)
    low, high = ranges.limits[harmed.name]
    far = 600 * max(-low, high)
    wide = replace(ranges, limits={**ranges.limits, **dict.fromkeys(names, (-far, far))})
    found = most_harmed_layer(layers, weights, WRITERS[model_format](layers, weights, wide), model_format, images)
    assert (found.name, found.op) == (harmed.name, "conv")
    assert np.isnan(found.cosine)


@pytest.mark.parametrize("model_format", WRITERS)
def test_a_float_file_is_refused(model_format):
    layers, weights, reference = network_of((BLOCKS["relu6 and skip"],), SHAPE)
    data = {"onnx": write_onnx, "tflite": write_tflite}[model_format](layers, weights, metadata=INTERFACE)
    accuracy = compare_int8(reference, RUNS[model_format](data), parity_inputs(SHAPE, 8, 2))
    report = check_int8(data, layers, model_format, accuracy, INTERFACE, limits=UNTRAINED)
    assert len(report.float_operators) >= 3
    with pytest.raises(ExportError, match=r"EXP0[35]"):
        require_int8(report, "here")


def test_accuracy_is_counted():
    outputs = np.eye(4)[[0, 1, 2, 3]]
    turns = iter([*outputs, *outputs[[0, 1, 3, 3]]])
    images = np.zeros((4, 1, 1, 1), np.float32)
    found = compare_int8(lambda _: next(turns), lambda _: next(turns), images, np.array([0, 1, 3, 0]))
    assert (found.agreement, found.top1_float, found.top1_int8) == (0.75, 0.5, 0.75)
    assert found.loss_points == -25
    with pytest.raises(ExportError, match="EXP02"):
        compare_int8(lambda _: outputs[0], lambda _: outputs[0], images, np.array([0]))


def test_a_hard_sigmoid_behind_a_convolution_costs_no_operator():
    layers, weights, _ = network_of((BLOCKS["hard swish and gate"],), SHAPE)
    plan = plan_int8(layers, weights, calibrate(layers, weights, parity_inputs(SHAPE, 8, 1)))
    assert [layer.activation for layer in layers if layer.name.endswith("se_expand")] == ["hsigmoid"]
    assert [layer.activation for layer in plan.layers if layer.name.endswith("se_expand")] == ["none"]
