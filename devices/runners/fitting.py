"""Whether a program can run on a phone: its ABI, its loader and the libraries that it needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from devices.runners.elf import Elf
from mnas.errors import DeviceError

_ANDROID_LINKERS = ("/system/bin/linker64", "/system/bin/linker", "/apex/com.android.runtime/bin/linker")
_LINUX_LOADERS = (
    (re.compile(r"/ld-musl"), "Linux with musl"),
    (re.compile(r"/ld-(?:linux|lsb)|/ld\d*\.so|/ld64\.so"), "Linux with glibc"),
)
_SYSTEM_LIBRARIES = frozenset(
    "aaudio amidi android binder_ndk c camera2ndk dl EGL GLESv1_CM GLESv2 GLESv3 icu jnigraphics log m mediandk "
    "nativehelper nativewindow neuralnetworks OpenMAXAL OpenSLES RS stdc++ sync vulkan z".split()
)
"""Libraries that each Android lets programs of others load, by the NDK's list."""


def is_android_linker(interpreter: str) -> bool:
    """Whether a loader is Android's."""
    return interpreter.startswith(_ANDROID_LINKERS)


def check_fits(elf: Elf, abis: Sequence[str], interpreters: Collection[str] | None = None) -> None:
    """Refuse a program that a phone cannot run.

    Args:
        elf: The program.
        abis: What the phone runs, ``ro.product.cpu.abilist``.
        interpreters: Loaders that the phone is known to have, as a simulated phone says of itself; ``None`` for an
            ordinary phone, which has Android's alone.

    Raises:
        DeviceError: ``RNR05`` its ABI is none of the phone's, ``RNR06`` its loader is not there, ``RNR16`` it is no
            program, or one that Android's loader refuses.
    """
    if elf.is_library:
        raise DeviceError(
            "RNR16", "a runner must be a program", value="a shared library", fix="add it with --library of its program"
        )
    if elf.abi not in abis:
        raise DeviceError(
            "RNR05",
            "the runner is for another kind of processor",
            value=elf.abi,
            why=f"the phone runs {', '.join(abis)}",
            fix="fetch or add a runner for one of these",
        )
    if not elf.interpreter:
        return
    if interpreters is not None:
        if elf.interpreter not in interpreters:
            raise _no_loader(elf.interpreter, f"the phone has {', '.join(sorted(interpreters)) or 'none'}")
        return
    if not is_android_linker(elf.interpreter):
        built_for = next(
            (name for pattern, name in _LINUX_LOADERS if pattern.search(elf.interpreter)), "another system"
        )
        raise _no_loader(elf.interpreter, f"it was built for {built_for}, and a phone has Android's loader alone")
    if not elf.is_pie:
        raise DeviceError(
            "RNR16",
            "the runner is not a position independent executable",
            why="Android's loader refuses others since Android 5",
            fix="build it with -fPIE -pie",
        )


def _no_loader(interpreter: str, why: str) -> DeviceError:
    return DeviceError(
        "RNR06",
        "the runner needs a loader that the phone does not have",
        value=interpreter,
        why=why,
        fix="add a runner that was built with the Android NDK",
    )


def missing_libraries(elf: Elf, provided: Collection[str]) -> list[str]:
    """Return needed libraries that neither Android has nor are given along.

    Args:
        elf: A program or library.
        provided: File names of the libraries that will lie beside it.

    Returns:
        Their names; always none for a program that is not for Android, of whose system nothing is known.
    """
    if not is_android_linker(elf.interpreter) and not elf.is_library:
        return []
    return [name for name in elf.needed if name not in provided and not _is_systems(name)]


def _is_systems(name: str) -> bool:
    found = re.fullmatch(r"lib(.+)\.so", name)
    return name.startswith("ld-android") or (found is not None and found[1] in _SYSTEM_LIBRARIES)
