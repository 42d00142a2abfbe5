"""The export folder of a network: everything that a person needs in order to ship it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from mnas.architecture import Architecture
from mnas.export.artifact import ModelArtifact, save_artifact
from mnas.export.gate import GateReport
from mnas.export.gated import gated_models
from mnas.export.metadata import ID_LENGTH
from mnas.export.parity import Image, ParityReport
from mnas.export.weights_file import save_weights
from mnas.jsonio import remove_unfinished, write_json_atomic, write_text_atomic
from mnas.modules import LayerModule
from mnas.report.markdown import inline

_FILES = ("architecture.json", "weights.pt", "model.onnx", "model.tflite", "card.json", "card.md")

_CARD = """# Network {{ card.arch_id[:12] }}

{{ card.summary }}

| | |
|---|---|
| input | {{ card.preprocessing.px }} x {{ card.preprocessing.px }} px, {{ card.preprocessing.channels }} channel(s), \
{{ card.preprocessing.layout.onnx }} (ONNX), {{ card.preprocessing.layout.tflite }} (TFLite) |
| preprocessing | resize {{ card.preprocessing.resize }}, pixels / 255, minus {{ card.preprocessing.mean }}, \
over {{ card.preprocessing.std }} |
| classes | {{ card.class_labels | join(", ") }} |
| MACs, parameters | {{ "{:,}".format(card.macs) }}, {{ "{:,}".format(card.params) }} |
| dtype | {{ card.dtype }} |
{% if card.latency -%}
| latency measured | {{ "%.4f" | format(card.latency.measured_ms) if card.latency.measured_ms is not none else "none" \
}} ms on {{ card.latency.device }} |
| latency predicted | {{ "%.4f" | format(card.latency.predicted_ms) }} ms\
{% if card.latency.foreign_lut %} by the FOREIGN table {{ card.latency.foreign_lut.lut_id }}, of \
{{ card.latency.foreign_lut.device }}{% endif %}\
{% for mark in card.latency.lut_marks %}, {{ mark }}{% endfor %} |
{% endif -%}
{% for accuracy in card.accuracy -%}
| top-1 on {{ accuracy.split }} | {{ "%.2f" | format(100 * accuracy.top1) }} %, {{ accuracy.images }} images, \
{{ accuracy.note }} |
{% endfor %}"""


@dataclass(frozen=True, slots=True)
class ExportedModels:
    """Model files of an export folder with what the gate found.

    Attributes:
        onnx: The ONNX file.
        tflite: The TFLite file.
        parity: Format -> report against the torch module.
        gate: Format -> all that the gate found.
    """

    onnx: ModelArtifact
    tflite: ModelArtifact
    parity: dict[str, ParityReport]
    gate: dict[str, GateReport]

    def of_format(self, model_format: str) -> ModelArtifact:
        """Return the file of a format."""
        return {"onnx": self.onnx, "tflite": self.tflite}[model_format]


def export_folder(exports: Path, arch_id: str) -> Path:
    """Return the folder of a network below ``exports``."""
    return exports / arch_id[:ID_LENGTH]


def _make_way(folder: Path, study: str) -> None:
    """Keep what another study exported of the same network under a name of its own; a card of ours goes first.

    Without its card a folder is unfinished: no card ever lies beside weights that are not its own.
    """
    card = folder / "card.json"
    try:
        owner = str(json.loads(card.read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError, TypeError):
        owner = study
    if owner != study:
        folder.rename(folder.with_name(f"{folder.name}-{owner}"))
        return
    card.unlink(missing_ok=True)
    (folder / "card.md").unlink(missing_ok=True)


def write_models(
    exports: Path,
    architecture: Architecture,
    module: LayerModule,
    images: Image,
    study: str,
    preprocessing: Mapping[str, Any] | None = None,
) -> ExportedModels:
    """Write architecture, weights, ONNX and TFLite; if a model fails the export gate, nothing is written.

    Args:
        exports: Folder of all exports.
        architecture: The network.
        module: With trained weights.
        images: Preprocessed images of the network's own data for the gate, ``(n, C, H, W)``, at least 2.
        study: Whose export it is; a folder that another study finished is kept as ``<folder>-<study>``.
        preprocessing: As in ``card.json``; it goes into the model files, too.

    Raises:
        ExportError: ``EXP01``: a model does not compute what the module computes. ``EXP03`` to ``EXP06``: see
            `mnas.export.gate`.
    """
    folder = export_folder(exports, architecture.arch_id)
    for name in _FILES:
        remove_unfinished(folder / name)
    places = {model_format: f"{folder.name}/model.{model_format}" for model_format in ("onnx", "tflite")}
    models = gated_models(architecture, module, images, places, preprocessing=preprocessing)
    _make_way(folder, study)
    write_json_atomic(folder / "architecture.json", architecture.to_json())
    save_weights(module, folder / "weights.pt")
    files = {
        model_format: save_artifact(
            model.data,
            folder / f"model.{model_format}",
            model_format=model_format,
            input_shape_chw=architecture.input_shape_chw,
            arch_id=architecture.arch_id,
        )
        for model_format, model in models.items()
    }
    gate = {model_format: model.report for model_format, model in models.items()}
    parity = {model_format: report.parity for model_format, report in gate.items() if report.parity is not None}
    return ExportedModels(files["onnx"], files["tflite"], parity, gate)


def parity_to_json(report: ParityReport) -> dict[str, float]:
    """Return a report's fields as JSON."""
    return asdict(report)


def write_card(exports: Path, card: dict[str, Any]) -> None:
    """Write ``card.json`` and, from it, ``card.md``; the keys are described in docs/contracts.md."""
    folder = export_folder(exports, card["arch_id"])
    write_json_atomic(folder / "card.json", card)
    # No HTML is written, so that nothing is escaped for that; whatever is put in goes through `inline` instead.
    template = Environment(autoescape=False, finalize=inline).from_string(_CARD)
    write_text_atomic(folder / "card.md", template.render(card=card) + "\n")
