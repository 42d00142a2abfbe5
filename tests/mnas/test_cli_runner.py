"""`mnas runner`: what it adds, fetches and lists."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from runner_programs import TEXT, elf_bytes
from typer.testing import CliRunner

from devices.runners.library import RunnerLibrary
from mnas.cli.runner import app
from mnas.errors import MnasError

PROGRAM = elf_bytes(text=TEXT["litert"])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MNAS_RUNNERS", str(tmp_path / "runners"))
    return tmp_path / "runners"


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "benchmark_model"
    path.write_bytes(elf_bytes())
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_add_says_what_it_added_and_what_comes_next(program):
    result = run("add", program, "--format", "json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    (runner,) = document["runners"]
    assert document["schema_version"] == 1
    assert (runner["name"], runner["abi"], runner["system"]) == ("tflite", "arm64-v8a", "Android")
    assert runner["sha256"] == hashlib.sha256(program.read_bytes()).hexdigest()
    assert "adb:SERIAL/tflite" in result.stderr
    assert run("add", program, "-q").stderr == ""


def test_list_in_every_format(program):
    run("add", program)
    (line,) = run("list", "--format", "jsonl").stdout.splitlines()
    (row,) = csv.DictReader(io.StringIO(run("list", "--format", "csv").stdout))
    assert row["sha256"] == json.loads(line)["sha256"]
    assert list(row) == list(json.loads(line))
    assert json.loads(line)["delegates"] == "xnnpack none gpu nnapi external:PATH"
    for text in (run("list").stdout, run("list", "--format", "md").stdout):
        assert json.loads(line)["sha256"][:12] in text
        assert "tflite" in text


def test_an_empty_list_says_what_to_do():
    result = run("list", "--format", "json")
    assert json.loads(result.stdout)["runners"] == []
    assert "mnas runner fetch" in result.stderr


def test_list_tells_of_files_that_were_changed(program):
    run("add", program)
    (runner,) = RunnerLibrary().list()
    runner.path.write_bytes(b"other")
    result = run("list", "--format", "json")
    assert json.loads(result.stdout)["runners"][0]["state"] == "changed"
    assert "RNR09" in result.stderr
    runner.path.unlink()
    assert json.loads(run("list", "--format", "json").stdout)["runners"][0]["state"] == "missing"


def test_libraries_may_be_repeated(tmp_path):
    for name in ("liba.so", "libb.so"):
        (tmp_path / name).write_bytes(elf_bytes(interpreter="", text=name.encode()))
    program = tmp_path / "perf"
    program.write_bytes(elf_bytes(text=TEXT["ortperf"], needed=("liba.so", "libb.so")))
    result = run(
        "add", program, "--library", tmp_path / "liba.so", "--library", tmp_path / "libb.so", "--format", "json"
    )
    assert json.loads(result.stdout)["runners"][0]["libraries"] == "liba.so libb.so"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "/none"), "RNR01"),
        (("add", __file__), "RNR03"),
        (("fetch", "ortperf"), "RNR14"),
        (("fetch", "ncnn"), "RNR13"),
        (("fetch", "litert", "--sha256", "12"), "RNR20"),
        (("fetch", "litert", "--url", "file:///etc/passwd"), "RNR19"),
    ],
)
def test_errors_have_a_code(arguments, code):
    error = run(*arguments).exception
    assert isinstance(error, MnasError)
    assert error.code == code


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PROGRAM)))
        self.end_headers()
        self.wfile.write(PROGRAM)

    def log_message(self, *_):
        pass


def test_fetch_says_how_far_it_trusts(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/benchmark_model"
        result = run("fetch", "litert", "--url", url, "--format", "json")
        server.shutdown()
        thread.join()
    assert result.exit_code == 0
    assert json.loads(result.stdout)["runners"][0]["source"] == url
    assert "trusted on first use" in result.stderr
    assert len(RunnerLibrary().list()) == 1
