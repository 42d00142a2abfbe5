"""Files of tensors: what torch wrote is read; archives that grow, damaged ones and code are not."""

import io
import os
import pickle
import zipfile

import pytest
import torch
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import ExportError
from mnas.export.tensor_file import load_tensors
from mnas.export.weights_file import read_weights

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "bn.bias": torch.zeros(5, dtype=torch.float64)}


def saved(state=STATE, **options):
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


def rewritten(data, compression=zipfile.ZIP_STORED, copies=0):
    """The same archive, its parts compressed, or entered so many more times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
        largest = max(new.filelist, key=lambda part: part.file_size)
        new.filelist += [largest] * copies
    return buffer.getvalue()


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_torch_wrote_is_read(tmp_path, is_zip):
    (tmp_path / "a.pt").write_bytes(saved(_use_new_zipfile_serialization=is_zip))
    found = load_tensors(tmp_path / "a.pt")
    assert list(found) == list(STATE) and all(torch.equal(found[name], value) for name, value in STATE.items())


def test_an_archive_that_grows_is_refused(tmp_path):
    path, zeros = tmp_path / "weights.pt", saved({"a": torch.zeros(4_000_000)})
    path.write_bytes(rewritten(zeros))
    assert read_weights(path)["a"].shape == (4_000_000,)
    path.write_bytes(rewritten(zeros, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < len(zeros) / 100
    with pytest.raises(ExportError, match=r"EXP09.*compressed, which torch never does"):
        read_weights(path)
    path.write_bytes(rewritten(zeros, copies=1000))
    with pytest.raises(ExportError, match=r"EXP09.*16,\d{3},\d{3},\d{3} bytes, and the whole file 16,\d{3},\d{3}\b"):
        read_weights(path)


@pytest.mark.parametrize("data", [b"PK", b"PK\x03\x04" + bytes(100), saved()[:-30], b"", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_archive_is_refused(tmp_path, data):
    (tmp_path / "weights.pt").write_bytes(data)
    with pytest.raises(ExportError, match="EXP09"):
        read_weights(tmp_path / "weights.pt")


class Code:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize(
    "dump", [pickle.dumps, saved, lambda state: saved(state, _use_new_zipfile_serialization=False)]
)
def test_code_is_not_run(tmp_path, dump):
    (tmp_path / "weights.pt").write_bytes(dump({"a": Code(tmp_path / "ran")}))
    with pytest.raises(ExportError, match="EXP09"):
        read_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()


@fuzzed
@given(
    is_zip=st.booleans(),
    start=st.floats(0, 1),
    length=st.integers(0, 40),
    data=st.binary(max_size=40),
    cut=st.booleans(),
)
def test_no_damage_crashes_the_reader(tmp_path_factory, is_zip, start, length, data, cut):
    whole, path = WHOLE[is_zip], tmp_path_factory.getbasetemp() / "damaged.pt"
    place = int(start * len(whole))
    path.write_bytes(whole[:place] + data + (b"" if cut else whole[place + length :]))
    try:
        found = read_weights(path)
    except ExportError as error:
        assert error.code == "EXP09"
    else:
        assert found and all(isinstance(value, torch.Tensor) for value in found.values())


WHOLE = {is_zip: saved(_use_new_zipfile_serialization=is_zip) for is_zip in (True, False)}
