"""One self-contained HTML page from sections: no external resource, opens from the disk, prints.

The template, style sheet and script lie beside this module as package data and are inlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from mnas.report.parts import (
    Cell,
    Figure,
    Gallery,
    KeyValues,
    Link,
    Paragraph,
    Part,
    Quantity,
    RowClass,
    Section,
    Table,
    show,
)
from mnas.report.text import clean

__all__ = [
    "Cell",
    "Figure",
    "Gallery",
    "KeyValues",
    "Link",
    "Paragraph",
    "Part",
    "Quantity",
    "RowClass",
    "Section",
    "Table",
    "render_page",
]


def render_page(title: str, sections: Sequence[Section], *, subtitle: str = "", notices: Sequence[str] = ()) -> str:
    """Return a whole HTML page; every text in it is escaped.

    Args:
        title: Head of the page and of the window.
        sections: Shown in order; from three on, the page opens with a list of them.
        subtitle: One line below the title, such as the run id, device and date.
        notices: What a reader must know before the first number (simulated device, failed gate, cannot rank).
    """
    template = _environment().get_template("page.html.j2")
    return template.render(title=title, subtitle=subtitle, notices=notices, sections=sections)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["show"] = show
    return environment


def _resource(name: str) -> str:
    return files("mnas.report").joinpath(name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    """Clean each text that the template prints; escaping follows."""
    return clean(value) if isinstance(value, str) else value
