"""The image of a software phone: a folder that a phone mounts as its root, and the runners for it.

It is built once and kept by the content of all it is made of; several phones share one image, read only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from software_phone.fetch import PhoneUnavailable, cache_folder, check_machine, fetch_packages, locked

_HERE = Path(__file__).parent
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_FOLDERS = ("proc", "sys", "dev", "data", "phone_state", "tmp", "system/bin", "system/lib64", "vendor/bin", "etc")
# Android's toybox has these, Debian's has not. awk is left out: Android has it since version 12 alone.
_FROM_BUSYBOX = ("tr", "dd", "gzip", "expr", "getopt", "diff")
_NEEDED = frozenset(
    "cat chmod cp cut date df echo env find grep head id kill ln ls mkdir mv nohup ps printf readlink rm sed setsid "
    "sha256sum sleep sort stat sync tail taskset timeout touch true uname uniq wc xargs".split()
)
# They would act on this machine, or have no meaning without one.
_UNWANTED = frozenset({"insmod", "rmmod", "modprobe", "reboot", "halt", "poweroff", "hwclock", "swapon", "swapoff"})
_STATIC = {"phone_init": (), "instant_runner": ("-lm",), "lying_runner": ("-lm",)}
_DYNAMIC = dict.fromkeys(("benchmark_model", "litert_benchmark_model", "onnxruntime_perf_test"), ("-ldl", "-lm"))
_RUNTIMES = {"libLiteRt.so": ("ai_edge_litert", ""), "libonnxruntime.so": ("onnxruntime", "capi")}
"""Name in the image -> package of this machine, and the folder in it, that holds the library."""
_PASSWD = "root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n"
_GROUP = "root:x:0:\ninput:x:1004:\nlog:x:1007:\nadb:x:1011:\nsdcard_rw:x:1015:\nshell:x:2000:\ninet:x:3003:\n"


@dataclass(frozen=True, slots=True)
class Image:
    """A built image.

    Attributes:
        root: Root of a phone's file system; never written to.
        runners: Programs for ``mnas runner add``: ``benchmark_model``, ``litert_benchmark_model`` and
            ``onnxruntime_perf_test`` (really run the model; their libraries lie in the image), ``instant_runner``
            (returns at once), ``lying_runner`` (misbehaves as it is told).
    """

    root: Path
    runners: dict[str, Path]

    def hold(self) -> IO[str]:
        """Return an open file; while it is open the image is not removed for a newer one."""
        handle = (self.root.parent / "in-use").open("a")
        fcntl.flock(handle, fcntl.LOCK_SH)
        return handle


def build_image() -> Image:
    """Return the image, built where it is missing.

    Raises:
        PhoneUnavailable: This machine cannot build or run one; the text says why.
    """
    check_machine()
    runtimes = {name: _find_runtime(name, *place) for name, place in _RUNTIMES.items()}
    packages = fetch_packages()
    key = _key(runtimes, packages)
    folder = cache_folder() / f"image-{key}"
    if not folder.is_dir():
        with locked(cache_folder()):
            if not folder.is_dir():
                _build(folder, packages, runtimes)
    runners = {name: folder / "programs" / name for name in (*_DYNAMIC, "instant_runner", "lying_runner")}
    return Image(folder / "root", runners)


def _find_runtime(name: str, package: str, folder: str) -> Path:
    found = importlib.util.find_spec(package)
    for place in (found.submodule_search_locations or ()) if found else ():
        for library in sorted((Path(place) / folder).glob(f"{name}*")):
            return library
    wanted = package.replace("_", "-")
    raise PhoneUnavailable(f"{name} of the package {wanted} was not found: pip install {wanted}")


def _key(runtimes: Mapping[str, Path], packages: Path) -> str:
    digest = hashlib.sha256()
    for library in runtimes.values():
        digest.update(f"{library.stat().st_size} {library.stat().st_mtime_ns}".encode())
    digest.update(str(packages.stat().st_mtime_ns).encode())
    for source in sorted([Path(__file__), *(_HERE / "programs").iterdir(), *(_HERE / "shims").iterdir()]):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:12]


def _build(folder: Path, packages: Path, runtimes: Mapping[str, Path]) -> None:
    work = cache_folder() / "building"
    shutil.rmtree(work, ignore_errors=True)
    try:
        _compile(work / "programs")
        _lay_out(work / "root", packages, runtimes, work / "programs")
        _check(work / "root")
        for old in cache_folder().glob("image-*"):
            _remove_unused(old)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compile(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, libraries in {**_STATIC, **_DYNAMIC}.items():
        link = ["-static"] if name in _STATIC else []
        source, flags = str(_HERE / "programs" / f"{name}.c"), ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
        command = ["gcc", *flags, *link, "-o", str(folder / name), source, *libraries]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise PhoneUnavailable(f"gcc could not compile {name}.c: {done.stderr[-1000:]}")


def _lay_out(root: Path, packages: Path, runtimes: Mapping[str, Path], programs: Path) -> None:
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    shutil.copytree(packages / _LIBRARIES, root / _LIBRARIES, symlinks=True, ignore=shutil.ignore_patterns("gconv"))
    shutil.copytree(packages / "usr/lib64", root / "usr/lib64", symlinks=True)
    for name, target in (("bin", "system/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sdcard", "data/local")):
        (root / name).symlink_to(target)
    for name, library in runtimes.items():
        shutil.copy2(library, root / "system/lib64" / name)
    bin_folder = root / "system/bin"
    for name in ("toybox", "busybox", "mksh"):
        shutil.copy2(packages / "usr/bin" / name, bin_folder / name)
    shutil.copy2(packages / "usr/lib/android-sdk/platform-tools/adbd", bin_folder / "adbd")
    shutil.copy2(programs / "phone_init", root / "init")
    (bin_folder / "sh").symlink_to("mksh")
    for shim in (_HERE / "shims").iterdir():
        shutil.copy2(shim, bin_folder / shim.name)
        (bin_folder / shim.name).chmod(0o755)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    _link_applets(root)


def _link_applets(root: Path) -> None:
    done = subprocess.run(["chroot", str(root), "/system/bin/toybox"], capture_output=True, text=True, timeout=30)
    owners = dict.fromkeys(_FROM_BUSYBOX, "busybox") | dict.fromkeys(done.stdout.split(), "toybox")
    missing = _NEEDED - owners.keys()
    if done.returncode != 0 or missing:
        raise PhoneUnavailable(f"Debian's toybox lacks {sorted(missing)}: {done.stderr[-300:]}")
    for name in owners.keys() - _UNWANTED:
        link = root / "system/bin" / name
        if not link.exists():
            link.symlink_to(owners[name])


def _check(root: Path) -> None:
    """The shell must run, and adbd and the runtimes must find their libraries, before anything is built upon them."""
    loader = "/usr/lib64/ld-linux-x86-64.so.2"
    for command in (
        ["/system/bin/sh", "-c", "true"],
        [loader, "--list", "/system/bin/adbd"],
        *([loader, "--list", f"/system/lib64/{name}"] for name in _RUNTIMES),
    ):
        done = subprocess.run(["chroot", str(root), *command], capture_output=True, text=True, timeout=30)
        if done.returncode != 0 or "not found" in done.stdout:
            raise PhoneUnavailable(f"in the image {' '.join(command)} fails: {(done.stderr or done.stdout)[-400:]}")


def _remove_unused(image: Path) -> None:
    """Remove an older image, unless a phone is alive on it: such a phone holds a lock."""
    with contextlib.suppress(OSError), (image / "in-use").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(image, ignore_errors=True)
