"""Looks for what should not be in a model file: operators that no layer implies, open sizes, odd element types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mnas.export.checks import flat_outputs
from mnas.export.file_facts import FileFacts
from mnas.layers import LayerSpec

_ONNX_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "conv": ("Conv",),
    "linear": ("Flatten", "Gemm"),
    "pool": ("GlobalAveragePool",),
    "maxpool": ("MaxPool",),
    "avgpool": ("AveragePool",),
    "add": ("Add",),
    "scale": ("Mul",),
    "concat": ("Concat",),
    "slice": ("Slice",),
    "shuffle": ("Reshape", "Transpose", "Reshape"),
    "flatten": ("Flatten",),
}
_TFLITE_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "conv": ("PAD", "CONV_2D"),
    "linear": ("FULLY_CONNECTED",),
    "pool": ("MEAN",),
    "maxpool": ("PAD", "PADV2", "SLICE", "MAX_POOL_2D"),
    "avgpool": ("PAD", "AVERAGE_POOL_2D"),
    "add": ("ADD",),
    "scale": ("MUL",),
    "concat": ("CONCATENATION",),
    "slice": ("SLICE",),
    "shuffle": ("RESHAPE", "TRANSPOSE", "RESHAPE"),
    "flatten": ("RESHAPE",),
}
_OPERATORS = {"onnx": _ONNX_OPERATORS, "tflite": _TFLITE_OPERATORS}
_ACTIVATIONS: Mapping[str, dict[str, tuple[str, ...]]] = {
    "onnx": {
        "none": (),
        "relu": ("Relu",),
        "relu6": ("Clip",),
        "hswish": ("HardSwish",),
        "hsigmoid": ("HardSigmoid",),
        "sigmoid": ("Sigmoid",),
        "swish": ("Sigmoid", "Mul"),
    },
    "tflite": {
        "none": (),
        "relu": ("RELU",),
        "relu6": ("RELU6",),
        "hswish": ("HARD_SWISH",),
        "hsigmoid": ("ADD", "MUL"),
        "sigmoid": ("LOGISTIC",),
        "swish": ("LOGISTIC", "MUL"),
    },
}
_INDEX_DTYPE = {"onnx": "int64", "tflite": "int32"}
_TRANSPOSES = ("Transpose", "TRANSPOSE")


@dataclass(frozen=True, slots=True)
class LintRules:
    """What a file may hold beside what its layers imply.

    Attributes:
        operators: They may stand anywhere, e.g. ``QUANTIZE`` in a file of 8-bit integers.
        dtypes: Element types of tensors; the format's own type of shapes and axes is allowed where values are stored.
        activations: Activation -> operators that it may become, where these are others than in a file of float32.
    """

    operators: frozenset[str] = frozenset()
    dtypes: frozenset[str] = frozenset({"float32"})
    activations: dict[str, tuple[str, ...]] = field(default_factory=dict)


FLOAT32_RULES = LintRules()


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found in a file.

    Attributes:
        operators: Name -> how often.
        transposes: How often an axis order is changed.
        implied_transposes: How often the layers' shuffles imply that.
        findings: What should not be so; each names a layer, an operator or a tensor.
    """

    operators: dict[str, int]
    transposes: int
    implied_transposes: int
    findings: tuple[str, ...]


def lint(
    facts: FileFacts, layers: tuple[LayerSpec, ...], model_format: str, rules: LintRules = FLOAT32_RULES
) -> LintReport:
    """Compare a file with the layers that it was written from.

    Args:
        facts: Of the file.
        layers: As `mnas.layers` gives them; a tensor of the file belongs to the layer that it is named after.
        model_format: ``onnx`` or ``tflite``.
        rules: What else is allowed.
    """
    counts = Counter(operator.name for operator in facts.operators)
    return LintReport(
        operators=dict(sorted(counts.items())),
        transposes=sum(counts[name] for name in _TRANSPOSES),
        implied_transposes=sum(layer.op == "shuffle" for layer in layers),
        findings=(
            *_operator_findings(facts, layers, model_format, rules),
            *_interface_findings(facts),
            *_shape_findings(facts, layers, model_format),
            *_tensor_findings(facts, model_format, rules),
        ),
    )


def implied_operators(layer: LayerSpec, model_format: str, rules: LintRules = FLOAT32_RULES) -> tuple[str, ...]:
    """Return the operators that a layer may become, the one that it must become being the last of its own.

    Its activation's come behind these.
    """
    own = _OPERATORS[model_format][layer.op]
    if model_format == "tflite" and layer.op == "conv" and 1 < layer.groups == layer.in_shapes_chw[0][0]:
        own = ("PAD", "DEPTHWISE_CONV_2D")
    return own + _activation_operators(layer, model_format, rules)


def _activation_operators(layer: LayerSpec, model_format: str, rules: LintRules) -> tuple[str, ...]:
    return (_ACTIVATIONS[model_format] | rules.activations)[layer.activation]


def _operator_findings(
    facts: FileFacts, layers: tuple[LayerSpec, ...], model_format: str, rules: LintRules
) -> Iterator[str]:
    names = {layer.name: layer.name for layer in layers} | dict.fromkeys(facts.outputs[:1], layers[-1].name)
    left = {layer.name: Counter(implied_operators(layer, model_format, rules)) for layer in layers}
    before = "the network's input"
    for operator in facts.operators:
        name = names.get(operator.output.partition("/")[0])
        if operator.name in rules.operators:
            continue
        if name is None:
            yield f"operator {operator.name} behind {before} is of no layer (it gives {operator.output!r})"
        elif not left[name][operator.name]:
            yield f"operator {operator.name} of layer {name} is not what the layer implies"
        else:
            left[name][operator.name] -= 1
        before = f"layer {name}" if name else before
    for layer in layers:
        must = _must(layer, model_format, rules)
        if left[layer.name][must] == Counter(implied_operators(layer, model_format, rules))[must]:
            yield f"layer {layer.name} has no {must}"


def _must(layer: LayerSpec, model_format: str, rules: LintRules) -> str:
    own = implied_operators(layer, model_format, rules)
    return own[len(own) - len(_activation_operators(layer, model_format, rules)) - 1]


def _interface_findings(facts: FileFacts) -> Iterator[str]:
    for what, names in (("input", facts.inputs), ("output", facts.outputs)):
        if names != (what,):
            yield f"the network's {what}s are {list(names)}, not one named {what!r}"


def _shape_findings(facts: FileFacts, layers: tuple[LayerSpec, ...], model_format: str) -> Iterator[str]:
    shapes = {tensor.name: tensor.shape for tensor in facts.tensors}
    flat = flat_outputs(layers)
    for layer in layers:
        channels, height, width = layer.out_shape_chw
        image = (height, width, channels) if model_format == "tflite" else (channels, height, width)
        expected = (1, channels) if flat[layer.index] else (1, *image)
        seen = shapes.get(facts.outputs[0] if layer is layers[-1] and facts.outputs else layer.name, expected)
        if seen != expected and None not in seen:
            yield f"layer {layer.name} gives {seen}, not {expected}"


def _tensor_findings(facts: FileFacts, model_format: str, rules: LintRules) -> Iterator[str]:
    for tensor in facts.tensors:
        is_index = tensor.is_stored and tensor.dtype == _INDEX_DTYPE[model_format]
        if tensor.dtype not in rules.dtypes and not is_index:
            yield f"tensor {tensor.name!r} is of {tensor.dtype}"
        if None in tensor.shape:
            yield f"tensor {tensor.name!r} has an open size: {list(tensor.shape)}"
