"""The properties (``getprop``) of a software phone."""

from __future__ import annotations

from collections.abc import Mapping

SIMULATED = "ro.mnas.simulated"


def phone_properties(serial: str, model: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Return the properties of a phone of Android 13, marked as simulated.

    Args:
        serial: ``ro.serialno``.
        model: ``ro.product.model``.
        changes: Properties that replace or join the others; an empty text takes one away. The mark stays.
    """
    build = "33.simulated"
    properties = {
        "persist.sys.locale": "en-US",
        "ro.board.platform": "software",
        "ro.boot.hardware": "software",
        "ro.build.characteristics": "default",
        "ro.build.fingerprint": f"mnas/software_phone/software_phone:13/{build}/1:userdebug/test-keys",
        "ro.build.id": build,
        "ro.build.tags": "test-keys",
        "ro.build.type": "userdebug",
        "ro.build.version.incremental": "1",
        "ro.build.version.release": "13",
        "ro.build.version.sdk": "33",
        "ro.build.version.security_patch": "2023-01-05",
        "ro.hardware": "software",
        "ro.product.brand": "mnas",
        "ro.product.cpu.abi": "x86_64",
        "ro.product.cpu.abilist": "x86_64",
        "ro.product.cpu.abilist32": "",
        "ro.product.cpu.abilist64": "x86_64",
        "ro.product.device": "software_phone",
        "ro.product.manufacturer": "mnas",
        "ro.product.model": model,
        "ro.product.name": "software_phone",
        "ro.serialno": serial,
        "ro.soc.manufacturer": "mnas",
        "ro.soc.model": "Software SoC",
        "sys.boot_completed": "1",
        **changes,
        SIMULATED: "1",
    }
    removed = {name for name, value in changes.items() if not value}
    return {name: value for name, value in properties.items() if name not in removed}
