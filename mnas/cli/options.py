"""Options that many commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mnas.cli.output import Format

FormatOption = Annotated[Format, typer.Option("--format", help="Format of the result on stdout.")]
FileOption = Annotated[Path | None, typer.Option("-o", "--output", help="Write the result to this file instead.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Say warnings and errors alone.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Output folder; else $MNAS_OUT, else ./mnas-out.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device spec, e.g. host:litert,threads=1.")]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Say what would be done and how long it takes; start nothing.")
]


def output_folder(out: Path | None) -> Path:
    """Return the output folder that the option and the environment mean."""
    return out or Path(os.environ.get("MNAS_OUT") or "mnas-out")
