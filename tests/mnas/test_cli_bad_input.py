"""Bad input: a code, an exit status, nothing lost, no traceback."""

import json
import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from latency.on_device import COMPONENTS
from mnas.archstring import to_text
from mnas.cli import main
from mnas.config import make_config
from mnas.named_networks import named_network
from mnas.reading import MOST_BYTES
from mnas.store import FILE_NAME, Store
from search.study import STORE_COMPONENTS, Study, load_result


@pytest.fixture
def out(tmp_path, digits_out):
    """A copy of the folder with the finished table."""
    shutil.copytree(digits_out, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def run(capsys):
    """Run a command; return its exit status and stderr, which holds the message."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return status, captured.err, captured.out

    return run


def rows_of(out):
    """Every row of every table of a store, as texts."""
    with closing(sqlite3.connect(f"file:{out / FILE_NAME}?mode=ro", uri=True)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in names}


def lut_id(out):
    with Store(out / FILE_NAME, COMPONENTS) as store:
        return store.query("SELECT lut_id FROM lut WHERE status = 'ready'")[0][0]


SEARCH = ("search", "--data", "digits", "--training", "small", "--budget", "4", "--workers", "1")
CHANGES_NOTHING = [
    ((*SEARCH, "--data", "cifar"), 6, "DAT04", "fashion, digits"),
    ((*SEARCH, "--data", "imagenet"), 2, "CFG01", "imagenet"),
    ((*SEARCH, "--data", "fashion", "--data-dir", "{out}"), 6, "DAT01", "t10k-images"),
    ((*SEARCH, "--preset", "digit"), 2, "SPC01", "fashion, fashion-wide, digits, cifar10, imagenet"),
    ((*SEARCH, "--space", "darts"), 2, "SPC01", "mobilenetv3"),
    ((*SEARCH, "--algorithm", "annealing"), 2, "CFG09", "nsga2, nsga3"),
    ((*SEARCH, "--target-ms", "-1"), 2, "CFG01", "target_ms"),
    ((*SEARCH, "--target-ms", "inf"), 2, "CFG01", "target_ms"),
    ((*SEARCH, "--budget", "0"), 2, "CFG01", "budget"),
    ((*SEARCH, "--budget", "many"), 2, "CFG01", "30m"),
    (("study", "compare"), 6, "STU01", "mnas study list"),
    (("study", "export"), 6, "STU01", "mnas search"),
    ((*SEARCH, "--config", "{out}/absent.toml"), 2, "CFG02", "absent.toml"),
    ((*SEARCH, "--config", "{out}/bad.toml"), 2, "CFG01", "bugdet"),
    ((*SEARCH, "--resume"), 6, "STU01", "no unfinished study"),
    ((*SEARCH, "--resume", "study9"), 6, "STU01", "study9"),
    (("lut", "build", "--preset", "digit"), 2, "SPC01", "digit"),
    (("lut", "build", "--preset", "digits", "--resolution", "9"), 2, "SPC01", "9"),
    (("lut", "build", "--preset", "digits", "--mode", "exact"), 2, "CFG01", "exact"),
    (("lut", "build", "--preset", "digits", "--device", "host:tpu"), 2, "CFG10", "tpu"),
    (("lut", "build", "--preset", "digits", "--device", "host:ort,thread=1"), 2, "CFG10", "thread=1"),
    (("lut", "build", "--preset", "digits", "--device", "adb:1234/litert"), 4, "ADB09", "--adb"),
    (("lut", "show", "lut99"), 6, "LUT01", "lut99"),
    (("lut", "validate", "lut99"), 6, "LUT01", "lut99"),
    (("study", "show"), 6, "STU01", "mnas search"),
    (("report", "study9"), 6, "STU01", "study9"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "code", "hint"), CHANGES_NOTHING, ids=lambda value: value if type(value) is str else ""
)
def test_bad_input_is_told_and_changes_nothing(out, run, arguments, status, code, hint):
    (out / "bad.toml").write_text("bugdet = 5\n")
    with Store(out / FILE_NAME, STORE_COMPONENTS):
        before = rows_of(out)
    found, message, result = run(*(argument.format(out=out) for argument in arguments), "--out", out)
    assert (found, result) == (status, "")
    assert f"mnas: {code}: " in message and hint in message
    assert rows_of(out) == before


@pytest.mark.parametrize(
    ("arguments", "code", "status", "hint"),
    [
        (("--lut", "lut99"), "LUT01", 6, "lut99"),
        (("--lut", "{lut}", "--device", "host:litert"), "LUT03", 6, "runtime: table 'onnxruntime', device 'litert'"),
        (("--lut", "{lut}", "--device", "host:ort,threads=2"), "LUT03", 6, "threads: table 1, device 2"),
        (("--lut", "{lut}", "--preset", "fashion"), "LUT02", 6, "covers mobilenetv3/digits"),
        (("--lut", "{lut}", "--target-ms", "0.0001"), "CFG05", 2, "0.0001 ms"),
        (("--lut", "{lut}", "--device", "host:tpu"), "CFG10", 2, "tpu"),
    ],
)
def test_what_shows_only_once_the_study_runs_loses_nothing(out, run, arguments, code, status, hint):
    lut = lut_id(out)
    before = rows_of(out)
    found, message, result = run(*SEARCH, *(argument.format(lut=lut) for argument in arguments), "--out", out)
    assert (found, result) == (status, "")
    assert f"mnas: {code}: " in message and hint in message
    after = rows_of(out)
    assert all(set(rows) <= set(after[name]) for name, rows in before.items())
    # What was refused is not what --resume goes on with.
    status, message, _ = run(*SEARCH, "--resume", "--out", out)
    assert (status, "mnas: STU01: " in message) == (6, True)


def test_a_target_that_no_network_meets_is_answered_with_the_least_latency(out, run):
    _, message, _ = run(*SEARCH, "--lut", lut_id(out), "--target-ms", "0.0001", "--out", out)
    least = float(message.partition("ask for at least ")[2].split(" ms")[0])
    assert least > 0.0001
    assert f"takes {least:.4g} ms on host:ort" in message


def test_resuming_with_another_key_is_refused(out, run):
    config = make_config({"data": "digits", "preset": "digits", "seed": 1, "lut": lut_id(out)})
    with Store(out / FILE_NAME, STORE_COMPONENTS) as store:
        study = Study.create(store, config)
    before = rows_of(out)
    status, message, _ = run("search", "--resume", "--seed", "2", "--out", out)
    assert (status, "mnas: CFG03: " in message) == (2, True)
    assert "seed: study 1, now 2" in message
    assert run("search", "--resume", study.study_id[:7], "--data", "fashion", "--out", out)[0] == 2
    assert rows_of(out) == before
    with Store(out / FILE_NAME, STORE_COMPONENTS) as store:
        assert load_result(store, "").status == "running"


READING = [("lut", "show"), ("study", "list"), ("study", "show"), ("report",), (*SEARCH, "--resume")]


@pytest.mark.parametrize("arguments", [*READING, SEARCH, ("lut", "build", "--preset", "digits")], ids=" ".join)
def test_a_store_that_cannot_be_used_is_told_and_stays_as_it_is(tmp_path, run, arguments):
    path = tmp_path / FILE_NAME
    with Store(path, STORE_COMPONENTS) as store:
        store.execute("UPDATE schema_versions SET version = 99")
    newer = path.read_bytes()
    for content, code in ((newer, "STO03"), (b"no database " * 400, "STO01"), (newer[:5000], "STO01")):
        path.write_bytes(content)
        status, message, result = run(*arguments, "--out", tmp_path)
        assert (status, result) == (6, "")
        assert f"mnas: {code}: " in message and str(path) in message
        assert code == "STO03" or path.read_bytes() == content


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_reading_makes_no_store(tmp_path, run, arguments):
    status, message, _ = run(*arguments, "--out", tmp_path / "new")
    assert (status, "mnas: STO06: " in message) == (6, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("lut", "build", "--nonsense"),
        ("lut", "build", "--rounds", "2"),
        ("lut", "build", "--rounds", "many"),
        ("lut", "validate"),
        ("lut", "show", "--format", "xml"),
        ("search", "--population", "many"),
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_none_is_told(tmp_path, monkeypatch, run, arguments):
    monkeypatch.setenv("MNAS_OUT", str(tmp_path / "out"))
    status, message, result = run(*arguments)
    assert (status, result) == (2, "")
    assert "Usage: mnas" in message
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback_and_nothing_else_does(tmp_path, run):
    from mnas.errors import StoreError

    with pytest.raises(StoreError, match="STO06"):
        main(["lut", "show", "--out", str(tmp_path / "new"), "--debug"])
    assert run("lut", "show", "--out", tmp_path / "new")[0] == 6


NETWORK = named_network("mobilenetv3-small", 32, 10)
SOUND = json.dumps(NETWORK.to_json())
TOO_WIDE = "input 3x8x8 classes 10\nstem: conv k3 o1000000 | conv k3 o{}\nhead: pool o{} | linear o10"
NO_NETWORKS = [
    ("absent.json", None, "ARC04"),
    ("absent.arch", None, "ARC04"),
    ("pipe.json", None, "ARC04"),
    ("pipe.arch", None, "ARC04"),
    ("text.json", b"no json", "ARC04"),
    ("binary.json", b"\xff\xfe{}", "ARC04"),
    ("deep.json", b"[" * 10**5, "ARC04"),
    ("large.json", b" " * (MOST_BYTES + 1), "ARC04"),
    ("other.json", b'{"schema": "mnas.front/1"}', "ARC01"),
    ("thrice.json", (SOUND[:-1] + ', "classes": 10, "classes": 11}').encode(), "ARC01"),
    ("misfit.json", SOUND.replace('"out_channels": 24', '"out_channels": 25', 1).encode(), "ARC02"),
    ("wide.arch", TOO_WIDE.format(1_000_000, 1_000_000).encode(), "ARC06"),
    ("CAPITALS.JSON", b"{}", "ARC01"),
    ("CAPITALS.ARCH", b"input", "ARC05"),
]
READERS = {
    "arch": ("arch", "show", "{}"),
    "export": ("export", "{}", "--out", "{out}"),
    "weights": ("export", "{weights}", "--architecture", "{}", "--out", "{out}"),
    "bench": ("bench", "{}", "--out", "{out}"),
    "train": ("train", "{}", "--data", "digits", "--out", "{out}"),
}


def command_of(reader, place, folder):
    (folder / "weights.pt").write_bytes(b"")
    return [one.format(place, out=folder / "out", weights=folder / "weights.pt") for one in READERS[reader]]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "content", "code"), NO_NETWORKS, ids=lambda value: value if type(value) is str else ""
)
def test_an_architecture_that_is_none_is_told_the_same_by_all(tmp_path, run, reader, name, content, code):
    place = tmp_path / name
    if content is not None:
        place.write_bytes(content)
    elif name.startswith("pipe"):
        os.mkfifo(place)
    status, message, result = run(*command_of(reader, place, tmp_path))
    assert (status, f"{code}: " in message + result) == (2, True), message
    assert not list(tmp_path.glob("out/**/*.onnx"))


@pytest.mark.parametrize("reader", ["export", "weights", "bench", "train"])
def test_what_can_be_described_and_not_be_held_is_refused_before_memory_is(tmp_path, run, reader):
    place = tmp_path / "wide.arch"
    place.write_text(TOO_WIDE.format(1000, 1000))
    assert run("arch", "show", place)[0] == 0
    status, message, result = run(*command_of(reader, place, tmp_path))
    assert (status, "ARC06: " in message + result) == (2, True), message


@pytest.mark.parametrize("reader", ["arch", "export", "bench"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("marked.json", SOUND.encode("utf-8-sig")),
        ("CAPITALS.JSON", SOUND.encode()),
        ("network.arch", to_text(NETWORK).encode()),
        ("network.TXT", to_text(NETWORK).encode("utf-8-sig")),
    ],
    ids=lambda value: value if type(value) is str else "",
)
def test_an_architecture_that_one_command_reads_all_read(tmp_path, run, reader, name, content):
    (tmp_path / name).write_bytes(content)
    options = ("--rounds", "3") if reader == "bench" else ("--to", "onnx") if reader == "export" else ()
    status, message, _ = run(*command_of(reader, tmp_path / name, tmp_path), *options)
    assert status == 0, message


def test_a_network_that_nothing_could_hold_leaves_the_others_in_a_bench(tmp_path, run):
    (tmp_path / "good.json").write_text(SOUND)
    (tmp_path / "wide.arch").write_text(TOO_WIDE.format(1000, 1000))
    status, message, result = run(
        *("bench", tmp_path / "good.json", tmp_path / "wide.arch", "--rounds", "3", "--format", "json"),
        *("--out", tmp_path / "out"),
    )
    assert status == 2, message
    good, wide = json.loads(result)["models"]
    assert good["problem"] is None and good["measurement"]["latency_ms"] > 0
    assert wide["problem"]["code"] == "ARC06"


def test_a_network_of_no_known_name_is_told(run):
    status, message, _ = run("arch", "show", "mobilenetv7")
    assert (status, "mnas: ARC03: " in message) == (2, True)
