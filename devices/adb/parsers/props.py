"""System properties, as ``getprop`` without a name prints them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LINE = re.compile(r"^\[([^\]]+)\]: \[(.*?)(\]?)$")
_SERIALS = ("ro.serialno", "ro.boot.serialno")
_NO_SERIALS = ("", "unknown", "0", "0123456789abcdef")
_SOCS = ("ro.soc.model", "ro.board.platform", "ro.hardware.chipname", "ro.hardware")
_ABI_LISTS = ("ro.product.cpu.abilist", "ro.system.product.cpu.abilist", "ro.vendor.product.cpu.abilist")


def parse_props(text: str) -> dict[str, str]:
    """Return the properties of ``[name]: [value]`` lines; a value may run over several lines.

    A value whose closing bracket never comes was cut off and is left out.
    """
    found: dict[str, str] = {}
    name, parts = "", list[str]()
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            name, parts = match[1], [match[2]]
            if match[3]:
                found[name], name = match[2], ""
        elif name:
            parts.append(line.removesuffix("]"))
            if line.endswith("]"):
                found[name], name = "\n".join(parts), ""
    return found


def first_of(props: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first of some properties that says something, "" when none does."""
    return next((props[name].strip() for name in names if props.get(name, "").strip()), "")


def serialno_of(props: Mapping[str, str]) -> str:
    """Return the serial that the phone itself gives, "" where it has none; some makers ship one for all units."""
    return next((props[name] for name in _SERIALS if props.get(name, "").lower() not in _NO_SERIALS), "")


def soc_of(props: Mapping[str, str]) -> str:
    """Return the system on chip: its model (Android 12 and up), else the board's platform; "" where unknown."""
    model = first_of(props, _SOCS)
    maker = first_of(props, ("ro.soc.manufacturer",))
    return f"{maker} {model}" if maker and model == props.get("ro.soc.model", "").strip() else model


def abis_of(props: Mapping[str, str]) -> tuple[str, ...]:
    """Return the binary interfaces that run, the best first."""
    listed = first_of(props, _ABI_LISTS) or first_of(props, ("ro.product.cpu.abi",))
    return tuple(abi.strip() for abi in listed.split(",") if abi.strip())
