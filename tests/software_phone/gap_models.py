"""TFLite models of which XNNPACK takes only parts."""

from __future__ import annotations

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


def with_gaps(data: bytes) -> bytes:
    """Return a model in which two activations are of an operator that XNNPACK does not take."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ZEROS_LIKE
    code.version = 1
    kinds = [known.builtinCode for known in model.operatorCodes]
    model.operatorCodes.append(code)
    activations = [
        operator
        for operator in model.subgraphs[0].operators
        if kinds[operator.opcodeIndex] == schema.BuiltinOperator.HARD_SWISH
    ]
    for operator in activations[2:4]:
        operator.opcodeIndex, operator.builtinOptions, operator.builtinOptionsType = len(kinds), None, 0
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
