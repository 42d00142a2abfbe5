"""`mnas runs`: tables that can be read, documents that hold everything, and warnings where numbers do not compare."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.comparison import compare_runs, ratio_of
from devices.harness import Harness, ProtocolSettings, summarise
from devices.measurement import Measurement
from devices.models.description import ModelDescription
from devices.run import BenchedModel, BenchRun, GateResult, Problem, RawRuns, Relative
from devices.runs import RUNS, RunRecorder, load_run
from devices.testing import SimulatedDevice, simulated_artifact
from mnas.cli import main
from mnas.cli.bench_report import bench_page
from mnas.cli.number_format import percent, significant, with_half_width, with_interval
from mnas.cli.output import Format, render
from mnas.cli.run_comparison import comparison_result
from mnas.cli.run_view import run_result
from mnas.store import FILE_NAME, Store

REFERENCES = {f"ref{i}": simulated_artifact(f"ref{i}", 400_000 + 300_000 * i) for i in range(3)}
NOMINALS = {name: SimulatedDevice.true_ms(artifact) for name, artifact in REFERENCES.items()}
SHAS = {name: artifact.sha256 for name, artifact in REFERENCES.items()}
SIZES = {"mobilenetv3-large": 7_300_000, "tiny.onnx": 2_000, "broken.onnx": 1_000_000}
SETTINGS = ProtocolSettings(rounds=6)


def artifacts(changed=""):
    """The models; the content of the tiny one depends on the text."""
    return {name: simulated_artifact(name + (changed if "tiny" in name else ""), size) for name, size in SIZES.items()}


def store_run(store, *, seed=0, models=None, wanted=6, finish=True, **changes):
    """Record a session of a simulated device as a run, and return its id."""
    models = models or artifacts()
    broken = [models["broken.onnx"].sha256] if "broken.onnx" in models else []
    device = SimulatedDevice(seed=seed, failing=broken)
    harness = Harness(device, REFERENCES, NOMINALS, SETTINGS, rng=np.random.default_rng(seed), clock=device.clock)
    recorder = RunRecorder.begin(store, device.info, {"models": list(models)}, {"mnas": "0.1.0"})
    recorder.measuring(SHAS, NOMINALS, SETTINGS, device.conditions())
    plain = [
        BenchedModel(name, "model", name, sha256=artifact.sha256, size_bytes=artifact.size_bytes)
        for name, artifact in models.items()
    ]
    recorder.models(plain)
    records = []
    for _, one_round in itertools.groupby(harness.visits(models.values(), wanted), key=lambda r: r.round):
        done = list(one_round)
        recorder.append_round(done)
        records += done
    if not finish:
        recorder.fail("interrupted", "interrupted from the keyboard")
        return recorder.run_id
    session = summarise(records, SHAS, NOMINALS, SETTINGS, device_key=device.info.device_key)
    run = BenchRun(
        run_id=recorder.run_id,
        status="done",
        started_at_utc="2026-01-02T03:04:05+00:00",
        finished_at_utc="2026-01-02T03:05:05+00:00",
        device=device.info,
        request={"models": list(models)},
        versions={"mnas": "0.1.0", "numpy": "2.0"},
        stopping={"rounds": 6, "why": "every interval is narrow enough"},
        timing={"wall_s": 2.0, "runs_s": 1.8, "overhead_fraction": 0.1},
        session=session.describe(),
        models=tuple(benched(model, session) for model in plain),
        gates=(
            GateResult("max-latency-ms", 12.0, "mobilenetv3-large", 7.4, 7.39, 7.41, "pass", "7.4 ms is below 12 ms"),
        ),
    )
    recorder.finish(replace(run, **changes))
    return recorder.run_id


def benched(model, session):
    measurement = session.measurements[model.sha256]
    made = replace(
        model,
        measurement=measurement,
        raw=RawRuns.of(measurement.samples_ms),
        description=ModelDescription((), (), {"Conv": 3}, 217_000_000 if "mobile" in model.label else None, 5),
        load_ms=12.3456,
        peak_memory_bytes=34_500_000,
    )
    if measurement.latency_ms is None:
        return replace(made, problem=Problem("MEA05", "MEA05: no number: it failed", 4))
    return replace(made, relative=Relative("mobilenetv3-large", 2.4812, 2.46, 2.5)) if "tiny" in model.label else made


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """An output folder with a finished run, one of a changed file, and one that was interrupted."""
    folder = tmp_path_factory.mktemp("out")
    with Store(folder / FILE_NAME, (RUNS,)) as store:
        store_run(store)
        store_run(store, seed=1, models=artifacts("new"))
        store_run(store, seed=2, finish=False, wanted=4)
    return folder


def run_of(out, run_id="run1"):
    with Store(out / FILE_NAME, (RUNS,)) as store:
        return load_run(store, run_id)


def output(capsys, *arguments):
    assert main(["runs", *arguments]) == 0
    return capsys.readouterr().out


def strict_json(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_list_is_newest_first_and_says_how_each_run_ended(out, capsys):
    rows = [strict_json(line) for line in output(capsys, "list", "--out", str(out), "--format", "jsonl").splitlines()]
    assert [row["run_id"].partition("-")[0] for row in rows] == ["run3", "run2", "run1"]
    assert [row["status"] for row in rows] == ["interrupted", "done", "done"]
    assert [row["verdict"] for row in rows] == ["", "ok", "ok"]
    assert rows[2]["latency_ms"] == pytest.approx(7.4, rel=0.01)
    assert rows[2]["models"] == "; ".join(SIZES)
    table = output(capsys, "list", "--out", str(out))
    assert re.search(r"run1-\w{6} +2026-01-02 03:04 +simulated .*done \(simulated\) +ok +7\.\d{3}\n", table)
    document = strict_json(output(capsys, "list", "--out", str(out), "--format", "json"))
    assert document["schema_version"] == 1 and document["runs"][2]["models"] == list(SIZES)


def test_list_can_be_cut_short(out, capsys):
    text = output(capsys, "list", "--limit", "2", "--out", str(out))
    assert "run2-" in text and "run1-" not in text and "there are more; --limit 4" in text
    assert "there are more" not in output(capsys, "list", "--limit", "3", "--out", str(out))
    assert "run1-" not in output(capsys, "list", "--device", "host", "--out", str(out))


def test_the_table_has_what_a_reader_needs(out, capsys):
    text = output(capsys, "show", "run1", "--out", str(out))
    lines = text.splitlines()
    assert lines[0].startswith("SIMULATED run1-")
    large = next(line for line in lines if line.startswith("  mobilenetv3-large"))
    assert re.match(
        r" +mobilenetv3-large +7\.\d+ \[7\.\d+, 7\.\d+\] +1 x +7\.\d\d +217 +7\.30 +34\.5 +12\.3 +ok", large
    )
    tiny = next(line for line in lines if line.startswith("  tiny.onnx"))
    assert re.match(
        r" +tiny\.onnx +0\.10\d+ \[0\.1\d+, 0\.1\d+\] +2\.48 ± 0\.02 x +0\.10\d( +0\.10\d)+ +0\.00200", tiny
    )
    assert "invalid MEA05" in next(line for line in lines if line.startswith("  broken.onnx"))
    notes = text[text.index("device: ") :]
    for expected in (
        "device: simulated, none, 1 thread, not pinned, key ",
        "6 rounds (every interval is narrow enough); references at 1.00 x their nominals; session of 2.00 s; ",
        "; overhead 10 %",
        "broken.onnx: invalid: measured in 0 of 6 rounds; failed: simulated: failed",
        "broken.onnx: MEA05: no number: it failed",
        "gate max-latency-ms: mobilenetv3-large: PASS: 7.4 ms is below 12 ms",
    ):
        assert expected in notes.replace("\n", " ")


def test_json_holds_every_raw_sample(out, capsys):
    document = strict_json(output(capsys, "show", "run1", "--out", str(out), "--format", "json"))
    assert document["schema_version"] == 1 and document["schema"] == "mnas.bench/1"
    assert document == {"schema_version": 1, **run_of(out).to_json()}
    first = document["models"][0]["measurement"]
    assert len(first["samples_ms"]) == len(first["rounds"]) == 18 and set(first["rounds"]) == set(range(6))


def test_flat_formats_hold_numbers(out, capsys):
    rows = list(csv.DictReader(io.StringIO(output(capsys, "show", "run1", "--out", str(out), "--format", "csv"))))
    lines = [
        strict_json(text)
        for text in output(capsys, "show", "run1", "--out", str(out), "--format", "jsonl").splitlines()
    ]
    assert [row["model"] for row in rows] == list(SIZES)
    assert float(rows[0]["low_ms"]) <= float(rows[0]["latency_ms"]) <= float(rows[0]["high_ms"])
    assert lines[0]["latency_ms"] == float(rows[0]["latency_ms"]) and lines[2]["latency_ms"] is None
    assert all(line["is_simulated"] for line in lines)
    marked = output(capsys, "show", "run1", "--out", str(out), "--format", "md").splitlines()
    assert marked[0].startswith("### SIMULATED run1")
    marked = [line for line in marked if line.startswith("|")]
    assert len(marked) == 5 and "7.30" in marked[2] and "ok (simulated)" in marked[2]


def test_latest_and_what_is_left_of_an_interrupted_run(out, capsys, tmp_path):
    text = output(capsys, "show", "--out", str(out))
    assert re.match(r"SIMULATED run3-\w+ on simulated, simulated 1 \(interrupted\)", text)
    assert "4 rounds (interrupted from the keyboard)" in text
    assert re.search(r"mobilenetv3-large +7\.\d+ \[", text)
    target = tmp_path / "run.json"
    assert output(capsys, "show", "run3", "--out", str(out), "--format", "json", "-o", str(target)) == ""
    document = strict_json(target.read_text())
    assert document["status"] == "interrupted" and document["models"][0]["measurement"]["latency_ms"]


def width_of(text):
    return max(len(line) for line in text.splitlines())


@pytest.mark.parametrize("width", [80, 90, 100, 120, 200])
def test_a_narrow_terminal_gets_a_table_that_fits(out, width):
    run = run_of(out)
    result = run_result(run, width)
    whole = render(replace(result, notes=(), title=""), Format.table)
    assert width_of(whole) <= width
    assert {"model", "latency ms", "relative", "verdict"} <= set(result.columns)
    everything = run_result(run)
    missing = [name for name in everything.columns if name not in result.columns]
    assert bool(missing) == (width_of(render(replace(everything, notes=(), title=""), Format.table)) > width)
    note = [note for note in result.notes if note.startswith("left out")]
    assert bool(note) == bool(missing) and all(name in note[0] for name in missing)


def test_the_spread_of_the_runs_is_shown(out):
    result = run_result(run_of(out))
    place = list(result.columns).index("runs")
    assert [bool(row[place]) for row in result.rows] == [True, True, False]


def test_long_names_are_cut_before_the_numbers_are(out):
    run = run_of(out)
    long = replace(run.models[0], label="a" * 90 + "-v1.onnx")
    result = run_result(replace(run, models=(long, *run.models[1:])), 80)
    assert width_of(render(replace(result, notes=(), title=""), Format.table)) <= 80
    assert result.rows[0][0].endswith("v1.onnx") and "…" in result.rows[0][0]


def test_one_model_alone_is_relative_to_nothing(out):
    run = run_of(out)
    assert "relative" not in run_result(replace(run, models=run.models[1:2])).columns


def test_comparison_matches_by_label_then_by_file(out, capsys):
    document = strict_json(output(capsys, "compare", "run1", "run2", "run3", "--out", str(out), "--format", "json"))
    rows = {(row["model"], row["run_id"].partition("-")[0]): row for row in document["models"]}
    assert rows["mobilenetv3-large", "run2"]["ratio"] == pytest.approx(1, rel=0.01)
    assert rows["mobilenetv3-large", "run1"]["ratio"] is None
    assert rows["tiny.onnx", "run1"]["sha256"] != rows["tiny.onnx", "run2"]["sha256"]
    assert rows["broken.onnx", "run2"]["ratio"] is None
    text = output(capsys, "compare", "run1", "run2", "--out", str(out))
    assert "not the same file in all runs: tiny.onnx" in text
    assert "two sessions may differ by more than their intervals say" in text
    assert re.search(r"mnas bench MODEL\s+--against run1-", text)
    assert "WARNING" not in text


def measured(label, sha256, latency_ms, interval):
    return BenchedModel(
        label, "model", label, sha256=sha256, measurement=Measurement(sha256, latency_ms, interval, (), (), (), "ok")
    )


def test_notes_on_models_and_on_repeated_launches_are_shown_and_kept(out):
    run = run_of(out)
    said = ("peak memory: watched by the tool", "only parts of the model are run by the delegate gpu (4 of 9 nodes)")
    models = (
        replace(measured("a", "1", 2.0, None), notes=said),
        replace(measured("b", "2", 4.0, None), notes=said[:1]),
    )
    run = replace(run, models=models, session={**run.session, "notes": ["1 launch was thrown away and made again"]})
    again = BenchRun.from_json(json.loads(json.dumps(run.to_json())))
    assert [model.notes for model in again.models] == [said, said[:1]]
    result = run_result(again)
    assert [record["notes"] for record in result.records] == ["; ".join(said), said[0]]
    notes = [note for note in result.notes if said[0] in note or said[1] in note or "thrown away" in note]
    assert notes == ["1 launch was thrown away and made again", f"all models: {said[0]}", f"a: {said[1]}"]
    page = bench_page([again])
    assert said[0] in page and said[1] in page and "thrown away" in page
    old = run.to_json()
    for model in old["models"]:
        del model["notes"]
    assert [model.notes for model in BenchRun.from_json(old).models] == [(), ()]


def test_a_renamed_file_is_found_but_a_name_comes_first(out):
    run = run_of(out)
    first = replace(run, models=(measured("a", "1", 2.0, None), measured("b", "2", 4.0, None)))
    second = replace(run, run_id="run9", models=(measured("b", "1", 3.0, None), measured("c", "2", 5.0, None)))
    rows = [[model.label if model else None for model in one.models] for one in compare_runs([first, second]).models]
    assert rows == [["a", None], ["b", "b"], [None, "c"]]
    third = replace(second, models=second.models[1:])
    rows = [[model.label if model else None for model in one.models] for one in compare_runs([first, third]).models]
    assert rows == [["a", None], ["b", "c"]]


@given(st.floats(0.001, 1e3), st.floats(0.001, 1e3), st.floats(0.0001, 0.5), st.floats(0.0001, 0.5))
def test_the_interval_of_a_ratio(a, b, spread_a, spread_b):
    """Widths on the logarithmic scale add as squares; the inverse ratio has the inverse interval."""

    def model(value, spread):
        return measured("m", "1", value, (value * np.exp(-spread), value * np.exp(spread)))

    ratio = ratio_of(model(b, spread_b), model(a, spread_a))
    assert ratio.value == pytest.approx(b / a)
    assert np.log(ratio.high / ratio.low) / 2 == pytest.approx(np.hypot(spread_a, spread_b))
    inverse = ratio_of(model(a, spread_a), model(b, spread_b))
    assert (inverse.low, inverse.high) == (pytest.approx(1 / ratio.high), pytest.approx(1 / ratio.low))
    bare = ratio_of(model(b, spread_b), measured("m", "1", a, None))
    assert (bare.value, bare.low) == (ratio.value, None)


def test_what_makes_runs_incomparable_is_named(out):
    run = run_of(out)
    other = replace(
        run,
        run_id="run9-aaaaaa",
        device=replace(run.device, threads=4, os_build="other"),
        versions={**run.versions, "numpy": "3.0"},
        session={**run.session, "protocol": {**run.session["protocol"], "quantile": 0.5}},
    )
    found = compare_runs([run, other])
    assert found.same_device == (True, False) and found.key_fields == ("device.threads",)
    result = comparison_result(found)
    notes = "\n".join(result.notes)
    assert f"run9-aaaaaa is of another device or runtime than {run.run_id}" in notes
    for line in ("device.threads: 1 / 4 (device key)", "device.os_build: none / other", "versions.numpy: 2.0 / 3.0"):
        assert f"  {line}\n" in notes + "\n"
    assert "protocol.quantile: 0.2000 / 0.5000" in notes
    assert result.rows[0][-1].endswith(" x !") and [row["same_device"] for row in result.records][:2] == [True, False]

    again = replace(run, session={**run.session, "reference_nominals_ms": {**NOMINALS, "ref0": 0.7}})
    notes = "\n".join(comparison_result(compare_runs([run, again])).notes)
    assert "calibrated anew in between" in notes and "nominal.ref0: 0.5000 / 0.7000" in notes


def test_a_comparison_fits_a_narrow_terminal(out):
    result = comparison_result(compare_runs([run_of(out), run_of(out, "run2")]), 80)
    assert width_of(render(replace(result, notes=(), title=""), Format.table)) <= 80
    assert result.notes[-1].startswith("intervals of latencies are left out") and "[" in result.rows[0][-1]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("show", "run99"), 6, r"RUN01: no such run \(saw: run99\).*run3-"),
        (("show", "run"), 6, "RUN02: more than one"),
        (("compare", "run1"), 2, "two runs or more"),
        (("compare", "run1", "nothing"), 6, "RUN01"),
        (("list", "--limit", "0"), 2, "limit"),
    ],
)
def test_bad_input_is_told_in_one_message(out, capsys, arguments, status, told):
    assert main(["runs", *arguments, "--out", str(out)]) == status
    captured = capsys.readouterr()
    assert captured.out == "" and re.search(told, captured.err) and "Traceback" not in captured.err


def test_without_a_store_nothing_is_made(tmp_path, capsys):
    assert main(["runs", "list", "--out", str(tmp_path / "none")]) == 6
    assert "STO06" in capsys.readouterr().err and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("given_numbers", "expected"),
    [
        ((7.4213, 7.38, 7.47), "7.42 [7.38, 7.47]"),
        ((7.4213, 7.419, 7.424), "7.421 [7.419, 7.424]"),
        ((0.010213, 0.01, 0.0105), "0.0102 [0.0100, 0.0105]"),
        ((0.010213, 0.010211, 0.010216), "0.01021 [0.01021, 0.01022]"),
        ((1234.5, 1190.2, 1290.7), "1234 [1190, 1291]"),
        ((9.9996, 9.99, 10.01), "10.00 [9.99, 10.01]"),
        ((0.00001234, 0.0000121, 0.0000126), "0.0000123 [0.0000121, 0.0000126]"),
        ((5.0, 5.0, 5.0), "5.000 [5.000, 5.000]"),
    ],
)
def test_digits_match_the_interval(given_numbers, expected):
    assert with_interval(*given_numbers) == expected


def test_half_widths_and_shares():
    assert with_half_width(2.4812, 2.46, 2.5) == "2.48 ± 0.02"
    assert with_half_width(1.08, 1.07999, 1.08001) == "1.080 ± 0.001"
    assert with_half_width(1.0, 1.0, 1.0) == "1.000 ± 0.000"
    assert [percent(value) for value in (0.123, 0.0123, 0.0995, -0.05)] == ["12 %", "1.2 %", "10 %", "-5.0 %"]


@given(st.floats(1e-9, 1e9), st.integers(3, 4))
def test_significant_digits_lose_nothing_and_need_no_powers(value, digits):
    text = significant(value, digits)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
    assert len(text.replace(".", "").lstrip("0")) >= digits


def test_a_terminal_that_knows_ascii_only_gets_a_table_all_the_same(out):
    command = [sys.executable, "-m", "mnas", "runs", "show", "run1", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    text = done.stdout.decode("ascii")
    assert "2.48 +- 0.02 x" in text and "-----" in text and "?" not in text


def test_the_commands_load_nothing_heavy(out):
    code = (
        "import sys\nfrom mnas.cli import main\nstatus = main(sys.argv[1:])\n"
        "print(status, *{'torch', 'scipy', 'onnx', 'onnxruntime', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    for arguments in (("list",), ("show",), ("compare", "run1", "run2")):
        command = [sys.executable, "-c", code, "runs", *arguments, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"})
        assert done.stderr.strip() == "0" and done.stdout
