"""Nothing that leaves the machine holds a serial."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devices.adb.privacy import public_serial, public_spec
from devices.spec import DeviceSpec
from mnas.jsonio import sha256_text

_SERIALS = st.text(st.characters(exclude_characters="/,", exclude_categories=["Z", "C"]), min_size=4, max_size=30)


@given(_SERIALS)
def test_a_public_name_holds_no_serial_and_is_one_for_one_phone(serial: str) -> None:
    public = public_serial(serial)
    assert public == f"phone-{sha256_text(serial)[:8]}" == public_serial(serial)
    assert public_serial(public) == public
    assert serial not in public or serial in "phone-"


@given(_SERIALS, st.sampled_from(["", ",threads=4", ",cpus=big,delegate=none"]))
def test_a_public_spec_names_the_same_phone_runner_and_options(serial: str, options: str) -> None:
    public = public_spec(f"adb:{serial}/tflite{options}")
    assert public == f"adb:{public_serial(serial)}/tflite{options}" == public_spec(public)
    assert DeviceSpec.parse(public).serial == public_serial(serial)


def test_this_machine_has_no_serial_to_hide() -> None:
    assert [public_spec(spec) for spec in ("host", "host:litert,threads=2")] == ["host", "host:litert,threads=2"]
