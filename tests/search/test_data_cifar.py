"""CIFAR: both forms of the archives, read without running what is in them; the download from a server of our own."""

import gzip
import hashlib
import io
import pickle
import tarfile
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from mnas.download import Limits
from mnas.errors import DataError
from search.data import fashion_mnist
from search.data.cifar import CIFAR10, CIFAR100, open_cifar, read_archive
from search.data.cifar_records import parse_binary, parse_pickle
from search.data.dataset import SPLITS
from search.data.download import download

COUNT = 40


def records(classes, seed, count=COUNT):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), dtype=np.uint8), rng.integers(0, classes, count)


def as_binary(which, images, labels):
    coarse = [np.zeros((len(labels), 1), np.uint8)] * (which.labels_each - 1)
    return np.hstack([*coarse, labels[:, None].astype(np.uint8), images]).tobytes()


def as_pickle(which, images, labels):
    """As Python 2 wrote them: texts are bytes."""
    table = {b"batch_label": b"x", which.label_key.encode(): labels.tolist(), b"data": images, b"filenames": [b"a"]}
    return pickle.dumps(table, protocol=4)


def make_archive(folder, which, number, change=lambda name, data: data):
    """Write a small archive; return its path, its description and what is in it."""
    archive, parts = which.archives[number], []
    path = folder / archive.file
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("readme.html"), io.BytesIO())
        for seed, name in enumerate((*archive.training, archive.test)):
            parts.append(records(len(which.class_names), seed))
            data = change(name, (as_binary if archive.is_binary else as_pickle)(which, *parts[-1]))
            about = tarfile.TarInfo(f"cifar/{name}")
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, replace(archive, sha256=sha256), parts


def with_archive(which, archive):
    return replace(which, archives=tuple(archive if one.file == archive.file else one for one in which.archives))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MNAS_DATA", raising=False)


@pytest.mark.parametrize("which", [CIFAR10, CIFAR100], ids=lambda one: one.name)
@pytest.mark.parametrize("number", [0, 1], ids=["binary", "python"])
def test_both_forms_of_an_archive_are_read(tmp_path, which, number):
    path, archive, parts = make_archive(tmp_path, which, number)
    found = read_archive(which, path, archive)
    for (images, labels), (wanted, of) in zip(found, parts, strict=True):
        assert np.array_equal(images.reshape(COUNT, -1), wanted) and np.array_equal(labels, of)
    dataset = open_cifar(with_archive(which, archive), path)
    assert dataset.name == which.name and dataset.classes == len(which.class_names)
    assert dataset.size("test") == COUNT and int(dataset.indices("test").min()) == len(dataset.labels) - COUNT
    assert sum(dataset.size(split) for split in SPLITS) == COUNT * len(parts)
    path.rename(tmp_path / "cifar.tgz")
    with pytest.raises(DataError, match=r"DAT01.*python\.tar\.gz"):
        open_cifar(with_archive(which, archive), tmp_path / "cifar.tgz")


def test_both_forms_give_one_data_set_and_the_second_opening_unpacks_nothing(tmp_path, monkeypatch):
    found = []
    for number in (0, 1):
        path, archive, _ = make_archive(tmp_path, CIFAR10, number)
        which = with_archive(CIFAR10, archive)
        found.append(open_cifar(which, tmp_path).fingerprint)
        monkeypatch.setattr(tarfile, "open", None)
        assert open_cifar(which, tmp_path).fingerprint == found[-1]
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        path.unlink()
    assert found[0] == found[1]


def test_an_archive_of_another_content_is_refused(tmp_path):
    make_archive(tmp_path, CIFAR10, 0)
    with pytest.raises(DataError, match=r"DAT02.*must be c4a38c50"):
        open_cifar(CIFAR10, tmp_path)


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/owned-by-a-pickle", "w"))


@pytest.mark.parametrize(
    "value",
    [Evil(), {b"data": Evil()}, {b"data": np.array([Evil()])}, {b"labels": np.float64(1)}, np.random.default_rng(0)],
    ids=["call", "inside", "in an array", "scalar", "object"],
)
def test_a_pickle_that_names_code_is_refused_and_runs_nothing(value, monkeypatch):
    def never(*_):
        raise AssertionError("the pickle ran something")

    data = pickle.dumps(value, protocol=4)
    monkeypatch.setattr("builtins.open", never)
    with pytest.raises(DataError, match=r"DAT10.*no code of a data file is run"):
        parse_pickle(data, "labels", 10, "f")


@fuzzed
@given(data=st.data())
def test_damaged_pickles_are_refused_or_read_but_never_raise_anything_else(data):
    whole = bytearray(as_pickle(CIFAR10, *records(10, 0, 2)))
    for place in data.draw(st.lists(st.integers(0, 200), min_size=1, max_size=6)):
        whole[place] = data.draw(st.integers(0, 255))
    try:
        images, labels = parse_pickle(bytes(whole[: data.draw(st.integers(1, len(whole)))]), "labels", 10, "f")
    except DataError as error:
        assert error.code in ("DAT02", "DAT10")
    else:
        assert images.shape == (len(labels), 3, 32, 32)


