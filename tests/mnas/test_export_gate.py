"""The export gate: it passes what our writers write, and refuses each way in which a file can be wrong, by name."""

import json
from dataclasses import replace

import flatbuffers
import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from mnas.architecture import Architecture, Block, Stage
from mnas.errors import ExportError
from mnas.export.folder import export_folder, write_models
from mnas.export.gate import check_file, check_model, require
from mnas.export.gated import gated_models
from mnas.export.lint import LintRules
from mnas.export.metadata import model_metadata
from mnas.export.onnx import write_onnx
from mnas.export.parity import check_parity_on, parity_inputs, run_torch, settle_batch_norm
from mnas.export.probes import MIN_MOVES, probe_images
from mnas.export.tflite import write_tflite
from mnas.layers import layers_of
from mnas.modules import build_module, folded_weights
from mnas.weights import LayerWeights, random_weights

WRITERS = {"onnx": write_onnx, "tflite": write_tflite}
FORMATS = tuple(WRITERS)
ARCHITECTURE = Architecture(
    input_shape_chw=(3, 20, 22),
    classes=7,
    stem=(Block(op="conv", kernel_size=3, stride=2, out_channels=8, activation="relu6"),),
    stages=(
        Stage(
            (
                Block(
                    op="mbconv",
                    kernel_size=3,
                    mid_channels=16,
                    out_channels=8,
                    activation="hswish",
                    se_channels=4,
                    se_gate="hsigmoid",
                    se_activation="relu",
                    skip=True,
                ),
            )
        ),
        Stage((Block(op="shufflev2", kernel_size=3, mid_channels=4, out_channels=8, activation="relu"),)),
        Stage((Block(op="fire", kernel_size=3, stride=2, mid_channels=4, out_channels=12, activation="relu"),)),
    ),
    head=(
        Block(op="conv", out_channels=16, activation="hswish"),
        Block(op="pool", out_channels=16),
        Block(op="linear", out_channels=7),
    ),
)
LAYERS = layers_of(ARCHITECTURE)
NAMES = {layer.name: layer for layer in LAYERS}
WEIGHTED = [layer.name for layer in LAYERS if layer.op in ("conv", "linear")]
IMAGES = parity_inputs(ARCHITECTURE.input_shape_chw, 4, 1)


@pytest.fixture(scope="module")
def module():
    built = build_module(ARCHITECTURE, seed=3)
    with torch.no_grad():
        built.parts["stage0_block0_se_reduce"].bias.add_(
            3
        )  # else no value is above zero, and its weights do not matter
    settle_batch_norm(built, ARCHITECTURE.input_shape_chw, 0)
    return built.eval()


def written(module, model_format, *, layers=LAYERS, weights=None):
    metadata = model_metadata(ARCHITECTURE, model_format)
    return WRITERS[model_format](layers, weights or folded_weights(module), metadata=metadata)


def gate(module, data, model_format):
    return check_model(data, module, model_format, IMAGES, model_metadata(ARCHITECTURE, model_format))


def refused(report):
    """The codes of the faults, the gate's message, and the layer that it names."""
    with pytest.raises(ExportError) as caught:
        require(report, "the model")
    assert str(caught.value).startswith(f"{report.faults[0].code}: the model is refused")
    divergence = getattr(report, "divergence", None)
    return {fault.code for fault in report.faults}, str(caught.value), divergence and divergence.layer


def repacked(model):
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("model_format", FORMATS)
def test_what_the_writers_write_passes(module, model_format):
    report = gate(module, written(module, model_format), model_format)
    require(report, "the model")
    assert report.ok and report.divergence is None and report.faults == report.file.faults == ()
    assert report.file.lint.transposes == report.file.lint.implied_transposes == 1
    assert report.file.warnings == ()
    assert report.parity.relative_difference <= 1e-4 and report.parity.moves >= 0.1
    assert model_format == "onnx" or (report.file.partitions.count, report.file.partitions.outside) == (1, ())
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["ok"] is True and document["file"]["size"]["least_bytes"] > 0


