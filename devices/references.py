"""The reference networks, against which everything is measured, and their stored nominals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mnas.architecture import Architecture
from mnas.errors import ConfigError, StateError
from mnas.export.artifact import SUFFIXES, ModelArtifact, save_artifact
from mnas.layers import layers_of
from mnas.named_networks import named_network
from mnas.seeding import named_rng
from mnas.store import Component, Store
from mnas.weights import random_weights

REFERENCE_NETWORKS = {
    "mobilenetv3-small-96": ("mobilenetv3-small", 96),
    "mobilenetv2-64": ("mobilenetv2", 64),
    "mobilenetv3-large-64": ("mobilenetv3-large", 64),
}
"""Name -> network and pixels. Three, since a slow state of a machine hits operators unequally; small, to be cheap."""

_WEIGHT_SEED = 0

DEVICES = Component(
    "devices",
    (
        """
        CREATE TABLE reference_nominals (
            device_key TEXT NOT NULL,
            name TEXT NOT NULL,
            artifact_sha256 TEXT NOT NULL,
            nominal_ms REAL NOT NULL,
            measured_at_utc TEXT NOT NULL,
            PRIMARY KEY (device_key, name)
        )
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class Nominal:
    """What a reference network took when its device was calibrated.

    Attributes:
        name: Of the reference network.
        artifact_sha256: Of its file then.
        nominal_ms: Low quantile of its runs.
        measured_at_utc: ISO 8601.
    """

    name: str
    artifact_sha256: str
    nominal_ms: float
    measured_at_utc: str


def write_references(folder: Path, model_format: str) -> dict[str, ModelArtifact]:
    """Write the reference networks in a format; the same bytes on every call.

    Returns:
        Name -> artefact.

    Raises:
        ConfigError: ``CFG13``: no writer for the format.
        OSError: The folder cannot be written.
    """
    if model_format not in SUFFIXES:
        raise ConfigError(
            "CFG13",
            "reference networks cannot be written in this format",
            value=model_format,
            why=f"there are writers for {', '.join(SUFFIXES)}",
            fix="use a device that runs one of them",
        )
    references = {}
    for name, (network, px) in REFERENCE_NETWORKS.items():
        architecture = named_network(network, px)
        references[name] = save_artifact(
            _model_bytes(name, architecture, model_format),
            folder / f"reference-{name}{SUFFIXES[model_format]}",
            model_format=model_format,
            input_shape_chw=architecture.input_shape_chw,
            arch_id=architecture.arch_id,
        )
    return references


def _model_bytes(name: str, architecture: Architecture, model_format: str) -> bytes:
    # Writers are imported here: reading nominals needs neither of their packages.
    layers = layers_of(architecture)
    weights = random_weights(layers, named_rng(_WEIGHT_SEED, "reference", name))
    if model_format == "onnx":
        from mnas.export.onnx import write_onnx

        return write_onnx(layers, weights, name=name)
    from mnas.export.tflite import write_tflite

    return write_tflite(layers, weights, name=name)


def load_nominals(store: Store, device_key: str) -> dict[str, Nominal]:
    """Return the stored nominals of a device by name; empty when it was never calibrated.

    Args:
        store: Opened with the component `DEVICES`.
        device_key: Of the device.
    """
    rows = store.query(
        "SELECT name, artifact_sha256, nominal_ms, measured_at_utc FROM reference_nominals WHERE device_key = ?",
        (device_key,),
    )
    return {row["name"]: Nominal(**dict(row)) for row in rows}


def save_nominals(store: Store, device_key: str, nominals: Iterable[Nominal], *, replace: bool = False) -> None:
    """Store nominals, all of them or none.

    Args:
        store: Opened with the component `DEVICES`.
        device_key: Of the device.
        nominals: What was measured.
        replace: Put them in the place of all that the device has.

    Raises:
        StateError: ``REF01``: the device has nominals and ``replace`` was not asked for.
    """
    with store.transaction() as sql:
        stored = sql.execute(
            "SELECT measured_at_utc FROM reference_nominals WHERE device_key = ? ORDER BY name", (device_key,)
        ).fetchone()
        if stored and not replace:
            raise StateError(
                "REF01",
                "the device has been calibrated already",
                value=f"{device_key[:12]}, at {stored[0]}",
                why="each latency measured since is a ratio to those nominals",
                fix="calibrate with replacement if that is meant",
            )
        sql.execute("DELETE FROM reference_nominals WHERE device_key = ?", (device_key,))
        sql.executemany(
            "INSERT INTO reference_nominals VALUES (?, ?, ?, ?, ?)",
            [(device_key, n.name, n.artifact_sha256, n.nominal_ms, n.measured_at_utc) for n in nominals],
        )


def check_nominals(nominals: Mapping[str, Nominal], references: Mapping[str, ModelArtifact]) -> dict[str, float]:
    """Return name -> nominal in milliseconds, when the nominals are those of exactly these reference files.

    Raises:
        StateError: ``REF02``: names or files differ, e.g. since a newer writer wrote them.
    """
    stored = {name: nominal.artifact_sha256 for name, nominal in nominals.items()}
    present = {name: artifact.sha256 for name, artifact in references.items()}
    if stored != present:
        raise StateError(
            "REF02",
            "the stored nominals are of other reference files",
            value=sorted(name for name in stored.keys() | present.keys() if stored.get(name) != present.get(name)),
            why="a nominal says what one certain file took; the writer or the set of references has changed since",
            fix="calibrate the device anew with replacement; tables measured before do not mix with what follows",
        )
    return {name: nominal.nominal_ms for name, nominal in nominals.items()}
