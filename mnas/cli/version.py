"""``mnas --version``: the versions that results depend on, read without importing what they are of."""

from __future__ import annotations

from typing import Annotated

import typer

PACKAGES = ("torch", "onnx", "onnxruntime", "ai-edge-litert", "pymoo", "adbutils", "numpy")


def version_lines() -> list[str]:
    """Return one line for each: mnas, python, and what measures, writes, searches and talks to phones."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    def found(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    versions = {"mnas": found("mnas"), "python": platform.python_version()}
    versions |= {package: found(package) for package in PACKAGES}
    return [f"{name} {version}" for name, version in versions.items()]


def _tell(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo("\n".join(version_lines()))
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option("--version", help="Say the versions that results depend on, and end.", is_eager=True, callback=_tell),
]


def program(version: VersionOption = False) -> None:
    """Benchmark networks on devices, build latency tables, search Pareto-optimal mobile networks."""
