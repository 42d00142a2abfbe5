"""What an ONNX file says of itself: counts that can be done by hand, shapes given from outside, files that are none."""

from __future__ import annotations

import resource
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from devices.models.onnx_file import describe_onnx
from devices.runtimes.memory import peak_bytes
from mnas.errors import ModelError

FLOAT = TensorProto.FLOAT


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def save(path, nodes, inputs, outputs, initializers=(), opset=17, functions=(), domains=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


SCALE, ZERO = weight("s"), weight("z", dtype=np.uint8)
CASES = {
    "conv": (
        helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], group=2),
        [1, 4, 9, 9], [weight("w", 6, 2, 3, 3)], (6 * 4 * 4) * (2 * 9),
    ),
    "conv, 1-D": (helper.make_node("Conv", ["x", "w"], ["y"]), [1, 4, 9], [weight("w", 6, 4, 3)], 6 * 7 * 4 * 3),
    "transposed conv": (
        helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
        [1, 4, 5, 5], [weight("w", 4, 3, 2, 2)], (4 * 25) * (3 * 4),
    ),
    "gemm": (helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), [2, 5], [weight("w", 7, 5)], 2 * 5 * 7),
    "gemm, A transposed": (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), [5, 2], [weight("w", 5, 7)], 70),
    "matmul": (helper.make_node("MatMul", ["x", "w"], ["y"]), [3, 2, 5], [weight("w", 5, 7)], 3 * 2 * 5 * 7),
    "matmul with a vector": (helper.make_node("MatMul", ["x", "w"], ["y"]), [2, 5], [weight("w", 5)], 10),
    "einsum": (
        helper.make_node("Einsum", ["x", "w"], ["y"], equation="bij,bkj->bik"), [2, 3, 5], [weight("w", 2, 4, 5)],
        2 * 3 * 4 * 5,
    ),
    "lstm": (
        helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=3), [6, 2, 5],
        [weight("w", 1, 12, 5), weight("r", 1, 12, 3)], 6 * 2 * (12 * 5 + 12 * 3),
    ),
    "relu": (helper.make_node("Relu", ["x"], ["y"]), [2, 5], [], 0),
    "quantised conv": (
        helper.make_node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"]),
        [1, 4, 9, 9], [SCALE, ZERO, weight("w", 6, 4, 3, 3, dtype=np.uint8)], 6 * 49 * 4 * 9,
    ),
    "integer matmul": (
        helper.make_node("MatMulInteger", ["x", "w"], ["y"]), [2, 5], [weight("w", 5, 7, dtype=np.uint8)], 70,
    ),
    "quantised matmul": (
        helper.make_node("QLinearMatMul", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"]), [2, 5],
        [SCALE, ZERO, weight("w", 5, 7, dtype=np.uint8)], 70,
    ),
    "attention": (helper.make_node("Attention", ["x", "x", "x"], ["y"]), [1, 2, 3, 4], [], None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_macs_are_those_of_the_operator(path, name):
    node, shape, initializers, expected = CASES[name]
    kind = TensorProto.UINT8 if any(one.data_type == TensorProto.UINT8 for one in initializers) else FLOAT
    out = TensorProto.INT32 if node.op_type == "MatMulInteger" else kind
    opset = 23 if node.op_type == "Attention" else 17
    save(path, [node], [value("x", shape, kind)], [value("y", None, out)], initializers, opset)
    described = describe_onnx(path, {})
    assert described.macs == expected
    assert described.operators == {node.op_type: 1}
    assert described.params == sum(int(np.prod(one.dims)) for one in initializers if one.dims)


def test_given_sizes_reach_the_counts_and_the_outputs(path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Flatten", ["c"], ["y"])]
    save(path, nodes, [value("x", ["n", 3, "h", "w"])], [value("y", ["n", "f"])], [weight("w", 4, 3, 1, 1)])
    unfilled = describe_onnx(path)
    assert unfilled.macs is None and unfilled.inputs[0].shape == (None, 3, None, None)
    for px in (8, 16):
        described = describe_onnx(path, {"x": (2, 3, px, px)})
        assert described.macs == 2 * 4 * px * px * 3
        assert described.inputs[0].shape == (2, 3, px, px)
        assert described.outputs[0].shape == (2, 4 * px * px)
    with pytest.raises(ModelError, match=r"MOD07.*--shape x=1,3,SIZE,SIZE"):
        describe_onnx(path, {})


def test_shapes_that_are_computed_in_the_graph_are_followed(path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    ints = [numpy_helper.from_array(np.array([at]), name) for name, at in (("zero", 0), ("rest", 12))]
    save(path, nodes, [value("x", ["n", 3, 4])], [value("y", None)], [*ints, weight("w", 12, 5)])
    described = describe_onnx(path, {"x": (7, 3, 4)})
    assert (described.macs, described.outputs[0].shape, described.params) == (7 * 12 * 5, (7, 5), 60)


def branch(name, channels):
    conv = helper.make_node("Conv", ["x", f"w{channels}"], [name])
    return helper.make_graph([conv], f"{name} graph", [], [value(name, None)])


@pytest.mark.parametrize(("channels", "expected"), [((4, 4), 4 * 64 * 3), ((4, 5), None)])
def test_branches_count_where_they_agree(path, channels, expected):
    node = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", channels[0]), else_branch=branch("b", channels[1])
    )
    inputs = [value("x", [1, 3, 8, 8]), value("c", [], TensorProto.BOOL)]
    save(path, [node], inputs, [value("y", None)], [weight("w4", 4, 3, 1, 1), weight("w5", 5, 3, 1, 1)])
    described = describe_onnx(path, {})
    assert described.macs == expected
    assert described.operators == {"Conv": 2, "If": 1}


def test_unknown_operators_leave_no_number_and_are_named(path):
    node = helper.make_node("Wonder", ["x"], ["y"], domain="org.example")
    save(path, [node], [value("x", [1, 3])], [value("y", [1, 3])], domains=["org.example"])
    described = describe_onnx(path, {})
    assert described.macs is None and described.operators == {"org.example:Wonder": 1}


def function(name, calls, opset):
    return helper.make_function("own", name, ["a"], ["b"], calls, opset)


def test_functions_are_written_out(path):
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    double = function("Twice", [helper.make_node("MatMul", ["a", "a"], ["b"])], opset)
    nodes = [
        helper.make_node("Twice", ["x"], ["h"], domain="own"),
        helper.make_node("Twice", ["h"], ["y"], domain="own"),
    ]
    save(path, nodes, [value("x", [4, 4])], [value("y", [4, 4])], functions=[double], domains=["own"])
    described = describe_onnx(path, {})
    assert described.macs == 2 * 64 and described.operators == {"own:Twice": 2}


@pytest.mark.parametrize("depth", [1, 40, 60])
def test_functions_that_call_themselves_or_explode_cost_the_count_alone(path, depth):
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def calls(target):
        first, second = (helper.make_node(target, [a], [b], domain="own") for a, b in (("a", "m"), ("m", "b")))
        return [first, second]

    chain = [function(f"F{at}", calls(f"F{(at + 1) % depth}"), opset) for at in range(depth)]
    if depth == 40:
        chain[-1] = function("F39", [helper.make_node("Relu", ["a"], ["b"])], opset)
    node = helper.make_node("F0", ["x"], ["y"], domain="own")
    save(path, [node], [value("x", [4])], [value("y", [4])], functions=chain, domains=["own"])
    assert describe_onnx(path, {}).macs is None


def test_weights_that_older_files_list_as_inputs_are_none(path):
    save(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 2]), value("w", [2, 2])],
         [value("y", [1, 2])], [weight("w", 2, 2)])  # fmt: skip
    assert [one.name for one in describe_onnx(path, {}).inputs] == ["x"]


