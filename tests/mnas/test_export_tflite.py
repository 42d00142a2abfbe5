"""The TFLite writer: what it writes computes what torch computes, under XNNPACK and under the plain kernels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.architecture import ACTIVATIONS, Block
from mnas.errors import ExportError
from mnas.export.parity import check_parity, run_tflite, run_torch, settle_batch_norm
from mnas.export.tflite import same_padding_is_torchs, write_tflite
from mnas.layers import LayerBuilder, layers_of, layers_of_blocks
from mnas.modules import LayerModule, build_module, folded_weights
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.weights import random_weights


def run_plain(data):
    """Run under TFLite's own kernels, without XNNPACK."""
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()

    def run(image):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1))
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return output.transpose(0, 3, 1, 2) if output.ndim == 4 else output

    return run


def read(data):
    """Return the model, and its operators as pairs of name and version in order."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [(names[code.builtinCode], code.version) for code in model.operatorCodes]
    return model, [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]


def written(blocks, shape):
    layers = layers_of_blocks(blocks, shape)
    return write_tflite(layers, random_weights(layers, np.random.default_rng(0)))


@pytest.mark.parametrize("name", NAMED_NETWORKS)
@pytest.mark.parametrize("px", [64, 75])
def test_a_named_network(name, px):
    architecture = named_network(name, px, 100)
    module = build_module(architecture)
    settle_batch_norm(module, architecture.input_shape_chw, 0)
    data = write_tflite(layers_of(architecture), folded_weights(module))
    report = check_parity(run_torch(module), run_tflite(data), architecture.input_shape_chw, inputs=4, seed=0)
    assert report.relative_difference <= 1e-4
    assert report.moves >= 0.1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    block = Block(op="conv", kernel_size=3, out_channels=8, activation=activation, norm="none")
    linear = Block(op="linear", out_channels=5, activation=activation)
    blocks = (block, Block(op="pool", out_channels=8), linear, linear)
    for part in (blocks, blocks[:1]):
        torch.manual_seed(3)
        layers = layers_of_blocks(part, (3, 9, 8))
        module = LayerModule(layers)
        with torch.no_grad():
            # Freshly drawn, a linear layer gives so little that no activation's bend or edge is reached.
            for parameter in module.parameters():
                parameter.mul_(6)
        data = write_tflite(layers, folded_weights(module))
        report = check_parity(run_torch(module), run_tflite(data), (3, 9, 8), seed=1)
        assert report.relative_difference <= 1e-4
        assert report.output_range > 0


@pytest.mark.parametrize("runner", [run_tflite, run_plain])
def test_every_operator(runner, every_operator):
    torch.manual_seed(0)
    layers = every_operator
    module = LayerModule(layers)
    settle_batch_norm(module, (12, 15, 18), 0)
    data = write_tflite(layers, folded_weights(module))
    report = check_parity(run_torch(module), runner(data), (12, 15, 18), inputs=4, seed=0)
    assert report.relative_difference <= 1e-4
    assert report.moves >= 0.1


def test_operator_versions_are_the_least_that_do(every_operator):
    # Source: LiteRT, tflite/tools/versioning/op_version.cc: grouped 6, dilated depthwise 2, else 1 for float32.
    layers = every_operator
    _, operators = read(write_tflite(layers, random_weights(layers, np.random.default_rng(0))))
    versions = {(name, version) for name, version in operators}
    assert {("CONV_2D", 1), ("CONV_2D", 6), ("DEPTHWISE_CONV_2D", 1), ("DEPTHWISE_CONV_2D", 2)} <= versions
    assert {version for name, version in versions if "CONV" not in name} == {1}


def test_xnnpack_takes_a_whole_network(every_operator):
    architecture = named_network("mobilenetv3-small", 64, 10)
    layers = layers_of(architecture)
    for part in (layers, every_operator):
        interpreter = Interpreter(model_content=write_tflite(part, random_weights(part, np.random.default_rng(0))))
        interpreter.allocate_tensors()
        delegates = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
        assert [list(op["outputs"]) for op in delegates] == [[interpreter.get_output_details()[0]["index"]]]


def test_a_file_is_the_same_whatever_was_written_before(every_operator):
    large = layers_of(named_network("mobilenetv3-small", 64, 10))

    def write(layers):
        return write_tflite(layers, random_weights(layers, np.random.default_rng(0)), name="one", metadata={"key": "x"})

    with ThreadPoolExecutor(1) as thread:  # a thread of its own has written nothing before
        fresh = thread.submit(write, every_operator).result()
    assert write(large) != fresh
    assert write(every_operator) == fresh
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(write, [large, every_operator] * 8))
    assert set(found[1::2]) == {fresh} and set(found[::2]) == {write(large)}


@settings(deadline=None, max_examples=60)
@given(
    kernel=st.sampled_from((1, 3, 5, 7)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    depthwise=st.booleans(),
)
def test_padding_is_torchs(kernel, stride, dilation, height, width, depthwise):
    block = Block(
        op="conv",
        kernel_size=kernel,
        stride=stride,
        dilation=dilation,
        groups=3 if depthwise else 1,
        out_channels=6,
        norm="none",
    )
    layers = layers_of_blocks((block,), (3, height, width))
    weights = random_weights(layers, np.random.default_rng(0))
    image = np.random.default_rng(1).standard_normal((1, 3, height, width), dtype=np.float32)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image),
        torch.from_numpy(weights[0].weight),
        torch.from_numpy(weights[0].bias),
        stride,
        layers[0].padding_tlbr[:2],
        dilation,
        block.groups,
    )
    np.testing.assert_allclose(run_tflite(write_tflite(layers, weights))(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "stride", "px", "same", "operators"),
    [
        (1, 1, 8, True, ["CONV_2D"]),
        (1, 2, 8, True, ["CONV_2D"]),
        (3, 1, 8, True, ["CONV_2D"]),
        (3, 2, 9, True, ["CONV_2D"]),
        (3, 2, 8, False, ["PAD", "CONV_2D"]),
        (5, 2, 75, True, ["CONV_2D"]),
        (5, 2, 224, False, ["PAD", "CONV_2D"]),
    ],
)
def test_pad_only_where_same_would_differ(kernel, stride, px, same, operators):
    block = Block(op="conv", kernel_size=kernel, stride=stride, out_channels=2)
    assert same_padding_is_torchs(layers_of_blocks((block,), (3, px, px))[0]) == same
    assert [name for name, _ in read(written((block,), (3, px, px)))[1]] == operators


def test_the_file_says_what_it_is():
    layers = layers_of_blocks((Block(op="conv", kernel_size=3, out_channels=4, activation="relu6"),), (3, 10, 12))
    weights = random_weights(layers, np.random.default_rng(0))
    data = write_tflite(layers, weights, name="one block", metadata={"arch_id": "abc"})
    assert data[4:8] == b"TFL3"
    model, _ = read(data)
    assert model.subgraphs[0].name == b"one block"
    entries = {entry.name: bytes(model.buffers[entry.buffer].data) for entry in model.metadata}
    assert entries[b"arch_id"] == b"abc"
    assert b"mnas.writer_version" in entries
    interpreter = Interpreter(model_content=data)
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["input"], "outputs": ["output"]}}
    image = np.ones((1, 10, 12, 3), np.float32)
    assert interpreter.get_signature_runner("serving_default")(input=image)["output"].shape == (1, 10, 12, 4)


def test_weights_lie_at_multiples_of_16_bytes(every_operator):
    layers = every_operator
    weights = random_weights(layers, np.random.default_rng(0))
    data = write_tflite(layers, weights, metadata={"odd": "xyz"})
    model = schema.Model.GetRootAs(data, 0)
    starts = [
        buffer._tab.Vector(buffer._tab.Offset(4))
        for buffer in (model.Buffers(i) for i in range(model.BuffersLength()))
        if not buffer.DataIsNone()
    ]
    assert len(starts) > 10
    assert all(start % 16 == 0 for start in starts)


def test_equal_networks_give_equal_bytes(every_operator):
    layers = every_operator
    first = write_tflite(layers, random_weights(layers, np.random.default_rng(5)), metadata={"a": "1", "b": "2"})
    second = write_tflite(layers, random_weights(layers, np.random.default_rng(5)), metadata={"b": "2", "a": "1"})
    assert first == second


def test_activations_are_fused_where_they_can_be():
    blocks = (
        Block(op="conv", out_channels=4, activation="relu"),
        Block(op="conv", out_channels=4, activation="hswish"),
        Block(op="conv", out_channels=4, activation="relu6"),
    )
    assert [name for name, _ in read(written(blocks, (3, 4, 4)))[1]] == ["CONV_2D", "CONV_2D", "HARD_SWISH", "CONV_2D"]


def test_missing_or_foreign_weights_are_refused():
    layers = layers_of_blocks((Block(op="conv", kernel_size=3, out_channels=4),), (3, 8, 8))
    other = layers_of_blocks((Block(op="conv", kernel_size=1, out_channels=4),), (3, 8, 8))
    for weights in ({}, random_weights(other, np.random.default_rng(0))):
        with pytest.raises(ExportError, match=r"EXP02.*block0\.conv"):
            write_tflite(layers, weights)


@pytest.mark.parametrize(
    "append",
    [
        lambda b, flat: b.conv("x", flat, 3),
        lambda b, flat: b.pool("x", flat),
        lambda b, flat: b.shuffle("x", flat, 2),
        lambda b, flat: b.scale("x", -1, flat),
        lambda b, flat: b.linear("linear", flat, 3),
        lambda b, flat: b.linear("input", flat, 3),
    ],
)
def test_what_cannot_be_written_is_refused(append):
    builder = LayerBuilder((4, 3, 3))
    append(builder, builder.linear("linear", builder.pool("pool", -1), 4))
    layers = tuple(builder.layers)
    with pytest.raises(ExportError, match="EXP02"):
        write_tflite(layers, random_weights(layers, np.random.default_rng(0)))
