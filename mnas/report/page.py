"""One self-contained HTML page from sections: no external resource, opens from the disk, prints.

The template, style sheets and scripts lie beside this module as package data and are inlined. The policy of a
page allows its own script by hash and no other, so that even markup that slipped through could run nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mnas.report.embedded import embedded_json, script_hash
from mnas.report.parts import (
    Cell,
    Figure,
    Gallery,
    KeyValues,
    Link,
    Mount,
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
    "Mount",
    "Paragraph",
    "Part",
    "Quantity",
    "RowClass",
    "Section",
    "Table",
    "render_page",
]


_SCRIPTS = ("page.js",)
_EXPLORER_SCRIPTS = (
    "explore_dom.js",
    "explore_format.js",
    "explore_scale.js",
    "explore_state.js",
    "explore_network.js",
    "explore_chart.js",
    "explore_input.js",
    "explore_parallel.js",
    "explore_detail.js",
    "explore_filters.js",
    "explore_list.js",
    "explore_compare.js",
    "explore.js",
)
"""In the order in which they need each other; together they are one function."""


def render_page(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    notices: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
) -> str:
    """Return a whole HTML page; every text in it is escaped.

    Args:
        title: Head of the page and of the window.
        sections: Shown in order; from three on, the page opens with a list of them.
        subtitle: One line below the title, such as the run id, device and date.
        notices: What a reader must know before the first number (simulated device, failed gate, cannot rank).
        data: Networks for the explorer, as `mnas.cli.study_data.page_data` gives them; the explorer fills the `Mount`s.
            Without it the page has neither.
    """
    script = _script(_SCRIPTS if data is None else _SCRIPTS + _EXPLORER_SCRIPTS)
    template = _environment().get_template("page.html.j2")
    return template.render(
        title=title,
        subtitle=subtitle,
        notices=notices,
        sections=sections,
        styles=["page.css"] if data is None else ["page.css", "explore.css"],
        data=None if data is None else embedded_json(data),
        script=Markup(script),  # ours; its hash is what the policy allows
        script_hash=Markup(script_hash(script)),
    )


@cache
def _script(names: tuple[str, ...]) -> str:
    """Return scripts as one: the page's own, and the explorer's files within one function."""
    own = "".join(_resource(name) for name in names if name in _SCRIPTS)
    explorer = "".join(_resource(name) for name in names if name not in _SCRIPTS)
    return own + (f"(() => {{\n{explorer}}})();\n" if explorer else "")


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
