"""Where builds of the runners are published.

The addresses are those that the projects document. They could not be tried where this was written, since nothing but
package indexes could be reached there: an address that has moved is mended with ``mnas runner fetch --url``.

Source: litert/rust/build/build.rs and ``litert/binaries`` addresses in google-ai-edge/LiteRT (2026);
tensorflow.org/lite/performance/measurement.
"""

from __future__ import annotations

from mnas.errors import ConfigError

_LITERT = "https://storage.googleapis.com/litert/binaries/{version}/{platform}/benchmark_model"
_NIGHTLY = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest/"
    "{platform}_benchmark_model"
)
_PLATFORMS = {
    "litert": {"arm64-v8a": "android_arm64", "x86_64": "linux_x86_64"},
    "tflite": {"arm64-v8a": "android_aarch64", "armeabi-v7a": "android_arm", "x86_64": "linux_x86-64"},
}
LATEST = "latest"


def published_url(name: str, abi: str, version: str = LATEST) -> str:
    """Return the address of a build. Those for x86_64 are for Linux with glibc: simulated phones run them.

    Raises:
        ConfigError: ``RNR14``: none is published.
    """
    if name not in _PLATFORMS:
        raise _unpublished(name, "nobody publishes a build of it for Android", "build it and use mnas runner add")
    platforms = _PLATFORMS[name]
    if abi not in platforms:
        raise _unpublished(f"{name} for {abi}", f"there are builds for {', '.join(platforms)}", "use --abi or --url")
    if name == "litert":
        return _LITERT.format(version=version, platform=platforms[abi])
    if version != LATEST:
        raise _unpublished(
            f"{name} {version}", "its builds are replaced each night", "leave --version out, or use --url"
        )
    return _NIGHTLY.format(platform=platforms[abi])


def is_moving(url: str) -> bool:
    """Whether the content behind an address is meant to change."""
    return f"/{LATEST}/" in url


def _unpublished(value: str, why: str, fix: str) -> ConfigError:
    return ConfigError("RNR14", "no such runner is published", value=value, why=why, fix=fix)
