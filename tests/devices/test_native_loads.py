"""Damaged models in the real runtimes, which may die of them: each costs its own line and nothing else."""

from __future__ import annotations

import random

import pytest
from fuzzing import LOADS

from devices.runtimes.host import HostDevice
from devices.spec import DeviceSpec
from latency.probes import write_network
from mnas.errors import DeviceError
from mnas.export.artifact import SUFFIXES, ModelArtifact
from mnas.jsonio import sha256_bytes
from mnas.named_networks import named_network

RUNTIMES = {"onnx": "ort", "tflite": "litert"}


def damaged(sound: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or drop some bytes; more often than not where a file has its structure, at its ends."""
    data = bytearray(sound)
    for _ in range(rng.randrange(1, 9)):
        if not data:
            break
        place = rng.choice((rng.randrange(len(data)), rng.randrange(min(4000, len(data)))))
        place = rng.choice((place, len(data) - 1 - place))
        stop = min(len(data), place + rng.choice((1, 1, 4, 60)))
        match rng.randrange(6):
            case 0:
                data[place:stop] = rng.randbytes(stop - place)
            case 1:
                data[place:stop] = bytes(stop - place)
            case 2:
                data[place:stop] = b"\xff" * (stop - place)
            case 3:
                data[place:stop] = data[place:stop] * 2
            case 4 if rng.random() < 0.2:
                del data[place:]
            case _:
                data[place] ^= 1 << rng.randrange(8)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("form", RUNTIMES)
def test_damaged_models_are_loaded_or_refused_in_a_line(form, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sound = write_network(named_network("mobilenetv3-small", px=32), tmp_path / "models", form)
    content, rng = sound.path.read_bytes(), random.Random(f"native loads of {form}")
    refused, device = 0, HostDevice(DeviceSpec.parse(f"host:{RUNTIMES[form]}"), deadline_s=30.0)
    try:
        assert device.load([sound]) == {}
        for number in range(LOADS):
            data = damaged(content, rng)
            path = tmp_path / "models" / f"damaged{SUFFIXES[form]}"
            path.write_bytes(data)
            one = ModelArtifact(path, form, "float32", sound.input_shape, sha256_bytes(data), len(data), "", "")
            try:
                errors = device.load([one])
            except DeviceError as error:  # three died of theirs in a row: the device is given up, with its reason
                assert error.code == "DEV05", number
                device.close()
                device = HostDevice(DeviceSpec.parse(f"host:{RUNTIMES[form]}"), deadline_s=30.0)
                continue
            refused += bool(errors)
            for text in errors.values():
                assert "\n" not in text and "Traceback" not in text and "no answer within" not in text, number
            device.unload([one.identity])
        assert device.load([sound]) == {}, "whatever was refused, a sound model is loaded"
    finally:
        device.close()
    assert 0 < refused < LOADS
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert {path.name for path in (tmp_path / "models").iterdir()} == {sound.path.name, path.name}
