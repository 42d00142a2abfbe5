"""What stands for a phone outside this machine: never its serial."""

from __future__ import annotations

import re
from dataclasses import replace

from devices.spec import DeviceSpec
from mnas.jsonio import sha256_text

_PUBLIC = re.compile(r"^phone-[0-9a-f]{8}$")


def public_serial(serial: str) -> str:
    """Return ``phone-`` and the first 8 hexadecimal digits of the serial's sha256; one that is public stays as it is.

    The same phone has the same name in every export, and nobody gets from the name to the serial without guessing it.
    """
    return serial if _PUBLIC.match(serial) else f"phone-{sha256_text(serial)[:8]}"


def public_spec(spec: str) -> str:
    """Return a device spec with the public name in the place of a phone's serial; any other stays as it was written.

    It still opens the phone: a public name is taken wherever a serial is.

    Raises:
        ConfigError: ``CFG10``: not a device spec.
    """
    parsed = DeviceSpec.parse(spec)
    return str(replace(parsed, serial=public_serial(parsed.serial))) if parsed.kind == "adb" else spec
