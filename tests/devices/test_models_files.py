"""All formats: our own exports count as our layers do, and bytes that are no model give one clear line."""

from __future__ import annotations

import io
import json
import os
import zipfile

import pytest
from ai_edge_litert import schema_py_generated as schema
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from devices.models.description import ModelDescription
from devices.models.file_bytes import read_model_file
from devices.models.onnx_file import describe_onnx
from devices.models.pt2_file import describe_pt2
from devices.models.tflite_file import describe_tflite
from mnas.counts import total_macs
from mnas.errors import ModelError
from mnas.export.network import write_network
from mnas.layers import layers_of
from mnas.named_networks import NAMED_NETWORKS
from mnas.spaces.presets import open_space
from mnas.weights import weight_shape

DESCRIBE = {"onnx": describe_onnx, "tflite": describe_tflite, "pt2": describe_pt2}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The smallest named network in each format."""
    folder = tmp_path_factory.mktemp("own")
    return {form: write_network(NAMED_NETWORKS["mobilenetv3-small"](64), folder, form).path for form in DESCRIBE}


@pytest.mark.parametrize("form", DESCRIBE)
@pytest.mark.parametrize(("name", "px"), [(name, px) for name in NAMED_NETWORKS for px in (64, 96)])
def test_our_own_exports_count_as_our_layers_do(tmp_path, form, name, px):
    if form == "pt2" and (name, px) != ("mobilenetv3-large", 96):
        pytest.skip("one network is enough where torch exports it")
    architecture = NAMED_NETWORKS[name](px)
    layers = layers_of(architecture)
    described = DESCRIBE[form](write_network(architecture, tmp_path, form).path, {})
    shapes = [weight_shape(layer) for layer in layers if layer.op in ("conv", "linear")]
    expected = 0
    for shape in shapes:
        count = shape[0]
        for size in shape[1:]:
            count *= size
        expected += count + shape[0]
    assert described.macs == total_macs(layers)
    assert described.params == expected
    assert [one.shape for one in described.inputs] == [(1, px, px, 3) if form == "tflite" else (1, 3, px, px)]
    assert [one.shape for one in described.outputs] == [(1, 1000)]
    assert ModelDescription.from_json(json.loads(json.dumps(described.to_json()))) == described


@pytest.mark.parametrize("form", DESCRIBE)
@pytest.mark.parametrize("data", [b"", b"\0", b"PK\x03\x04", b"<html>not found</html>", b"\x08\x08", b"\xff" * 4096])
def test_bytes_that_are_no_model(tmp_path, form, data):
    path = tmp_path / f"bad.{form}"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        DESCRIBE[form](path, {})
    assert caught.value.code == ("MOD03" if data else "MOD02")
    assert "\n" not in str(caught.value) and "bad" in str(caught.value)


@pytest.mark.parametrize("form", DESCRIBE)
def test_one_format_is_not_another(own, tmp_path, form):
    for other in DESCRIBE:
        if other != form:
            path = tmp_path / f"{other}.{form}"
            path.write_bytes(own[other].read_bytes())
            with pytest.raises(ModelError, match="MOD03"):
                DESCRIBE[form](path, {})


def test_what_gives_no_bytes(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "long.onnx").write_bytes(b"12345")
    for name, words in (("", "a folder"), ("absent.onnx", "no such file"), ("pipe.onnx", "a pipe")):
        with pytest.raises(ModelError, match=rf"MOD02.*{words}"):
            read_model_file(tmp_path / name)
    with pytest.raises(ModelError, match=r"MOD02.*the limit is 4"):
        read_model_file(tmp_path / "long.onnx", limit=4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(own):
    own["onnx"].chmod(0)
    try:
        with pytest.raises(ModelError, match=r"MOD02.*[Pp]ermission"):
            describe_onnx(own["onnx"], {})
    finally:
        own["onnx"].chmod(0o644)


def is_described_or_refused(form, path, data):
    path.write_bytes(data)
    try:
        described = DESCRIBE[form](path, {})
    except ModelError as error:
        assert error.code.startswith("MOD") and "\n" not in str(error)
    else:
        assert isinstance(described, ModelDescription)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network of some kilobytes in each format."""
    space, folder = open_space("mobilenetv3", "digits"), tmp_path_factory.mktemp("small")
    architecture = space.decode(space.extremes()[0])
    return {form: write_network(architecture, folder, form).path for form in DESCRIBE}


@pytest.mark.parametrize("form", DESCRIBE)
@fuzzed
@given(share=st.floats(0, 1))
def test_truncated_files_are_described_or_refused(small, tmp_path, form, share):
    data = small[form].read_bytes()
    is_described_or_refused(form, tmp_path / f"cut.{form}", data[: int(len(data) * share)])


@pytest.mark.parametrize("form", DESCRIBE)
@fuzzed
@given(
    flips=st.lists(
        st.tuples(st.booleans(), st.integers(0, 20_000), st.sampled_from([0, 1, 127, 128, 255])),
        min_size=1,
        max_size=20,
    )
)
def test_flipped_bytes_are_described_or_refused(small, tmp_path, form, flips):
    data = bytearray(small[form].read_bytes())
    for from_end, place, byte in flips:
        # Both ends, where the structure lies; the middle is weights.
        place %= len(data)
        data[-1 - place if from_end else place] = byte
    is_described_or_refused(form, tmp_path / f"flipped.{form}", bytes(data))


