"""Runs a model file and gives the outputs of the layers inside it, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.export.litert import load_interpreter_class

Values = Mapping[str, npt.NDArray[np.float32]]
"""Name of a tensor -> its values, NCHW."""


def onnx_values(data: bytes, names: Sequence[str], image: npt.NDArray[np.float32]) -> Values:
    """Run an ONNX model on one image.

    Args:
        data: The whole file.
        names: Tensors that are asked for; those that the file does not compute are left out of the result.
        image: ``(1, C, H, W)``.
    """
    import onnx
    import onnxruntime

    model = onnx.load_from_string(data)
    outputs = {value.name for value in model.graph.output}
    computed = {name for node in model.graph.node for name in node.output}
    asked = [name for name in names if name in computed]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(asked, {session.get_inputs()[0].name: image}) if asked else []
    return dict(zip(asked, found, strict=True))


def tflite_values(data: bytes, names: Sequence[str], image: npt.NDArray[np.float32]) -> Values:
    """Run a TFLite model on one image, as XNNPACK runs it; arguments as for `onnx_values`."""
    interpreter = load_interpreter_class()[0](model_content=_with_outputs(data, names), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    )
    interpreter.invoke()
    found = {one["name"]: interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()}
    return {
        name: value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
        for name, value in found.items()
        if name in names
    }


def _with_outputs(data: bytes, names: Sequence[str]) -> bytes:
    """Return a TFLite model that also gives the named tensors, as far as it computes them."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from mnas.export.tflite_graph import FILE_IDENTIFIER, AlignedBuffer

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    own = [int(place) for place in graph.outputs]
    computed: list[int] = [int(place) for one in graph.operators for place in one.outputs]
    asked = [place for place in computed if _name(graph, place) in names and place not in own]
    graph.outputs = own + asked
    model.buffers = [AlignedBuffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _name(graph: Any, place: int) -> str:
    return str(graph.tensors[place].name.decode("utf-8", "replace"))
