"""``mnas arch``: the named networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import FileOption, FormatOption
from mnas.cli.output import Format, Result, emit

if TYPE_CHECKING:
    from mnas.layers import LayerSpec

app = typer.Typer(help="List and show named networks.", no_args_is_help=True)
_COLUMNS = ("layer", "op", "in", "out", "k", "s", "groups", "activation", "MACs", "params")


@app.command("list")
def list_networks(output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the named networks with their counts at 224 px and 1000 classes."""
    from mnas.counts import total_macs, total_params
    from mnas.layers import layers_of
    from mnas.named_networks import NAMED_NETWORKS

    rows = []
    for name, make in NAMED_NETWORKS.items():
        layers = layers_of(make())
        rows.append([name, total_params(layers), round(total_macs(layers) / 1e6, 2)])
    emit(Result(("name", "params", "MACs (M)"), rows, title="named networks"), output_format, output)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A named network, an architecture.json, a .arch file or its text.")],
    px: Annotated[int | None, typer.Option("--px", min=1, help="Pixels of a named network's input (224).")] = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
) -> None:
    """Show the layers of a network."""
    from dataclasses import asdict

    from mnas.counts import total_macs, total_params
    from mnas.jsonio import shown
    from mnas.layers import layers_of
    from mnas.reading import read_architecture

    architecture = read_architecture(name, px)
    layers = layers_of(architecture)
    document = {
        "arch_id": architecture.arch_id,
        "params": total_params(layers),
        "macs": total_macs(layers),
        "architecture": architecture.to_json(),
        "layers": [asdict(layer) for layer in layers],
    }
    title = (
        f"{shown(name)}: {total_params(layers):,} parameters, {total_macs(layers):,} MACs, {architecture.arch_id[:12]}"
    )
    emit(Result(_COLUMNS, [_row(layer) for layer in layers], document, title), output_format, output)


def _row(layer: LayerSpec) -> list[object]:
    return [
        layer.name,
        layer.op,
        " + ".join("x".join(map(str, shape)) for shape in layer.in_shapes_chw),
        "x".join(map(str, layer.out_shape_chw)),
        layer.kernel_size,
        layer.stride,
        layer.groups,
        layer.activation,
        layer.macs,
        layer.params,
    ]
