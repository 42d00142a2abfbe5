"""The ONNX writer: what it writes computes what torch computes."""

import io

import numpy as np
import onnx
import pytest
import torch

from mnas.architecture import ACTIVATIONS, Block
from mnas.errors import ExportError
from mnas.export.onnx import IR_VERSION, OPSET, write_onnx
from mnas.export.parity import check_parity, run_onnx, run_torch, settle_batch_norm
from mnas.layers import layers_of, layers_of_blocks
from mnas.modules import LayerModule, build_module, folded_weights
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.weights import random_weights


def assert_parity(layers, module, shape, seed=0):
    settle_batch_norm(module, shape, seed)
    data = write_onnx(layers, folded_weights(module))
    onnx.checker.check_model(data, full_check=True)
    report = check_parity(run_torch(module), run_onnx(data), shape, inputs=4, seed=seed)
    assert report.relative_difference <= 1e-4
    assert report.moves >= 0.1
    return data


@pytest.mark.parametrize("name", NAMED_NETWORKS)
@pytest.mark.parametrize("px", [64, 75])
def test_a_named_network(name, px):
    architecture = named_network(name, px, 100)
    assert_parity(layers_of(architecture), build_module(architecture), architecture.input_shape_chw)


@pytest.mark.parametrize("name", ["mobilenetv3-small", "shufflenetv2", "squeezenet-1.1"])
def test_the_bytes_are_those_that_protobuf_writes(name):
    layers = layers_of(named_network(name, 64, 300))
    data = write_onnx(layers, random_weights(layers, np.random.default_rng(0)), metadata={"b": "x" * 200, "a": ""})
    model = onnx.load_from_string(data)
    assert len(model.graph.initializer) > 20 and len(model.metadata_props) == 2
    again = onnx.ModelProto()
    for field, value in model.ListFields():  # anew, so that no order of the file is kept
        if hasattr(value, "extend"):
            getattr(again, field.name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(again, field.name).CopyFrom(value)
        else:
            setattr(again, field.name, value)
    assert again.SerializeToString(deterministic=True) == data


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
        report = check_parity(
            run_torch(module), run_onnx(write_onnx(layers, folded_weights(module))), (3, 9, 8), seed=1
        )
        assert report.relative_difference <= 1e-4
        assert report.output_range > 0


def test_every_operator(every_operator):
    torch.manual_seed(0)
    layers = every_operator
    data = assert_parity(layers, LayerModule(layers), (12, 15, 18))
    assert {"Slice", "Concat", "Transpose", "Add", "Mul"} <= {
        node.op_type for node in onnx.load_from_string(data).graph.node
    }


@pytest.mark.filterwarnings(
    "ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning",
    "ignore:The feature will be removed:DeprecationWarning",
)
def test_torchs_own_exporter_agrees():
    architecture = named_network("mobilenetv3-small", 64, 10)
    module = build_module(architecture)
    settle_batch_norm(module, architecture.input_shape_chw, 0)
    theirs = io.BytesIO()
    torch.onnx.export(module.eval(), (torch.zeros(1, 3, 64, 64),), theirs, dynamo=False, opset_version=OPSET)
    ours = write_onnx(layers_of(architecture), folded_weights(module))
    report = check_parity(run_onnx(theirs.getvalue()), run_onnx(ours), architecture.input_shape_chw, seed=0)
    assert report.ok, report


def test_the_file_says_what_it_is():
    layers = layers_of_blocks((Block(op="conv", kernel_size=3, out_channels=4, activation="relu6"),), (3, 10, 12))
    weights = random_weights(layers, np.random.default_rng(0))
    model = onnx.load_from_string(write_onnx(layers, weights, name="one block", metadata={"b": "2", "a": "1"}))
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    assert (model.producer_name, model.graph.name) == ("mnas", "one block")
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("a", "1"), ("b", "2")]
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"input": [1, 3, 10, 12], "output": [1, 4, 10, 12]}
    assert all(tensor.HasField("raw_data") for tensor in model.graph.initializer)


def test_equal_networks_give_equal_bytes(every_operator):
    layers = every_operator
    first = write_onnx(layers, random_weights(layers, np.random.default_rng(5)), metadata={"a": "1", "b": "2"})
    second = write_onnx(layers, random_weights(layers, np.random.default_rng(5)), metadata={"b": "2", "a": "1"})
    assert first == second


def test_hard_swish_is_one_operator():
    layers = layers_of_blocks((Block(op="conv", out_channels=4, activation="hswish"),), (3, 4, 4))
    model = onnx.load_from_string(write_onnx(layers, random_weights(layers, np.random.default_rng(0))))
    assert [node.op_type for node in model.graph.node] == ["Conv", "HardSwish"]


def test_missing_or_foreign_weights_are_refused():
    layers = layers_of_blocks((Block(op="conv", kernel_size=3, out_channels=4),), (3, 8, 8))
    other = layers_of_blocks((Block(op="conv", kernel_size=1, out_channels=4),), (3, 8, 8))
    for weights in ({}, random_weights(other, np.random.default_rng(0))):
        with pytest.raises(ExportError, match=r"EXP02.*block0\.conv"):
            write_onnx(layers, weights)


def test_an_empty_network_is_refused():
    with pytest.raises(ExportError, match="EXP02"):
        write_onnx((), {})