@fuzzed
@given(data=st.data())
def test_a_damaged_graph_of_a_program_is_described_or_refused(small, tmp_path, data):
    with zipfile.ZipFile(small["pt2"]) as archive:
        name = next(one for one in archive.namelist() if one.endswith("model.json"))
        document = json.loads(archive.read(name))
    junk = st.sampled_from(["null", "0", "-1", '""', '"x"', "[]", "{}", "[[]]", '{"as_int": "x"}', "1e300"])
    for _ in range(data.draw(st.integers(1, 3))):
        part = document["graph_module"]
        while isinstance(part, dict | list) and part:
            keys = sorted(part) if isinstance(part, dict) else range(len(part))
            key = data.draw(st.sampled_from(keys))
            if data.draw(st.integers(0, 4)) == 0 or not isinstance(part[key], dict | list):
                part[key] = json.loads(data.draw(junk))
                break
            part = part[key]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, json.dumps(document))
    is_described_or_refused("pt2", tmp_path / "damaged.pt2", buffer.getvalue())


def test_a_program_whose_graph_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "bomb.pt2"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/models/model.json", "w") as out,
    ):
        for _ in range(130):
            out.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match=r"MOD03.*too large"):
        describe_pt2(path, {})


def tflite_of(op, shapes, *, stored=(), custom="", signature=None, adj_x=False):
    """Return a TFLite file with one operator; the last shape is its output's."""
    import flatbuffers

    model = schema.ModelT(version=3, subgraphs=[], operatorCodes=[], buffers=[schema.BufferT()])
    code = getattr(schema.BuiltinOperator, op)
    model.operatorCodes.append(
        schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, customCode=custom.encode() or None)
    )
    tensors = []
    for place, shape in enumerate(shapes):
        tensors.append(schema.TensorT(name=f"t{place}".encode(), shape=list(shape), type=schema.TensorType.FLOAT32))
        if place in stored:
            model.buffers.append(schema.BufferT(data=[0] * 4))
            tensors[-1].buffer = len(model.buffers) - 1
    tensors[0].shapeSignature = signature
    last = len(shapes) - 1
    operator = schema.OperatorT(opcodeIndex=0, inputs=list(range(last)), outputs=[last])
    if adj_x:
        operator.builtinOptionsType = schema.BuiltinOptions.BatchMatMulOptions
        operator.builtinOptions = schema.BatchMatMulOptionsT(adjX=True)
    inputs = [place for place in range(last) if place not in stored]
    model.subgraphs.append(schema.SubGraphT(tensors=tensors, inputs=inputs, outputs=[last], operators=[operator]))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("op", "shapes", "options", "expected"),
    [
        ("CONV_2D", [(1, 9, 9, 4), (6, 3, 3, 2), (1, 4, 4, 6)], {"stored": (1,)}, 6 * 16 * 9 * 2),
        ("DEPTHWISE_CONV_2D", [(1, 9, 9, 4), (1, 3, 3, 8), (1, 4, 4, 8)], {"stored": (1,)}, 8 * 16 * 9),
        ("FULLY_CONNECTED", [(2, 5), (7, 5), (2, 7)], {"stored": (1,)}, 70),
        ("TRANSPOSE_CONV", [(4,), (3, 2, 2, 4), (1, 5, 5, 4), (1, 10, 10, 3)], {"stored": (0, 1)}, 25 * 4 * 3 * 4),
        ("CONV_3D", [(1, 5, 5, 5, 2), (3, 3, 3, 2, 4), (1, 3, 3, 3, 4)], {"stored": (1,)}, 27 * 4 * 27 * 2),
        ("BATCH_MATMUL", [(3, 2, 5), (3, 5, 7), (3, 2, 7)], {}, 3 * 2 * 5 * 7),
        ("BATCH_MATMUL", [(3, 5, 2), (3, 5, 7), (3, 2, 7)], {"adj_x": True}, 3 * 2 * 5 * 7),
        ("RELU", [(1, 9), (1, 9)], {}, 0),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 9), (1, 9)], {}, None),
        ("CUSTOM", [(1, 9), (1, 9)], {"custom": "Wonder"}, None),
        ("CONV_2D", [(1, 9), (1, 9)], {}, None),
    ],
)  # fmt: skip
def test_macs_of_tflite_operators(tmp_path, op, shapes, options, expected):
    path = tmp_path / "one.tflite"
    path.write_bytes(tflite_of(op, shapes, **options))
    described = describe_tflite(path, {})
    assert described.macs == expected
    assert described.operators == {f"CUSTOM:{options['custom']}" if "custom" in options else op: 1}


def test_open_sizes_of_tflite_files(tmp_path):
    path = tmp_path / "open.tflite"
    shapes, stored = [(1, 1, 8, 4), (6, 1, 1, 4), (1, 1, 8, 6)], {"stored": (1,)}
    path.write_bytes(tflite_of("CONV_2D", shapes, signature=[-1, -1, 8, 4], **stored))
    with pytest.raises(ModelError, match=r"MOD07.*--shape t0=1,SIZE,8,4"):
        describe_tflite(path, {})
    assert describe_tflite(path).inputs[0].shape == (None, None, 8, 4)
    assert describe_tflite(path, {"t0": (1, 1, 8, 4)}).macs == 8 * 6 * 4
    # The file has no shapes for other sizes, and a wrong count is worse than none.
    assert describe_tflite(path, {"t0": (1, 2, 8, 4)}).macs is None
    with pytest.raises(ModelError, match="MOD06"):
        describe_tflite(path, {"t0": (1, 1, 9, 4)})