@fuzzed
@given(data=st.binary(max_size=200), images=st.integers(0, 3), place=st.integers(0, 3074))
def test_binary_files_of_any_content_are_read_or_refused(data, images, place):
    whole = bytearray(3073 * images)
    whole[place : place + len(data)] = data
    try:
        found, labels = parse_binary(bytes(whole), 1, 10, "f")
    except DataError as error:
        assert error.code == "DAT02"
    else:
        assert found.shape == (len(labels), 3, 32, 32) and 0 <= labels.min() <= labels.max() < 10


@given(st.integers(0, 3073 * 2 + 5))
def test_binary_files_of_another_length_are_refused(length):
    data = bytes(length)
    if length and length % 3073 == 0:
        assert len(parse_binary(data, 1, 10, "f")[1]) == length // 3073
    else:
        with pytest.raises(DataError, match="DAT02"):
            parse_binary(data, 1, 10, "f")


def test_labels_out_of_range_are_refused():
    images, labels = records(10, 0)
    labels[3] = 10
    for parse, data in (
        (lambda raw: parse_binary(raw, 1, 10, "f"), as_binary(CIFAR10, images, labels)),
        (lambda raw: parse_pickle(raw, "labels", 10, "f"), as_pickle(CIFAR10, images, labels)),
    ):
        with pytest.raises(DataError, match=r"DAT02.*below 10"):
            parse(data)


@pytest.mark.parametrize("how", ["missing", "cut", "no archive"])
def test_damaged_archives_are_refused(tmp_path, how):
    path, archive, _ = make_archive(tmp_path, CIFAR10, 0)
    if how == "missing":
        archive = replace(archive, test="other.bin")
    else:
        path.write_bytes(path.read_bytes()[:5000] if how == "cut" else b"hello")
    with pytest.raises(DataError, match="DAT02"):
        read_archive(CIFAR10, path, archive)


@contextmanager
def serving(folder, cut=False):
    """Serve a folder's files on this machine; ``cut`` ends each in its middle."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = folder / self.path.strip("/")
            if not path.is_file():
                self.send_error(404)
                return
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_an_archive_is_fetched_once_checked_and_kept(tmp_path):
    (tmp_path / "there").mkdir()
    path, archive, _ = make_archive(tmp_path / "there", CIFAR10, 0)
    which = with_archive(CIFAR10, archive)
    with serving(path.parent) as page:
        first = open_cifar(which, None, page)
        path.unlink()
        assert open_cifar(which, None, page).fingerprint == first.fingerprint
    (tmp_path / "cache" / "mnas" / "datasets" / "cifar10" / archive.file).unlink()
    with serving(path.parent) as page, pytest.raises(DataError, match=r"DAT15.*404.*--data-dir"):
        open_cifar(which, None, page)


def test_what_comes_wrong_or_cut_short_leaves_nothing(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "f").write_bytes(bytes(100_000))
    target = tmp_path / "here" / "f"
    right = hashlib.sha256(bytes(100_000)).hexdigest()
    with serving(tmp_path / "there") as page:
        download(page + "f", target, right)
        assert target.read_bytes() == bytes(100_000)
        target.unlink()
        with pytest.raises(DataError, match=r"DAT15.*must be 000"):
            download(page + "f", target, "0" * 64)
        with pytest.raises(DataError, match=r"DAT15.*more than the 1000 bytes"):
            download(page + "f", target, right, Limits(max_bytes=1000))
    with serving(tmp_path / "there", cut=True) as page, pytest.raises(DataError, match=r"DAT15"):
        download(page + "f", target, right)
    with pytest.raises(DataError, match=r"DAT15.*https"):
        download("file:///etc/passwd", target)
    assert list(target.parent.iterdir()) == []


def idx(values):
    return bytes((0, 0, 8, values.ndim)) + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()


def test_fashion_mnist_comes_from_its_authors_where_there_is_no_package(tmp_path, monkeypatch):
    there = tmp_path / "there"
    there.mkdir()
    rng = np.random.default_rng(0)
    for name in fashion_mnist.FILES_SHA256:
        shape = (60 if name.startswith("train") else 20, 28, 28)[: 3 if "images" in name else 1]
        data = idx(rng.integers(0, 10, shape, dtype=np.uint8))
        (there / name).write_bytes(gzip.compress(data))
        monkeypatch.setitem(fashion_mnist.FILES_SHA256, name, hashlib.sha256(data).hexdigest())
    monkeypatch.setenv("PATH", str(tmp_path))
    with serving(there) as page:
        folder = fashion_mnist.fetch(tmp_path / "got", page)
        assert fashion_mnist.read_fashion_mnist(folder).size("test") == 20
        (there / name).write_bytes(gzip.compress(b"another"))
        with pytest.raises(DataError, match=r"DAT01.*no apt-get here.*SHA-256"):
            fashion_mnist.fetch(tmp_path / "again", page)
    assert not (tmp_path / "again").exists()
