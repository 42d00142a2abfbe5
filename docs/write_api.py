"""Writes pages of the API, made of the docstrings by pdoc.

    python docs/write_api.py build/api

The command line is left out, which has its own ``--help``; so are modules that an extra is needed for and not there.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import pdoc

PACKAGES = ("mnas", "devices", "latency", "search")
LEFT_OUT = ("mnas.cli", "mnas.__main__")


def resolve(name: str) -> int:
    """Import a module and those below it, with the names that packages give on request; return how many were imported.

    pdoc takes ``__all__`` for all that there is, so that a package's submodules are added to it.
    """
    try:
        module = import_module(name)
    except ImportError as error:
        print(f"left out: {name}: {error}", file=sys.stderr)
        return 0
    below = [f"{name}.{one.name}" for one in pkgutil.iter_modules(getattr(module, "__path__", []))]
    below = [one for one in below if one not in LEFT_OUT]
    counts = {one: resolve(one) for one in below}
    if hasattr(module, "__path__") and hasattr(module, "__all__"):
        for public in module.__all__:
            setattr(module, public, getattr(module, public))
        module.__all__ = [*module.__all__, *(one.rpartition(".")[2] for one, count in counts.items() if count)]
    return 1 + sum(counts.values())


def main(folder: Path) -> None:
    """Write the pages."""
    count = sum(resolve(package) for package in PACKAGES)
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*PACKAGES, *(f"!{name}" for name in LEFT_OUT), output_directory=folder)
    print(f"{count} modules; the pages begin at {folder / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
