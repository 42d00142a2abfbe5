"""What a person may name as a model, and the way from there to a file that a device runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devices.models.description import ModelDescription
from devices.models.shapes import Shapes
from mnas.architecture import Architecture
from mnas.errors import ModelError
from mnas.export.artifact import SUFFIXES, ModelArtifact
from mnas.jsonio import sha256_bytes, sha256_json, write_bytes_atomic
from mnas.named_networks import NAMED_NETWORKS
from mnas.reading import SUFFIXES as ARCHITECTURE_SUFFIXES
from mnas.reading import is_architecture_file, is_there, read_writable

Kind = Literal["file", "architecture", "network", "factory"]

DEVICES_OF: Mapping[str, str] = {"onnx": "host:ort", "tflite": "host:litert", "pt2": "host:torch"}
"""Format -> the device on this machine that reads it."""

_FORMATS = {suffix: model_format for model_format, suffix in SUFFIXES.items()}
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NETWORK = re.compile(r"(?P<name>[^@]+)(@(?P<px>[0-9]{1,4}))?")
_DEFAULT_PX = 224
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model in the format of a device.

    Attributes:
        label: What it is called; not unique (see `unique_labels`).
        source: What the person wrote.
        artifact: The file.
        description: What the file says of itself, with the sizes that it will be fed.
    """

    label: str
    source: str
    artifact: ModelArtifact
    description: ModelDescription


@dataclass(frozen=True, slots=True)
class _Source:
    kind: Kind
    text: str
    formats: tuple[str, ...]

    @property
    def label(self) -> str:
        return Path(self.text).name if self.kind in ("file", "architecture") else self.text


def natural_formats(text: str) -> tuple[str, ...]:
    """Return the formats that a model can be given in, the most natural first, without loading it.

    Args:
        text: A path (``.onnx``, ``.tflite``, ``.pt2``, or ``.json``, ``.arch``, ``.txt`` of an architecture),
            ``mobilenetv3-large``, ``mobilenetv3-large@160`` or ``pkg.mod:factory``.

    Raises:
        ModelError: ``MOD01``: it is none of these. ``MOD02``: a folder. ``MOD05``: a file of another kind.
    """
    return _find(text).formats


def open_model(text: str, model_format: str, folder: Path, shapes: Shapes | None = None) -> OpenedModel:
    """Bring what a person named into a file that a device runs, and describe it.

    A model file stays where it is. Networks and modules are written into ``folder``.

    Args:
        text: As for `natural_formats`. A file goes before a name.
        model_format: Format of the device: ``onnx``, ``tflite`` or ``pt2``.
        folder: Made when it is needed.
        shapes: As `devices.models.shapes.parse_shapes` gives them.

    Raises:
        ModelError: ``MOD01`` nothing of that name; ``MOD02``, ``MOD03``, ``MOD04`` the file; ``MOD05`` its format is
            not the device's; ``MOD06``, ``MOD07`` shapes; ``MOD08``, ``MOD09``, ``MOD11`` a torch module.
        ArchitectureError: As `mnas.reading.read_writable`: a network that is none, or that no file could hold.
        OSError: The folder cannot be written.
    """
    source = _find(text)
    if model_format not in source.formats:
        raise _wrong_format(source, model_format)
    given = shapes or {}
    if source.kind == "file":
        path = Path(text).absolute()
        return _opened(source, path, model_format, given)
    if source.kind == "factory":
        return _open_factory(source, model_format, folder, given)
    from mnas.export.network import write_network

    artifact = write_network(_architecture(source), folder, model_format)
    description = _describe(artifact.path, model_format, given)
    return OpenedModel(source.label, text, artifact, description)


def unique_labels(texts: Sequence[str]) -> tuple[str | ModelError, ...]:
    """Return a label for each model, no two the same.

    Files of one name get as many folders before it as tell them apart.

    Args:
        texts: What the person wrote, in order.

    Returns:
        In the same order: a label, or ``MOD10`` in the place of a model that was named before.
    """
    seen: set[str] = set()
    labels: list[str | ModelError] = []
    paths = {text: Path(text).resolve() for text in texts if is_there(Path(text))}
    distinct = {path.parts for path in paths.values()}
    for text in texts:
        key = str(paths[text]) if text in paths else text
        if key in seen:
            labels.append(_twice(text))
        else:
            labels.append(_short_name(paths[text].parts, distinct) if text in paths else text)
        seen.add(key)
    return tuple(labels)


