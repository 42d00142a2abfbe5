"""Packages that not every installation has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mnas.errors import PackageError


def optional_package(module: str, what: str, extra: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: Its name.
        what: What it is needed for, in words.
        extra: Of this project, that brings it.

    Raises:
        PackageError: ``PKG01``: it is not installed, or cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise PackageError(
            "PKG01",
            f"{what} needs a package that is not installed",
            value=module.partition(".")[0],
            why=str(error),
            fix=f"pip install 'mnas[{extra}]', or pip install {module.partition('.')[0]}",
        ) from error
