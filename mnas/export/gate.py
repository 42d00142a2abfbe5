"""The export gate: what a model file must pass before it is put in its place.

`check_file` looks at the file alone: its operators, XNNPACK's partitions, its size. `check_model` also runs it against
the torch module, as a whole and layer by layer, and names the first layer that differs. `require` raises where either
found a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mnas.errors import ExportError
from mnas.export.divergence import Divergence, first_divergence
from mnas.export.file_facts import damaged, read_facts
from mnas.export.file_size import SizeReport, check_size
from mnas.export.lint import FLOAT32_RULES, LintReport, LintRules, lint
from mnas.export.parity import (
    MAX_RELATIVE_DIFFERENCE,
    MIN_MOVES,
    Image,
    ParityReport,
    Run,
    check_parity_on,
    run_onnx,
    run_tflite,
    run_torch,
)
from mnas.export.partitions import Partitions, partitions_of
from mnas.jsonio import without_nan
from mnas.layers import LayerSpec
from mnas.modules import LayerModule

MAX_LAYER_DIFFERENCE = 1e-3
"""Of a layer by itself, as a share of its output's range, where the network's outputs agree: a folded batch norm rounds
otherwise than one that is not, but a wrong weight shows even if the outputs on these images hide it."""

LEFT_TO_TFLITE = frozenset({"PADV2"})
"""Operators of ours that XNNPACK does not take: a warning; any other that falls out is refused."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file is refused.

    Attributes:
        code: ``EXP01`` (it computes something else), ``EXP03`` (operators, types, shapes), ``EXP04`` (partitions),
            ``EXP05`` (size).
        what: In words.
        where: The layer, operator or tensor; "" for the whole file.
    """

    code: str
    what: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What the file alone shows.

    Attributes:
        lint: Operators, types and shapes.
        partitions: XNNPACK's; ``None`` for ONNX, or where the runtime has none.
        size: Against what the layers come to.
        faults: Why it is refused.
        warnings: What is allowed, but worth knowing.
    """

    lint: LintReport
    partitions: Partitions | None
    size: SizeReport
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate found.

    Attributes:
        model_format: ``onnx`` or ``tflite``.
        file: What the file alone shows.
        parity: Against the torch module; ``None`` where the outputs differ in shape.
        divergence: The first layer that differs by itself; ``None`` where none does.
        faults: Why it is refused, those of the file included.
    """

    model_format: str
    file: FileReport
    parity: ParityReport | None
    divergence: Divergence | None
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        """Whether the file may be used."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON; a number that is not finite is null."""
        document: dict[str, Any] = without_nan(asdict(self))
        return {**document, "ok": self.ok}


def check_file(
    data: bytes,
    layers: tuple[LayerSpec, ...],
    model_format: str,
    metadata: Mapping[str, str],
    *,
    rules: LintRules = FLOAT32_RULES,
    weight_bytes: int = 4,
    overhead_bytes: int = 0,
) -> FileReport:
    """Check what the file alone shows.

    Args:
        data: The whole file.
        layers: What it was written from.
        model_format: ``onnx`` or ``tflite``.
        metadata: The texts that were stored in it.
        rules: What it may hold beside what the layers imply.
        weight_bytes: Of each weight.
        overhead_bytes: What it may hold beside weights, biases and names.

    Raises:
        ExportError: ``EXP06``: it is damaged.
        DeviceError: ``DEV01``: no TFLite runtime is installed.
    """
    found = lint(read_facts(data, model_format), layers, model_format, rules)
    partitions = partitions_of(data) if model_format == "tflite" else None
    size = check_size(len(data), layers, metadata, weight_bytes=weight_bytes, overhead_bytes=overhead_bytes)
    faults = [Fault("EXP03", finding) for finding in found.findings]
    if found.transposes > found.implied_transposes:
        what = f"{found.transposes} Transpose operators, where the shuffles imply {found.implied_transposes}"
        faults.append(Fault("EXP03", what))
    left, warnings = _judge_partitions(partitions, rules)
    if not size.ok:
        what = f"{size.size_bytes} bytes, where its layers need {size.least_bytes} to {size.most_bytes}"
        left = (*left, Fault("EXP05", what))
    return FileReport(found, partitions, size, (*faults, *left), warnings)


