"""``mnas arch``: the named networks, and any network's layers and drawing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.arch_sample import sample
from mnas.cli.options import FileOption, FormatOption, QuietOption
from mnas.cli.output import Format, Result, emit, say, write_result

if TYPE_CHECKING:
    from mnas.layers import LayerSpec
    from mnas.networks.named import NetworkFacts

app = typer.Typer(help="List and show named networks.", no_args_is_help=True)
app.command("sample")(sample)
_COLUMNS = ("layer", "op", "in", "out", "k", "s", "groups", "activation", "MACs", "params")
_LIST_COLUMNS = ("name", "params", "MACs (M)", "reported top-1 %", "reported ms", "phone", "source")
_LIST_NOTE = "Reported figures are those of the sources; mnas arch show NAME says where they stand and what was timed."


@app.command("list")
def list_networks(output_format: FormatOption = Format.table, output: FileOption = None) -> None:
    """List the named networks with their counts at 224 px and 1000 classes, and what their authors report."""
    from mnas.counts import total_macs, total_params
    from mnas.layers import layers_of
    from mnas.named_networks import NAMED_NETWORKS, NETWORK_FACTS

    rows, documents = [], []
    for name, make in NAMED_NETWORKS.items():
        architecture, facts = make(), NETWORK_FACTS[name]
        layers = layers_of(architecture)
        params, macs = total_params(layers), total_macs(layers)
        rows.append([name, params, round(macs / 1e6, 2), *_reported(facts)])
        counts = {"arch_id": architecture.arch_id, "params": params, "macs": macs}
        documents.append({"name": name, **counts, "facts": facts.to_json()})
    result = Result(_LIST_COLUMNS, rows, {"networks": documents}, "named networks", notes=(_LIST_NOTE,))
    emit(result, output_format, output)


def _reported(facts: NetworkFacts) -> list[object]:
    top1 = None if facts.top1 is None else round(100 * facts.top1, 2)
    latency = facts.latency
    source = f"{facts.paper}, arXiv {facts.arxiv_id}"
    return [top1, latency and latency.ms, latency and latency.phone, source]


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A named network, an architecture.json, a .arch file or its text.")],
    px: Annotated[int | None, typer.Option("--px", min=1, help="Pixels of a named network's input (224).")] = None,
    draw: Annotated[Path | None, typer.Option("--draw", help="Write an SVG of its stages to this file.")] = None,
    output_format: FormatOption = Format.table,
    output: FileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Show the layers of a network, and for a named one what its authors report."""
    from dataclasses import asdict

    from mnas.counts import total_macs, total_params
    from mnas.jsonio import shown
    from mnas.layers import layers_of
    from mnas.named_networks import NETWORK_FACTS
    from mnas.reading import read_architecture
    from mnas.report.network import draw_network

    architecture, facts = read_architecture(name, px), NETWORK_FACTS.get(name)
    layers = layers_of(architecture)
    document = {
        "arch_id": architecture.arch_id,
        "params": total_params(layers),
        "macs": total_macs(layers),
        "facts": facts and facts.to_json(),
        "architecture": architecture.to_json(),
        "layers": [asdict(layer) for layer in layers],
    }
    if draw is not None:
        write_result(str(draw_network(architecture, shown(Path(name).name))) + "\n", draw, "--draw")
    title = (
        f"{shown(name)}: {total_params(layers):,} parameters, {total_macs(layers):,} MACs, {architecture.arch_id[:12]}"
    )
    rows = [_row(layer) for layer in layers]
    emit(Result(_COLUMNS, rows, document, title, notes=facts.lines() if facts else ()), output_format, output)
    if draw is not None:
        say(f"drawing: {draw}", quiet=quiet)


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
