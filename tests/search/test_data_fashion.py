"""Fashion-MNIST: the idx parser on damaged files, and the real package."""

import gzip
import os
import shutil
import struct
import subprocess

import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import DataError
from search.accuracy.shipped_audits import shipped_verdicts
from search.data import fashion_mnist
from search.data.idx import parse_idx


def idx(values):
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@given(count=st.integers(0, 5), side=st.integers(1, 6))
def test_idx_round_trip(count, side):
    values = np.random.default_rng(count).integers(0, 256, (count, side, side), dtype=np.uint8)
    assert np.array_equal(parse_idx(idx(values), 3, "f"), values)


@given(cut=st.integers(0, 3 * 16 + 15))
def test_a_truncated_idx_file_is_refused_wherever_it_ends(cut):
    whole = idx(np.zeros((3, 4, 4), dtype=np.uint8))
    with pytest.raises(DataError, match=r"DAT02.*not a whole idx file"):
        parse_idx(whole[:cut], 3, "f")


@given(st.binary(max_size=200))
def test_garbage_is_refused(data):
    with pytest.raises(DataError, match="DAT02"):
        parse_idx(b"x" + data, 3, "f")


@fuzzed
@given(head=st.lists(st.sampled_from((0, 1, 2, 4, 8, 127, 128, 255)), max_size=16), data=st.binary(max_size=40))
def test_no_idx_file_is_an_error_of_python(head, data):
    whole = bytearray(idx(np.zeros((2, 4, 4), dtype=np.uint8)))
    whole[: len(head)] = head
    try:
        assert parse_idx(bytes(whole) + data, 3, "f").ndim == 3
    except DataError as error:
        assert error.code == "DAT02"


def test_trailing_bytes_and_labels_for_images_are_refused():
    whole = idx(np.zeros((3, 4, 4), dtype=np.uint8))
    with pytest.raises(DataError, match="sizes"):
        parse_idx(whole + b"\0", 3, "f")
    with pytest.raises(DataError, match="00000801"):
        parse_idx(whole, 1, "f")


@pytest.fixture
def files(tmp_path):
    for name in fashion_mnist.FILES_SHA256:
        (tmp_path / name).write_bytes(gzip.compress(b"something else"))
    return tmp_path


def test_a_file_with_other_contents_is_refused(files):
    with pytest.raises(DataError, match=r"DAT02.*SHA-256"):
        fashion_mnist.open_fashion_mnist(files)


def test_a_truncated_gzip_file_is_refused(files):
    path = files / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"DAT02.*damaged"):
        fashion_mnist.open_fashion_mnist(files)


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"DAT01.*does not hold"):
        fashion_mnist.open_fashion_mnist(tmp_path)


def test_files_are_found_by_the_environment(files, monkeypatch):
    monkeypatch.setenv("MNAS_DATA", str(files.parent))
    files.rename(files.parent / "fashion-mnist")
    assert fashion_mnist.find_files() == files.parent / "fashion-mnist"


def test_without_apt_get_the_message_says_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"DAT01.*no apt-get here") as caught:
        fashion_mnist.fetch_package(tmp_path / "cache")
    assert "MNAS_DATA" in caught.value.fix
    assert not (tmp_path / "cache").exists()


def test_a_failing_apt_get_is_reported_with_its_own_words(tmp_path, monkeypatch):
    tool = tmp_path / "apt-get"
    tool.write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DataError, match=r"DAT01.*E: no network"):
        fashion_mnist.fetch_package(tmp_path / "cache")


def test_the_real_package_is_fetched_and_split(tmp_path):
    if shutil.which("apt-get") is None:
        pytest.skip("SKIPPED: no apt-get on this machine, the real download was not tried")
    listed = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "--print-uris", fashion_mnist.PACKAGE],
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    if listed.returncode:
        pytest.skip("SKIPPED: apt has no lists or no network, the real download was not tried")
    try:
        folder = fashion_mnist.fetch_package(tmp_path / "cache")
    except DataError as error:
        pytest.skip(f"SKIPPED: the download failed: {error}")
    dataset = fashion_mnist.read_fashion_mnist(folder)
    assert dataset.images_u8.shape == (70_000, 1, 28, 28)
    sizes = {split: dataset.size(split) for split in dataset.split_indices}
    assert sizes == {"train": 34_893, "rank-val": 15_209, "val": 9_898, "test": 10_000}
    assert dataset.indices("test").min() >= 60_000
    assert dataset.fingerprint in {verdict["fingerprint"] for verdict in shipped_verdicts()}
