"""Options that many commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mnas.cli.output import Format
from mnas.output_folder import output_folder as output_folder

FormatOption = Annotated[Format, typer.Option("--format", help="Format of the result on stdout.")]
FileOption = Annotated[Path | None, typer.Option("-o", "--output", help="Write the result to this file instead.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Say warnings and errors alone.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Output folder; else $MNAS_OUT, else ./mnas-out.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device spec, e.g. host:litert,threads=1.")]
AdbOption = Annotated[
    str,
    typer.Option(
        "--adb",
        envvar="MNAS_ADB",
        show_default=False,
        help="Server of adb as HOST:PORT, else adb's own variables, else this machine's; 'none' is without phones.",
    ),
]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Say what would be done and how long it takes; start nothing.")
]
ProxyPresetOption = Annotated[
    str | None, typer.Option("--proxy-preset", help="mnasnet5: train for 5 epochs.", show_default=False)
]
ProxyEpochsOption = Annotated[
    int | None, typer.Option("--proxy-epochs", help="Epochs of proxy training.", show_default=False)
]
ProxyFractionOption = Annotated[
    float | None, typer.Option("--proxy-fraction", help="Part of the training images (1).", show_default=False)
]
ProxyResolutionOption = Annotated[
    int | None, typer.Option("--proxy-resolution", help="Side of its images in px.", show_default=False)
]
ProxyWidthOption = Annotated[
    float | None, typer.Option("--proxy-width", help="Factor on the networks' channels (1).", show_default=False)
]


def use_adb(server: str) -> None:
    """Make a server of adb the one that phones are reached through, from here on and in child processes.

    Args:
        server: ``HOST:PORT``, or "" for what the environment says.

    Raises:
        ConfigError: ``ADB02``: no such address.
    """
    if server and server != "none":
        from devices.adb.server import AdbServer

        AdbServer.find(server)
    if server:
        os.environ["MNAS_ADB"] = server