def external(tmp_path):
    model = onnx.load_from_string(
        save(tmp_path / "plain.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 64])],
             [value("y", [1, 64])], [weight("w", 64, 64)]).read_bytes()
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.weights", size_threshold=0)
    return path


def test_weights_outside_the_file_are_counted_and_missed(tmp_path):
    path = external(tmp_path)
    assert describe_onnx(path, {}).params == 64 * 64
    weights = tmp_path / "net.weights"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"MOD04.*net\.weights.*100 bytes"):
        describe_onnx(path, {})
    weights.unlink()
    with pytest.raises(ModelError, match=r"MOD04.*net\.weights.*no such file"):
        describe_onnx(path, {})


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", ""])
def test_weights_elsewhere_are_refused(tmp_path, location):
    path = external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="MOD04"):
        describe_onnx(path, {})


def test_a_description_survives_json(path):
    save(path, [helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", 3])], [value("y", ["n", 3])])
    for described in (describe_onnx(path), describe_onnx(path, {})):
        assert type(described).from_json(described.to_json()) == described


def test_arithmetic_on_shapes_that_exporters_write_is_worked_out(path):
    """Cast, Slice, Div, Squeeze, ConstantOfShape: ONNX's own inference stops at some of them."""
    constants = {"at0": [0], "at1": [1], "two": [2], "far": [2**62], "back": [-1], "low": [-(2**63)], "one": [1]}
    ints = [numpy_helper.from_array(np.array(numbers, np.int64), name) for name, numbers in constants.items()]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["as32"], to=TensorProto.INT32),
        helper.make_node("Slice", ["as32", "at0", "at1", "at0", "one"], ["first32"]),
        helper.make_node("Cast", ["first32"], ["first"], to=TensorProto.INT64),
        helper.make_node("Slice", ["s", "back", "low", "at0", "back"], ["reversed"]),
        helper.make_node("Slice", ["reversed", "at0", "at1"], ["last"]),
        helper.make_node("Div", ["last", "two"], ["half"]),
        helper.make_node("Squeeze", ["half", "at0"], ["scalar"]),
        helper.make_node("Unsqueeze", ["scalar", "at0"], ["again"]),
        helper.make_node("ConstantOfShape", ["one"], ["minus"], value=numpy_helper.from_array(np.array([-1]))),
        helper.make_node("Concat", ["first", "minus", "again"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["r"]),
        helper.make_node("Shape", ["r"], ["s2"]),
        helper.make_node("Gather", ["s2", "at1"], ["middle"]),
        helper.make_node("Concat", ["middle", "back"], ["to2"], axis=0),
        helper.make_node("Reshape", ["r", "to2"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    save(path, nodes, [value("x", ["n", "a", "b"])], [value("y", None)], [*ints, weight("w", 12, 5)])
    described = describe_onnx(path, {"x": (3, 4, 8)})
    assert (described.macs, described.outputs[0].shape) == (8 * 12 * 5, (8, 5))
    assert described.operators["Shape"] == 2 and "Constant" not in described.operators
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones((3, 4, 8), np.float32)})[0].shape == (8, 5)


def test_arithmetic_that_would_be_large_or_wrong_is_left_alone(path):
    big = numpy_helper.from_array(np.array([2**40, 2**20]), "big")
    zero = numpy_helper.from_array(np.array([0]), "zero")
    nodes = [
        helper.make_node("ConstantOfShape", ["big"], ["huge"], value=numpy_helper.from_array(np.array([1]))),
        helper.make_node("Div", ["big", "zero"], ["infinite"]),
        helper.make_node("Gather", ["big", "big"], ["outside"]),
        helper.make_node("Reshape", ["x", "infinite"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    save(path, nodes, [value("x", [3, 4])], [value("y", None)], [big, zero, weight("w", 4, 5)])
    assert describe_onnx(path, {}).macs is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_a_small_file_that_asks_for_a_huge_constant_takes_no_memory(tmp_path):
    """200 GB of zeros: the shape inference would make them while it follows constants."""
    size = helper.make_tensor("size", TensorProto.INT64, [1], [50_000_000_000])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("Add", ["zeros", "x"], ["sum"]),
        helper.make_node("ReduceSum", ["sum"], ["y"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])]
    graph = helper.make_graph(nodes, "huge", inputs, outputs, [size])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "huge.onnx")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert describe_onnx(tmp_path / "huge.onnx", {}).inputs[0].name == "x"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert (peak_bytes() or 0) < 8 * 2**30