@pytest.mark.parametrize("model_format", FORMATS)
@pytest.mark.parametrize("name", WEIGHTED)
def test_a_wrong_weight_is_found_in_its_layer(module, model_format, name):
    weights = folded_weights(module)
    right = weights[NAMES[name].index]
    wrong = right.weight.copy()
    wrong[np.unravel_index(np.abs(wrong).argmax(), wrong.shape)] *= np.float32(0.8)
    weights[NAMES[name].index] = LayerWeights(wrong, right.bias)
    codes, message, layer = refused(gate(module, written(module, model_format, weights=weights), model_format))
    assert (codes, layer) == ({"EXP01"}, name)
    assert name in message


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_wrong_weight_that_the_outputs_hide_is_found(module, model_format):
    weights = folded_weights(module)
    linear = weights[len(LAYERS) - 1]
    deaf = LayerWeights(linear.weight * np.float32(1e-9), np.arange(7, dtype=np.float32))
    conv = weights[0]
    weights |= {len(LAYERS) - 1: deaf, 0: LayerWeights(conv.weight * np.float32(0.8), conv.bias)}
    with torch.no_grad():
        numb = build_module(ARCHITECTURE)
        numb.load_state_dict(module.state_dict())
        numb.parts["head_block2_linear"].weight.mul_(1e-9)
        numb.parts["head_block2_linear"].bias.copy_(torch.arange(7.0))
    metadata = model_metadata(ARCHITECTURE, model_format)
    data = written(numb, model_format, weights=weights)
    report = check_model(data, numb, model_format, IMAGES, metadata, min_moves=0.0)
    codes, _, layer = refused(report)
    assert report.parity.relative_difference <= 1e-4
    assert (codes, layer) == ({"EXP01"}, "stem.block0.conv")


@pytest.mark.parametrize("model_format", FORMATS)
@pytest.mark.parametrize("name", [layer.name for layer in LAYERS if layer.activation != "none"])
def test_another_activation_is_found_in_its_layer(module, model_format, name):
    # Each bends where the other does not: batch norm keeps values below 6, and those of the squeeze are above 0.
    other = {"relu6": "hswish", "relu": "sigmoid", "hswish": "relu6", "hsigmoid": "sigmoid"}[NAMES[name].activation]
    layers = tuple(replace(one, activation=other) if one.name == name else one for one in LAYERS)
    codes, message, layer = refused(gate(module, written(module, model_format, layers=layers), model_format))
    assert "EXP01" in codes and layer == name
    assert name in message


@pytest.mark.parametrize("model_format", FORMATS)
@pytest.mark.parametrize("name", ["stem.block0.conv", "stage0.block0.depthwise", "stage2.block0.expand3"])
def test_other_padding_is_found_in_its_layer(module, model_format, name):
    layers = tuple(replace(one, padding_tlbr=(0, 0, 2, 2)) if one.name == name else one for one in LAYERS)
    codes, _, layer = refused(gate(module, written(module, model_format, layers=layers), model_format))
    assert codes == {"EXP01"} and layer == name


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_shuffle_of_other_groups_is_found(module, model_format):
    layers = tuple(replace(one, groups=4) if one.op == "shuffle" else one for one in LAYERS)
    codes, _, layer = refused(gate(module, written(module, model_format, layers=layers), model_format))
    assert codes == {"EXP01"} and layer == "stage1.block0.shuffle"


def with_onnx_transpose(data, behind):
    """Put an idle Transpose behind a layer."""
    model = onnx.load_from_string(data)
    place = next(i for i, node in enumerate(model.graph.node) if behind in node.output)
    for node in model.graph.node[place + 1 :]:
        for i, name in enumerate(node.input):
            node.input[i] = "turned" if name == behind else name
    node = onnx.helper.make_node("Transpose", [behind], ["turned"], name="turned", perm=[0, 1, 2, 3])
    model.graph.node.insert(place + 1, node)
    return model.SerializeToString()