def _find(text: str) -> _Source:
    path = Path(text)
    is_present, suffix = is_there(path), path.suffix.lower()
    if not is_present:
        network = _NETWORK.fullmatch(text)
        if network and network["name"] in NAMED_NETWORKS:
            return _Source("network", text, tuple(SUFFIXES))
        if _FACTORY.fullmatch(text):
            return _Source("factory", text, ("pt2", "onnx"))
    if is_present and path.is_dir():
        raise ModelError(
            "MOD02", "the model file cannot be read", value=text, why="it is a folder", fix="name a file in it"
        )
    if is_architecture_file(path):
        return _Source("architecture", text, tuple(SUFFIXES))
    if suffix in _FORMATS:
        return _Source("file", text, (_FORMATS[suffix],))
    if is_present:
        raise ModelError(
            "MOD05",
            "the kind of the file is not known by its name",
            value=text,
            why=f"model files end in {', '.join((*_FORMATS, *ARCHITECTURE_SUFFIXES))}",
            fix="convert it, or give it the ending that it should have",
        )
    raise ModelError(
        "MOD01",
        "there is no such model",
        value=text,
        why=f"it is no file, no network ({', '.join(NAMED_NETWORKS)}, with @PIXELS), no pkg.mod:factory",
        fix="check the name",
    )


def _architecture(source: _Source) -> Architecture:
    match = _NETWORK.fullmatch(source.text)
    if source.kind == "network" and match:
        return read_writable(match["name"], int(match["px"] or _DEFAULT_PX))
    return read_writable(Path(source.text))


def _open_factory(source: _Source, model_format: str, folder: Path, shapes: Shapes) -> OpenedModel:
    from devices.models import factory

    made = factory.make_module(source.text, shapes)
    data = (factory.onnx_bytes if model_format == "onnx" else factory.pt2_bytes)(source.text, made)
    sizes = [list(one.shape) for one in made.inputs]
    name = f"{source.text.replace(':', '-')}-{sha256_json(sizes)[:8]}-{sha256_bytes(data)[:8]}{SUFFIXES[model_format]}"
    write_bytes_atomic(folder / name, data)
    # The program's own names of its inputs may differ from those of the module; its shapes are fixed now.
    return _opened(source, folder / name, model_format, {})


def _opened(source: _Source, path: Path, model_format: str, shapes: Shapes) -> OpenedModel:
    description = _describe(path, model_format, shapes)
    sizes = tuple((one.name, tuple(size for size in one.shape if size is not None)) for one in description.inputs)
    artifact = ModelArtifact(
        path=path,
        format=model_format,
        dtype=description.inputs[0].dtype if description.inputs else "",
        input_shape=sizes[0][1] if sizes else (),
        sha256=_sha256_of(path),
        size_bytes=path.stat().st_size,
        arch_id="",
        writer_version="",
        input_shapes=sizes,
    )
    return OpenedModel(source.label, source.text, artifact, description)


def _describe(path: Path, model_format: str, shapes: Shapes) -> ModelDescription:
    if model_format == "onnx":
        from devices.models.onnx_file import describe_onnx

        return describe_onnx(path, shapes)
    if model_format == "tflite":
        from devices.models.tflite_file import describe_tflite

        return describe_tflite(path, shapes)
    from devices.models.pt2_file import describe_pt2

    return describe_pt2(path, shapes)


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _wrong_format(source: _Source, model_format: str) -> ModelError:
    where = " or ".join(DEVICES_OF[one] for one in source.formats)
    return ModelError(
        "MOD05",
        f"the device reads {model_format}, and this model cannot be given so",
        value=source.text,
        why=f"it can be given as {' or '.join(source.formats)}",
        fix=f"use --device {where}",
    )


def _twice(text: str) -> ModelError:
    return ModelError(
        "MOD10", "the same model is named twice", value=text, why="it would be measured once", fix="leave one out"
    )


def _short_name(parts: tuple[str, ...], others: set[tuple[str, ...]]) -> str:
    for count in range(1, len(parts)):
        if not any(other != parts and other[-count:] == parts[-count:] for other in others):
            return "/".join(parts[-count:])
    return "/".join(parts)
