"""``mnas lut``: what show, validate and build tell of a table, and how they refuse."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from latency.coverage import covered_space
from latency.on_device import COMPONENTS
from latency.table import load_table
from mnas.cli import main
from mnas.cli.output import ConsoleReporter, span
from mnas.store import FILE_NAME, Store

BUILD = "lut build --preset digits --mode fast --rounds 3 --calibration 4 --validation 4".split()


@pytest.fixture
def out(digits_out, tmp_path):
    """A copy of a folder with a finished table, to be written to."""
    return shutil.copytree(digits_out, tmp_path / "out")


def change(out, statement, *parameters):
    with Store(out / FILE_NAME, COMPONENTS) as store:
        store.execute(statement, parameters)


def shown(capsys, *arguments, status=0):
    assert main(list(map(str, arguments))) == status
    return capsys.readouterr()


def test_show_tells_coverage_error_and_verdicts(digits_out, capsys):
    text = shown(capsys, "lut", "show", "lut1", "--out", digits_out).out
    document = json.loads(shown(capsys, "lut", "show", "lut1", "--out", digits_out, "--format", "json").out)
    assert "coverage: 204 of the 204 segments that mobilenetv3/digits reaches (100 %)" in text
    assert document["coverage"]["reached"] == document["coverage"]["present"] == 204
    assert document["coverage"]["missing"] == [] and len(document["coverage"]["stages"]) == 12
    assert sum(document["verdicts"].values()) == 204
    assert document["is_validated"] and document["consistency"] is None
    errors = document["validation"]["table"]
    assert f"MAPE {errors['mape']:.2%}" in text and "UNVALIDATED" not in text
    fitted, held_out = document["validation"]["fitted"], document["validation"]["networks"]
    assert text.count(f"on {held_out} other networks, before it was fitted on all {fitted + held_out}") == 2
    assert f"95 % intervals hold {document['validation']['covered']:.0%} of the {held_out} measurements" in text


def test_a_table_that_lacks_entries_says_where(out, capsys):
    change(out, "DELETE FROM lut_entry WHERE json_extract(segment_json, '$.in_shape_chw[1]') = 16 AND "
                "json_extract(segment_json, '$.role') = 'block'")  # fmt: skip
    text = shown(capsys, "lut", "show", "lut1", "--out", out).out
    document = json.loads(shown(capsys, "lut", "show", "lut1", "--out", out, "--format", "json").out)
    coverage = document["coverage"]
    assert coverage["present"] == 204 - len(coverage["missing"]) < 204
    (lacking,) = [one for one in coverage["stages"] if one["present"] < one["reached"]]
    assert (lacking["stage"], lacking["resolution_px"]) == ("stage0", 16)
    assert f"stage0 at 16 px: {lacking['present']} of {lacking['reached']}" in text and "stage0 at 8 px" not in text


def test_a_table_without_validation_is_marked_wherever_it_is_shown(out, capsys):
    assert "MAPE" in shown(capsys, "lut", "show", "--out", out).out
    change(out, "UPDATE lut SET validation_json = NULL")
    assert "UNVALIDATED" in shown(capsys, "lut", "show", "--out", out).out
    for name in ("table", "md"):
        text = shown(capsys, "lut", "show", "lut1", "--out", out, "--format", name).out
        assert text.count("UNVALIDATED: do not rely on it") == 2, "in the title and below"
    built = shown(capsys, *BUILD, "--out", out)
    assert "UNVALIDATED: do not rely on it" in built.out
    document = json.loads(shown(capsys, "lut", "show", "lut1", "--out", out, "--format", "json").out)
    assert document["is_validated"] is False and document["validation"] is None
    shown(capsys, "lut", "show", "lut1", "--out", out, "--html", out / "page.html")
    assert "UNVALIDATED" in (out / "page.html").read_text(encoding="utf-8").partition("<main>")[0]


NARROW = "UPDATE lut_network SET low_ms = 0.999 * measured_ms, high_ms = 1.001 * measured_ms"
CV_ERROR = "UPDATE lut SET calibration_json = json_set(calibration_json, '$.cv_error', ?)"


def test_whether_sums_hold_is_told_wherever_a_table_is_shown(out, capsys):
    change(out, NARROW)
    for error, verdict in ((0.001, "additive"), (0.3, "not additive")):
        change(out, CV_ERROR, error)
        text = shown(capsys, "lut", "show", "lut1", "--out", out).out
        document = json.loads(shown(capsys, "lut", "show", "lut1", "--out", out, "--format", "json").out)
        assert document["additivity"]["verdict"] == verdict
        assert f"\n{verdict} here" in text and ("latency=measured" in text) == (verdict == "not additive")
        shown(capsys, "lut", "show", "lut1", "--out", out, "--html", out / "page.html")
        head, _, body = (out / "page.html").read_text(encoding="utf-8").partition("<main>")
        assert f"whole networks? {verdict} here" in body and ("Not additive here" in head) == (verdict != "additive")
    built = shown(capsys, *BUILD, "--out", out).out
    assert "not additive here" in built, "a table that is there is judged like one that is shown"


def test_a_tables_page_is_written_by_build_and_by_show(digits_out, tmp_path, capsys):
    (page,) = (digits_out / "reports").glob("lut1-*.html")
    assert page.read_text(encoding="utf-8").count('class="fig heat"') == 3, "one heat map a resolution"
    own = tmp_path / "new" / "table.html"
    assert shown(capsys, "lut", "show", "lut1", "--out", digits_out, "--html", own).out == f"{own}\n"
    assert own.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    assert "CFG07" in shown(capsys, "lut", "show", "lut1", "--out", digits_out, "--html", tmp_path, status=2).err
    assert "name the table" in shown(capsys, "lut", "show", "--out", digits_out, "--html", own, status=2).err


def test_showing_a_table_imports_nothing_heavy(digits_out, out):
    heavy = ("torch", "scipy", "matplotlib", "sklearn", "pymoo", "onnx", "onnxruntime", "jinja2")
    code = (
        "import sys\nfrom mnas.cli import main\nstatus = main(sys.argv[1:])\n"
        f"print('HEAVY', status, *sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"
    )
    change(out, CV_ERROR, 0.3)
    change(out, NARROW)
    for folder in (digits_out, out):  # one that is additive as far as noise allows, and one that is not
        command = [sys.executable, "-c", code, "lut", "show", "lut1", "--out", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "HEAVY 0"


def test_validate_exits_3_once_the_device_has_drifted_and_says_how_to_go_on(out, capsys):
    arguments = ["lut", "validate", "lut1", "--networks", "3", "--out", out, "--format", "json"]
    document = json.loads(shown(capsys, *arguments, "--max-drift", "10000").out)
    assert document["drift"]["verdict"] == "ok" and len(document["drift"]["networks"]) == 4
    assert set(document["drift"]["references"]) == {
        "pointwise",
        "depthwise",
        "dense",
        "mobilenetv2",
        "mobilenetv3-large",
        "mobilenetv3-small",
    }
    assert 0 <= document["intervals"]["covered"] <= 1 and len(document["intervals"]["networks"]) == 3
    change(out, "UPDATE lut_network SET measured_ms = 3 * measured_ms, low_ms = 3 * low_ms, high_ms = 3 * high_ms")
    drifted = shown(capsys, *arguments, status=3)
    assert json.loads(drifted.out)["drift"]["off"] == pytest.approx(2 / 3, abs=0.2)
    assert "Build it anew: mnas lut build --anew --space mobilenetv3 --preset digits --device host:ort" in drifted.err


def test_a_plan_says_what_its_minutes_rest_on(digits_out, tmp_path, capsys):
    def told(*arguments):
        return json.loads(shown(capsys, *BUILD, "--plan", "--format", "json", *arguments).out)["lut"]

    assert "has shown nothing yet" in told("--out", tmp_path / "none")["minutes_by"]
    assert not (tmp_path / "none").exists()
    with Store(digits_out / FILE_NAME, COMPONENTS) as store:
        visits = store.query("SELECT count(*) FROM lut_visit WHERE json_extract(record_json, '$.ref') IS NULL")[0][0]
    assert told("--out", digits_out)["minutes_by"] == f"{visits} visits that this device made for mobilenetv3/digits"
    assert "has shown nothing yet" in told("--out", digits_out, "--device", "host:litert")["minutes_by"]
    phone = told("--out", digits_out, "--device", "adb:SERIAL/tflite")
    assert "estimate for a phone" in phone["minutes_by"]
    assert phone["estimated_minutes"] > 3 * told("--out", tmp_path / "none")["estimated_minutes"]
    two = told("--out", digits_out, "--device", "host:ort", "--device", "host:ort,delegate=cpu")
    assert two["estimated_minutes"] <= told("--out", digits_out)["estimated_minutes"]


def test_devices_that_cannot_share_are_refused(tmp_path, capsys):
    two = ["--device", "host:ort", "--device"]
    assert "LUT03" in (said := shown(capsys, *BUILD, *two, "host:litert", "--out", tmp_path, status=6).err)
    assert "runtime: 'onnxruntime' and 'litert'" in said and "goes on with it" not in said
    assert "CFG10" in shown(capsys, *BUILD, *two, "host:ort,threads=1", "--out", tmp_path, status=2).err
    assert "latency tables" in shown(capsys, "lut", "show", "--out", tmp_path).out


@pytest.mark.slow
def test_two_devices_build_one_table(tmp_path, capsys, monkeypatch):
    # Both are this machine, where other tests run meanwhile: how far they are apart says nothing here.
    monkeypatch.setattr("latency.consistency.REFUSE_FRACTION", 10.0)
    monkeypatch.setattr("latency.consistency.REFUSE_SPREAD", 10.0)
    options = ["--resolution", "8", "--device", "host:ort", "--device", "host:ort,delegate=cpu", "--out", tmp_path]
    built = shown(capsys, *BUILD, *options, "--format", "json")
    assert "several of these devices are this machine" in built.err
    consistency = json.loads(built.out)["consistency"]
    assert [one["device_id"] for one in consistency["devices"]] == ["host:ort", "host:ort,delegate=cpu"]
    assert all(one["probes"] >= 8 and one["ratio"] > 0 and one["visits"] > 24 for one in consistency["devices"])
    assert "devices: " in shown(capsys, "lut", "show", "lut1", "--out", tmp_path).out
    assert "host:ort,delegate=cpu" in next((tmp_path / "reports").iterdir()).read_text(encoding="utf-8")
    with Store(tmp_path / FILE_NAME, COMPONENTS) as store:
        table = load_table(store, "lut1")
    assert set(table.entries) == set(covered_space(table).segments())


def test_a_table_that_another_process_builds_is_refused(out, capsys):
    change(out, "UPDATE lut SET status = 'building'")
    change(out, "INSERT INTO lut_builder SELECT identity, 'elsewhere:77:5', ? FROM lut", time.time())
    refused = shown(capsys, *BUILD, "--out", out, status=6).err
    assert "LUT20" in refused and "elsewhere:77:5" in refused and "goes on with it" not in refused
    assert "building (process 77)" in shown(capsys, "lut", "show", "--out", out).out


def test_a_store_that_takes_no_more_is_told_with_what_is_kept(tmp_path, capsys, monkeypatch):
    opened = Store.transaction

    def full(self):
        if self.query("SELECT count(*) FROM sqlite_master WHERE name = 'lut_visit'")[0][0]:
            self.query("PRAGMA max_page_count = 80")
        return opened(self)

    monkeypatch.setattr(Store, "transaction", full)
    said = shown(capsys, *BUILD, "--out", tmp_path, status=6).err
    assert "STO05" in said and "full" in said
    assert "what was measured is kept: the same command goes on with it" in said


def test_progress_leaves_out_of_the_rate_what_an_earlier_sitting_did(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mnas.cli.output.time.monotonic", lambda: now[0])
    reporter = ConsoleReporter()
    for done in range(501, 1001):  # one a second, 500 were there
        now[0] += 1.0
        reporter.progress("measuring", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("measuring: 501/1000, 50 %")
    (later,) = [line for line in lines if "600/1000" in line or "601/1000" in line]
    assert later.endswith(("60 %, about 7 min left", "60 %, about 400 s left"))
    assert lines[-1].endswith("measuring: 1000/1000")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99.4, "99 s"), (100, "2 min"), (5990, "100 min"), (7200, "2.0 h")]
)
def test_spans_are_told_in_fitting_units(seconds, text):
    assert span(seconds) == text