def with_tflite_transpose(data, behind):
    """Put an idle TRANSPOSE behind a layer."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    old = next(i for i, tensor in enumerate(graph.tensors) if tensor.name == behind.encode())
    place = next(i for i, operator in enumerate(graph.operators) if old in list(operator.outputs))
    order = np.arange(4, dtype=np.int32)
    model.buffers.append(schema.BufferT(data=np.frombuffer(order.tobytes(), np.uint8)))
    graph.tensors.append(
        schema.TensorT(shape=[4], type=schema.TensorType.INT32, buffer=len(model.buffers) - 1, name="order")
    )
    graph.tensors.append(schema.TensorT(shape=list(graph.tensors[old].shape), buffer=0, name="turned"))
    new = len(graph.tensors) - 1
    for operator in graph.operators[place + 1 :]:
        operator.inputs = [new if one == old else one for one in operator.inputs]
    number = schema.BuiltinOperator.TRANSPOSE
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=number, builtinCode=number, version=1))
    turn = schema.OperatorT(
        opcodeIndex=len(model.operatorCodes) - 1,
        inputs=[old, new - 1],
        outputs=[new],
        builtinOptionsType=schema.BuiltinOptions.TransposeOptions,
        builtinOptions=schema.TransposeOptionsT(),
    )
    graph.operators.insert(place + 1, turn)
    return repacked(model)


@pytest.mark.parametrize(("model_format", "turn"), [("onnx", with_onnx_transpose), ("tflite", with_tflite_transpose)])
def test_a_transpose_too_many_is_refused_though_it_changes_nothing(module, model_format, turn):
    report = gate(module, turn(written(module, model_format), "stage0.block0.expand"), model_format)
    codes, message, _ = refused(report)
    assert report.parity.relative_difference <= 1e-4
    assert codes == {"EXP03"} and report.file.lint.transposes == 2
    assert "ranspose".casefold() in message.casefold() and "behind layer stage0.block0.expand" in message


def damage_onnx(change):
    def damage(data):
        model = onnx.load_from_string(data)
        change(model.graph)
        return model.SerializeToString()

    return damage


def open_batch(graph):
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def add_doubles(graph):
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(2), "doubles"))


def split_hard_swish(graph):
    """A hard swish as two operators, as other exporters write it."""
    place = next(i for i, node in enumerate(graph.node) if node.op_type == "HardSwish")
    node = graph.node[place]
    gate = onnx.helper.make_node("HardSigmoid", node.input, ["gate"], name="gate", alpha=1 / 6, beta=0.5)
    node.op_type = "Mul"
    node.input.append("gate")
    graph.node.insert(place, gate)


def add_output(graph):
    graph.output.append(onnx.helper.make_tensor_value_info("stem.block0.conv", 1, [1, 8, 10, 11]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (open_batch, "'input' has an open size"),
        (add_doubles, "'doubles' is of float64"),
        (split_hard_swish, "operator HardSigmoid"),
        (add_output, "outputs are ['output', 'stem.block0.conv']"),
    ],
)
def test_oddities_of_onnx_are_refused(module, change, named):
    codes, message, _ = refused(gate(module, damage_onnx(change)(written(module, "onnx")), "onnx"))
    assert "EXP03" in codes and named in message


def test_oddities_of_tflite_are_refused(module):
    model = schema.ModelT.InitFromPackedBuf(written(module, "tflite"), 0)
    model.subgraphs[0].tensors[0].shapeSignature = [-1, 20, 22, 3]
    codes, message, _ = refused(gate(module, repacked(model), "tflite"))
    assert codes == {"EXP03"} and "'input' has an open size" in message


def test_operators_that_xnnpack_leaves_are_refused_by_name(module):
    # A maximum over 1 x 1 with a stride is the one that XNNPACK does not take; no network of ours has it.
    layers = layers_of(
        replace(ARCHITECTURE, stages=(Stage((Block(op="maxpool", kernel_size=1, stride=2, out_channels=8),)),))
    )
    report = check_file(write_tflite(layers, random_weights(layers, np.random.default_rng(0))), layers, "tflite", {})
    codes, message, _ = refused(report)
    assert codes == {"EXP04"} and "MAX_POOL_2D -> stage0.block0.maxpool" in message


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_file_with_something_else_in_it_is_refused(module, model_format):
    metadata = model_metadata(ARCHITECTURE, model_format)
    layers, weights = LAYERS, folded_weights(module)
    data = WRITERS[model_format](layers, weights, metadata={**metadata, "ballast": "x" * 100_000})
    codes, message, _ = refused(check_model(data, module, model_format, IMAGES, metadata))
    assert codes == {"EXP05"} and str(len(data)) in message


@pytest.mark.parametrize("model_format", FORMATS)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(module, model_format, share):
    data = written(module, model_format)
    with pytest.raises(ExportError, match=r"EXP0[1-6]"):
        require(gate(module, data[: int(share * len(data))], model_format), "the model")


@pytest.mark.parametrize("model_format", FORMATS)
def test_a_network_that_ends_early_is_refused(module, model_format):
    layers = LAYERS[:-1]
    codes, message, layer = refused(gate(module, written(module, model_format, layers=layers), model_format))
    assert {"EXP01", "EXP03"} <= codes and layer == LAYERS[-2].name
    assert "layer head.block2.linear has no" in message


@pytest.mark.parametrize("model_format", FORMATS)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused(module, model_format, number):
    weights = folded_weights(module)
    index = NAMES["head.block0.conv"].index
    bias = weights[index].bias.copy()
    bias[3] = number
    weights[index] = LayerWeights(weights[index].weight, bias)
    codes, _, layer = refused(gate(module, written(module, model_format, weights=weights), model_format))
    assert codes == {"EXP01"} and layer == "head.block0.conv"


def test_a_network_whose_output_stands_still_is_refused(module):
    still = build_module(ARCHITECTURE).eval()
    with torch.no_grad():
        for parameter in still.parameters():
            parameter.zero_()
    codes, message, layer = refused(gate(still, written(still, "onnx"), "onnx"))
    assert codes == {"EXP01"} and layer is None and "hardly depends on its input" in message


def test_other_dtypes_have_rules_of_their_own(module):
    data = with_onnx_transpose(written(module, "onnx"), "stage0.block0.expand")
    metadata = model_metadata(ARCHITECTURE, "onnx")
    doubled = damage_onnx(add_doubles)(data)
    rules = LintRules(frozenset({"Transpose"}), frozenset({"float32", "float64"}))
    strict = check_file(doubled, LAYERS, "onnx", metadata)
    assert len(strict.lint.findings) == 2
    assert check_file(doubled, LAYERS, "onnx", metadata, rules=rules).lint.findings == ()
    small = check_file(doubled, LAYERS, "onnx", metadata, weight_bytes=1, overhead_bytes=100)
    assert small.size.least_bytes < strict.size.least_bytes


def test_all_or_nothing(module, tmp_path):
    bad = build_module(ARCHITECTURE, seed=3)
    with torch.no_grad():
        bad.parts["head_block2_linear"].bias[0] = float("nan")
    first = write_models(tmp_path, ARCHITECTURE, module, IMAGES, "study1", {"px": 20})
    folder = export_folder(tmp_path, ARCHITECTURE.arch_id)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ExportError, match="EXP01"):
        write_models(tmp_path, ARCHITECTURE, bad, IMAGES, "study1")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert all(report.ok for report in first.gate.values())


def test_files_say_what_they_are(module):
    found = gated_models(ARCHITECTURE, module, IMAGES, {"onnx": "a", "tflite": "b"}, preprocessing={"px": 20})
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(found["onnx"].data).metadata_props}
    model = schema.ModelT.InitFromPackedBuf(found["tflite"].data, 0)
    stored = {entry.name.decode(): bytes(model.buffers[entry.buffer].data).decode() for entry in model.metadata}
    for entries, layout in ((metadata, "NCHW"), (stored, "NHWC")):
        assert Architecture.from_json(json.loads(entries["mnas.architecture"])) == ARCHITECTURE
        assert (entries["mnas.arch_id"], entries["mnas.input_layout"]) == (ARCHITECTURE.arch_id, layout)
        assert json.loads(entries["mnas.preprocessing"]) == {"px": 20}
        assert entries["mnas.version"] and entries["mnas.writer_version"]


def test_probes_are_those_that_move_the_output():
    def of_colour(image):
        return image.mean((2, 3))

    def of_texture(image):
        return np.abs(np.diff(image, axis=3)).mean((1, 2, 3))[:, None] - 1.0

    for reference in (of_colour, of_texture):
        images = probe_images(reference, (3, 24, 24), 0, 5)
        outputs = np.stack([reference(image[None]) for image in images])
        assert images.shape == (5, 3, 24, 24) and images.dtype == np.float32
        assert np.ptp(outputs) > 0
    chosen = probe_images(of_colour, (3, 24, 24), 0, 5)
    white = parity_inputs((3, 24, 24), 5, 0)
    assert np.ptp(np.stack([of_colour(one[None]) for one in chosen])) > 5 * np.ptp(
        np.stack([of_colour(one[None]) for one in white])
    )
    assert 0 < MIN_MOVES < 0.1


def test_a_network_without_batch_norm_is_moved_by_probes():
    # Without a norm, features behind a relu have a large mean that is alike for any two images of white noise.
    fires = [
        Block(op="fire", kernel_size=3, mid_channels=8, out_channels=32, activation="relu", norm="none")
        for _ in range(4)
    ]
    architecture = replace(ARCHITECTURE, input_shape_chw=(3, 48, 48), stem=(), stages=(Stage(tuple(fires)),))
    module, shape = build_module(architecture), architecture.input_shape_chw
    white = check_parity_on(run_torch(module), run_torch(module), parity_inputs(shape, 6, 0))
    probes = probe_images(run_torch(module), shape, 0)
    assert check_parity_on(run_torch(module), run_torch(module), probes).moves > max(0.1, 2 * white.moves)
    found = gated_models(architecture, module, probes, {"onnx": "a", "tflite": "b"})
    assert all(model.report.ok for model in found.values())
