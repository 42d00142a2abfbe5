"""The reference networks, against which everything is measured, and their stored nominals.

A reference should move as the models move that are measured against it. Short models find their weights in the
cache, long ones stream weights and activations through it, and a slow state of the machine hits the two unequally. So
there are two groups: *cached*, chains of blocks (35 MMACs, under 200 KB), and *streaming*, the bodies of three
MobileNets (megabytes of weights and of activations); `devices.estimate` compares a model with those that take about as
long as it does. What long models do together, a whole network follows best: 21 networks of 2.5 to 10 ms over six
sessions had 1.1 percent of wandering in common beside chains of blocks that stream, 0.35 beside these, which cost no
more. That holds in huge pages, where a network keeps its level; without them, whole networks at few pixels wandered by
4 to 8 percent (``benchmarks/references.py`` has figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mnas.architecture import Block
from mnas.errors import ConfigError, StateError
from mnas.export.artifact import SUFFIXES, ModelArtifact, save_artifact
from mnas.layers import Shape, layers_of_blocks
from mnas.named_networks import named_network
from mnas.seeding import named_rng
from mnas.store import Component, Store
from mnas.weights import random_weights

Group = Literal["cached", "streaming"]


@dataclass(frozen=True, slots=True)
class ReferenceNetwork:
    """A chain of blocks.

    Attributes:
        blocks: The blocks.
        input_shape_chw: What they are fed.
        group: What it stands for.
    """

    blocks: tuple[Block, ...]
    input_shape_chw: Shape
    group: Group = "cached"


def _conv(out_channels: int, stride: int = 1) -> Block:
    return Block(op="conv", kernel_size=3, stride=stride, out_channels=out_channels, activation="relu")


def _mbconv(
    kernel_size: int, mid_channels: int, out_channels: int, activation: str = "relu", stride: int = 1, skip: bool = True
) -> Block:
    return Block(
        op="mbconv",
        kernel_size=kernel_size,
        stride=stride,
        mid_channels=mid_channels,
        out_channels=out_channels,
        activation=activation,
        skip=skip,
    )


_CLASSES = 10


def _body(name: str, px: int) -> ReferenceNetwork:
    """Return a named network without the wide layers behind its pool: they are weights to be staged, and no more."""
    network = named_network(name, px)
    inner = tuple(block for stage in network.stages for block in stage.blocks)
    conv = network.head[0]
    end = (Block(op="pool", out_channels=conv.out_channels), Block(op="linear", out_channels=_CLASSES))
    return ReferenceNetwork((*network.stem, *inner, conv, *end), network.input_shape_chw, "streaming")


REFERENCE_NETWORKS = {
    "pointwise": ReferenceNetwork((_conv(32, 2), *[_mbconv(3, 96, 32, "hswish")] * 4), (3, 64, 64)),
    "depthwise": ReferenceNetwork((_conv(24, 2), *[_mbconv(5, 72, 24)] * 4), (3, 80, 80)),
    "dense": ReferenceNetwork((_conv(32, 2), *[_conv(32)] * 4), (3, 64, 64)),
    "mobilenetv2": _body("mobilenetv2", 160),
    "mobilenetv3-large": _body("mobilenetv3-large", 128),
    "mobilenetv3-small": _body("mobilenetv3-small", 224),
}
"""Several of each group, since a slow state hits operators unequally."""
_FORMER_STREAMING = frozenset({"weights", "activations", "mixed", "deep"})


def group_of(name: str) -> Group:
    """Return the group of a reference network, also of those that older runs were made with; others are cached."""
    network = REFERENCE_NETWORKS.get(name)
    if network:
        return network.group
    return "streaming" if name in _FORMER_STREAMING else "cached"


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
    for name, network in REFERENCE_NETWORKS.items():
        references[name] = save_artifact(
            _model_bytes(name, network, model_format),
            folder / f"reference-{name}{SUFFIXES[model_format]}",
            model_format=model_format,
            input_shape_chw=network.input_shape_chw,
            outlasts_power=False,
        )
    return references


def _model_bytes(name: str, network: ReferenceNetwork, model_format: str) -> bytes:
    # Writers are imported here: reading nominals needs neither of their packages.
    layers = layers_of_blocks(network.blocks, network.input_shape_chw)
    weights = random_weights(layers, named_rng(_WEIGHT_SEED, "reference", name))
    if model_format == "onnx":
        from mnas.export.onnx import write_onnx

        return write_onnx(layers, weights, name=name)
    if model_format == "tflite":
        from mnas.export.tflite import write_tflite

        return write_tflite(layers, weights, name=name)
    from mnas.export.pt2 import write_pt2

    return write_pt2(layers, weights, name=name)


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
