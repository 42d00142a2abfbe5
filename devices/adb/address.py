"""Where an adb server may be: its address as a person or a variable writes it."""

from __future__ import annotations

from devices.adb.parsers.numbers import number_of
from mnas.errors import ConfigError

DEFAULT_PORT = 5037
VARIABLE = "MNAS_ADB"
NO_PHONES = "none"


def parse_address(text: str, source: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``HOST`` or ``[IPV6]:PORT``.

    Args:
        text: The address.
        source: Option or variable that holds it, for the words of an error.

    Raises:
        ConfigError: ``ADB02``: no such address.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise bad_address(text, source, "an IPv6 address is written [ADDRESS]:PORT")
        port = rest[1:] if rest else str(DEFAULT_PORT)
    elif text.count(":") > 1:
        raise bad_address(text, source, "an IPv6 address is written [ADDRESS]:PORT")
    else:
        host, _, port = text.partition(":")
        port = port if ":" in text else str(DEFAULT_PORT)
    if not host or any(mark.isspace() or mark == "/" for mark in host):
        raise bad_address(text, source, "no host name")
    return host, parse_port(port, text, source)


def parse_port(port: str, text: str, source: str) -> int:
    """Return the number of a port.

    Args:
        port: Its digits.
        text: The whole address, for the words of an error.
        source: Option or variable that holds it.

    Raises:
        ConfigError: ``ADB02``: no number from 1 to 65535.
    """
    number = number_of(port, 65535)
    if not number:
        raise bad_address(text, source, "a port is a number from 1 to 65535")
    return number


def bad_address(text: str, source: str, why: str) -> ConfigError:
    """Return the error for an address that is none; not raised yet."""
    return ConfigError(
        "ADB02", f"{source} names no adb server", value=text, why=why, fix="write HOST:PORT, e.g. 127.0.0.1:5037"
    )
