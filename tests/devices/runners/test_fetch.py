"""Downloads from a server on this machine: whole and checked, or nothing."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from runner_programs import TEXT, elf_bytes

from devices.runners.download import download
from devices.runners.fetch import fetch_runner
from devices.runners.library import RunnerLibrary
from devices.runners.published import published_url
from mnas.download import Limits
from mnas.errors import ConfigError, DeviceError

PROGRAM = elf_bytes(text=TEXT["litert"] + b"x" * 300_000)
OTHER = elf_bytes(text=TEXT["litert"] + b"y" * 300_000)
ABI = "arm64-v8a"


class Server(BaseHTTPRequestHandler):
    """Answers each path as its name says."""

    pages: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "whole"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if name in ("404", "500"):
            self.send_error(int(name))
            return
        data = self.pages[self.path]
        self.send_response(200)
        if name == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.close_connection = True
            return
        if name != "unsized":
            self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if name == "silent":
            self.server.release.wait(30)
        self.wfile.write(data[: len(data) // 2] if name in ("cut", "silent") else data)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    names = ("whole", "cut", "chunks", "unsized", "silent")
    Server.pages = {f"/{folder}/{name}": PROGRAM for name in names for folder in ("v1", "latest")}
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as made:
        made.release = threading.Event()
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.release.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def library(tmp_path):
    return RunnerLibrary(tmp_path / "runners")


def code_of(call, *arguments, **options):
    with pytest.raises((DeviceError, ConfigError)) as caught:
        call(*arguments, **options)
    return caught.value.code


def is_empty(library):
    return library.list() == [] and not [path for path in library.folder.rglob("*") if path.is_file()]


def test_a_fetched_runner_is_in_the_library(server, library):
    seen, said = [], []
    url = f"{server}/v1/whole"
    runner = fetch_runner(
        library, "litert", ABI, url=url, progress=lambda done, total: seen.append((done, total)), say=said.append
    )
    assert library.find("litert", (ABI,)) == runner
    assert runner.path.read_bytes() == PROGRAM
    assert (runner.source, runner.path.name) == (url, "benchmark_model")
    assert seen[-1] == (len(PROGRAM), len(PROGRAM))
    assert "trusted on first use" in said[0]


def test_redirections_and_servers_that_tell_no_size(server, library):
    assert fetch_runner(library, "litert", ABI, url=f"{server}/v1/moved").path.read_bytes() == PROGRAM
    assert fetch_runner(library, "litert", ABI, url=f"{server}/v1/unsized").path.read_bytes() == PROGRAM


def test_a_checksum_that_is_given_must_hold(server, library):
    url, said = f"{server}/v1/whole", []
    assert code_of(fetch_runner, library, "litert", ABI, url=url, sha256="0" * 64) == "RNR21"
    assert is_empty(library)
    right = hashlib.sha256(PROGRAM).hexdigest().upper()
    fetch_runner(library, "litert", ABI, url=url, sha256=right, say=said.append)
    assert "as given" in said[0]
    assert code_of(fetch_runner, library, "litert", ABI, url=url, sha256="abc") == "RNR20"


def test_what_was_trusted_once_must_stay_the_same(server, library):
    url, said = f"{server}/v1/whole", []
    fetch_runner(library, "litert", ABI, url=url)
    fetch_runner(library, "litert", ABI, url=url, say=said.append)
    assert "the same as on" in said[0]
    Server.pages["/v1/whole"] = OTHER
    assert code_of(fetch_runner, library, "litert", ABI, url=url) == "RNR21"
    assert len(library.list()) == 1
    fetch_runner(library, "litert", ABI, url=url, sha256=hashlib.sha256(OTHER).hexdigest())
    assert library.pin_of(url).sha256 == hashlib.sha256(OTHER).hexdigest()


def test_latest_may_change_and_says_so(server, library):
    url, said = f"{server}/latest/whole", []
    fetch_runner(library, "litert", ABI, url=url)
    Server.pages["/latest/whole"] = OTHER
    runner = fetch_runner(library, "litert", ABI, url=url, say=said.append)
    assert "a newer build" in said[0]
    assert library.find("litert", (ABI,)) == runner
    assert len(library.list()) == 2


@pytest.mark.parametrize("name", ["404", "500", "cut", "chunks"])
def test_what_does_not_come_whole_leaves_nothing(server, library, tmp_path, name):
    url = f"{server}/v1/{name}"
    assert code_of(fetch_runner, library, "litert", ABI, url=url) == "RNR19"
    assert is_empty(library)
    assert code_of(download, url, tmp_path / "target") == "RNR19"
    assert list(tmp_path.glob("target*")) == []


def test_bounds_of_size_and_time(server, tmp_path):
    target = tmp_path / "target"
    assert code_of(download, f"{server}/v1/whole", target, Limits(max_bytes=1000)) == "RNR19"
    assert code_of(download, f"{server}/v1/unsized", target, Limits(max_bytes=1000)) == "RNR19"
    assert code_of(download, f"{server}/v1/silent", target, Limits(timeout_s=0.2)) == "RNR19"
    assert code_of(download, f"{server}/v1/whole", target, Limits(deadline_s=0)) == "RNR19"
    assert list(tmp_path.glob("target*")) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "nothing", "http://127.0.0.1:1/x", "http://["])
def test_addresses_that_lead_nowhere(library, url, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert code_of(fetch_runner, library, "litert", ABI, url=url) == "RNR19"
    assert is_empty(library)


@pytest.mark.parametrize(
    ("content", "name", "abi", "code"),
    [
        (b"<html>moved</html>", "litert", ABI, "RNR03"),
        (PROGRAM, "litert", "x86_64", "RNR05"),
        (PROGRAM, "tflite", ABI, "RNR08"),
        (elf_bytes(needed=("libfoo.so",)), "tflite", ABI, "RNR07"),
    ],
)
def test_what_is_not_that_runner_is_not_kept(server, library, content, name, abi, code):
    Server.pages["/v1/whole"] = content
    assert code_of(fetch_runner, library, name, abi, url=f"{server}/v1/whole") == code
    assert is_empty(library)
    assert library.pin_of(f"{server}/v1/whole") is None


def test_the_documented_addresses():
    assert published_url("litert", ABI, "v2.1.0").endswith("/litert/binaries/v2.1.0/android_arm64/benchmark_model")
    assert published_url("tflite", "armeabi-v7a").endswith("/nightly/latest/android_arm_benchmark_model")
    for asked in (("ortperf", ABI), ("litert", "armeabi-v7a"), ("tflite", ABI, "2.19")):
        assert code_of(published_url, *asked) == "RNR14"
