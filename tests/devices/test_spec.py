from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.spec import CPU_CLASSES, DELEGATES, HOST_RUNTIMES, PHONE_RUNNERS, DeviceSpec
from mnas.errors import ConfigError

_masks = st.integers(1, 2**64 - 1).map(lambda mask: f"{mask:x}")
_options = {
    "threads": st.integers(1, 256),
    "cpus": st.one_of(st.just(""), st.sampled_from(CPU_CLASSES), _masks),
    "delegate": st.one_of(
        st.just(""),
        st.sampled_from(DELEGATES),
        st.text("abc/._-:=", min_size=1).map(lambda path: f"external:{path}"),
    ),
}
_serials = st.text("abcXYZ0189.:-_[]", min_size=1, max_size=30)
_specs = st.one_of(
    st.builds(DeviceSpec, kind=st.just("host"), runtime=st.sampled_from(HOST_RUNTIMES), **_options),
    st.builds(
        DeviceSpec,
        kind=st.just("adb"),
        runtime=st.sampled_from(PHONE_RUNNERS),
        serial=_serials,
        partial=st.sampled_from(["", "allow"]),
        **_options,
    ),
)


@given(_specs)
def test_text_form_round_trips(spec: DeviceSpec) -> None:
    assert DeviceSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("host", DeviceSpec("host", "ort")),
        ("host,threads=2", DeviceSpec("host", "ort", threads=2)),
        ("host:litert,delegate=none", DeviceSpec("host", "litert", delegate="none")),
        ("host:ort,cpus=0x0F0", DeviceSpec("host", "ort", cpus="f0")),
        ("adb:192.168.1.7:5555/tflite", DeviceSpec("adb", "tflite", "192.168.1.7:5555")),
        (
            "adb:R58M/litert,delegate=external:/data/local/tmp/d.so,cpus=big,threads=4",
            DeviceSpec("adb", "litert", "R58M", 4, "big", "external:/data/local/tmp/d.so"),
        ),
    ],
)
def test_readings(text: str, spec: DeviceSpec) -> None:
    assert DeviceSpec.parse(text) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ort",
        "usb:1",
        "host:",
        "host:ort/x",
        "host:tensorrt",
        "host:ort,",
        "host:ort,speed=9",
        "host:ort,threads",
        "host:ort,threads=",
        "host:ort,threads=0",
        "host:ort,threads=-1",
        "host:ort,threads=1.5",
        "host:ort,threads=\N{ARABIC-INDIC DIGIT ONE}",
        "host:ort,threads=999",
        "host:ort,threads=1,threads=1",
        "host:ort,cpus=0",
        "host:ort,cpus=huge",
        "host:ort,delegate=TPU",
        "adb:serial/litert,delegate=tpu",
        "host:ort,delegate=external:",
        "adb:serial",
        "adb:/litert",
        "adb:a b/litert",
        "adb:serial/ort",
        "adb:serial/",
        "adb:s/t/litert",
        "adb:s/tflite,partial=yes",
        "host:ort,partial=allow",
    ],
)
def test_bad_specs_are_usage_errors(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DeviceSpec.parse(text)
    assert caught.value.code == "CFG10" and caught.value.exit_code == 2


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        spec = DeviceSpec.parse(text)
    except ConfigError:
        return
    assert DeviceSpec.parse(str(spec)) == spec