def _judge_partitions(partitions: Partitions | None, rules: LintRules) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
    if partitions is None or (partitions.count == 1 and not partitions.outside):
        return (), ()
    told = f"XNNPACK takes it in {partitions.count} pieces"
    foreign = [one for one in partitions.outside if one.partition(" ")[0] not in LEFT_TO_TFLITE | rules.operators]
    if foreign or not partitions.outside:
        named = ", ".join(foreign) or "no operator"
        return (Fault("EXP04", f"{told}; it leaves out {named}", named),), ()
    return (), (f"{told}; it leaves out {', '.join(partitions.outside)}",)


def check_model(
    data: bytes,
    module: LayerModule,
    model_format: str,
    images: Image,
    metadata: Mapping[str, str],
    *,
    min_moves: float = MIN_MOVES,
) -> GateReport:
    """Check a float32 file against the torch module that it was written from.

    Args:
        data: The whole file.
        module: It is put into evaluation mode.
        model_format: ``onnx`` or ``tflite``.
        images: Preprocessed images, ``(n, C, H, W)``, at least 2, for which the outputs differ.
        metadata: The texts that were stored in the file.
        min_moves: How far the reference's outputs must differ, as a share of their range.

    Raises:
        ExportError: ``EXP02``: fewer than two images. ``EXP06``: the file is damaged.
        DeviceError: ``DEV01``: no TFLite runtime is installed.
    """
    file = check_file(data, module.layers, model_format, metadata)
    parity, image = _compare(run_torch(module), _run_of(data, model_format), images)
    differs = parity is None or not parity.relative_difference <= MAX_RELATIVE_DIFFERENCE
    limit = MAX_RELATIVE_DIFFERENCE if differs else MAX_LAYER_DIFFERENCE
    found = first_divergence(module, data, model_format, image, limit)
    faults = list(file.faults)
    if differs or found is not None:
        faults.append(_divergence_fault(parity, found))
    elif parity is not None and not parity.moves >= min_moves:
        what = f"the network's output hardly depends on its input: it moves by {parity.moves:.2g} of its range"
        faults.append(Fault("EXP01", f"{what}, less than {min_moves:g}, so that nothing can be compared"))
    return GateReport(model_format, file, parity, found, tuple(faults))


def _compare(reference: Run, candidate: Run, images: Image) -> tuple[ParityReport | None, Image]:
    """Return the parity, ``None`` where the outputs differ in shape, and the image for which they differ most."""
    try:
        parity = check_parity_on(reference, candidate, images)
    except ExportError as error:
        if error.code != "EXP01":
            raise
        return None, images[:1]
    differences = [np.abs(reference(one) - candidate(one)).max(initial=0.0) for one in images[:, None].copy()]
    worst = int(np.argmax(np.nan_to_num(differences, nan=np.inf)))
    return parity, images[worst : worst + 1]


def _divergence_fault(parity: ParityReport | None, found: Divergence | None) -> Fault:
    if parity is None:
        what = "the output has another shape than the network's"
    else:
        what = f"the outputs differ by {parity.relative_difference:.2g} of their range"
        what += f", where {MAX_RELATIVE_DIFFERENCE:g} is allowed"
    if found is None:
        return Fault("EXP01", f"{what}; no layer by itself is beyond that")
    return Fault("EXP01", f"{what}; the first layer that differs is {found.layer}: {found.why}", found.layer)


def _run_of(data: bytes, model_format: str) -> Run:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, RuntimeError, ValueError)
    try:
        return run_tflite(data) if model_format == "tflite" else run_onnx(data)
    except refusals as error:
        raise damaged(model_format, str(error)) from error


def require(report: GateReport | FileReport, what: str) -> None:
    """Refuse a file with a fault.

    Args:
        report: Of `check_model` or `check_file`.
        what: The file as a person knows it, e.g. its path.

    Raises:
        ExportError: ``EXP01``, ``EXP03``, ``EXP04`` or ``EXP05``: the first fault; the message tells of all.
    """
    if report.faults:
        told = "; ".join(fault.what for fault in report.faults[:5])
        more = len(report.faults) - 5
        raise ExportError(
            report.faults[0].code,
            f"{what} is refused by the export gate",
            value=next((fault.where for fault in report.faults if fault.where), None),
            why=told + (f"; and {more} more" if more > 0 else ""),
            fix="set the batch norm statistics or train the network first; if that is done, report the architecture",
        )
