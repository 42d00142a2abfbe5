"""`search.api.Bench` and its reports, on runs of the simulated device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.bench import BENCH_COMPONENTS
from devices.bench import Bench as DeviceBench
from devices.contenders import Entrant
from devices.gate import Gates
from devices.stopping import StoppingRule, asked_rule, default_rule
from devices.testing import SimulatedDevice
from mnas.errors import ConfigError, RunError, StoreError
from mnas.store import FILE_NAME, Store
from search.api import Bench, BenchReport

RULE = StoppingRule(min_rounds=5, max_rounds=5, is_fixed=True, budget_s=100)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An output folder with one run: two networks, one model that is not there, a gate that fails."""
    out = tmp_path_factory.mktemp("bench") / "out"
    device = SimulatedDevice()
    with (
        Store(out / FILE_NAME, BENCH_COMPONENTS) as store,
        DeviceBench(device, store, rule=RULE, gates=Gates(0.5), seed=0, clock=device.clock) as bench,
    ):
        models = [Entrant("mobilenetv3-small@64"), Entrant("mobilenetv2@64"), Entrant("<img src=x>.onnx")]
        run = bench.run(models)
    return out, run


def test_a_report_has_a_row_for_each_model_and_tells_problems(kept):
    out, run = kept
    report = Bench(out=out).read()
    rows = report.rows()
    assert report.run.run_id == run.run_id and report.latency_ms == BenchReport(run).latency_ms
    assert [row["model"] for row in rows] == ["mobilenetv3-small@64", "mobilenetv2@64", "<img src=x>.onnx"]
    assert [row["latency_ms"] for row in rows][:2] == list(report.latency_ms.values())
    assert rows[2]["latency_ms"] is None and "MOD02" in rows[2]["problem"]
    assert "SIMULATED" in rows.title
    html = report._repr_html_()
    assert "<img" not in html and "&lt;img src=x&gt;.onnx" in html
    assert "gate max-latency-ms" in html and "MOD02" in html


def test_runs_are_listed_and_found_by_the_beginning_of_their_id(kept):
    out, run = kept
    bench = Bench(out=out)
    (row,) = bench.runs()
    assert row["run_id"] == run.run_id and row["models"].startswith("mobilenetv3-small@64, ")
    assert bench.read(run.run_id[:6]).run.run_id == run.run_id
    with pytest.raises(RunError, match="RUN01"):
        bench.read("run9")


def test_a_folder_without_runs_and_a_wrong_spec_are_told(tmp_path):
    with pytest.raises(StoreError, match="STO06"):
        Bench(out=tmp_path).runs()
    with pytest.raises(ConfigError, match="CFG10"):
        Bench("onnxruntime", tmp_path).run("mobilenetv2@32")
    assert not (tmp_path / FILE_NAME).exists()


def test_the_folder_is_that_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MNAS_OUT", str(tmp_path))
    assert Bench().out == tmp_path
    assert Bench(out="there").out.name == "there"


def test_what_is_asked_of_a_session_is_its_rule():
    assert asked_rule(2, "host") is None
    assert asked_rule(2, "host", precision=0.02) == replace(default_rule(2), precision=0.02)
    rounds = asked_rule(2, "host", rounds=5)
    assert (rounds.min_rounds, rounds.max_rounds, rounds.is_fixed) == (5, 5, True) and rounds.budget_s > 1e5
    assert asked_rule(2, "host", rounds=5, budget_s=3.0).budget_s == 3.0
    with pytest.raises(ConfigError, match="CFG15"):
        asked_rule(2, "host", rounds=2)


def test_the_figure_shows_latencies_with_their_intervals(kept, optional_package):
    optional_package("plotly.graph_objects")
    _, run = kept
    (bars,) = BenchReport(run).plot().data
    assert list(bars.y) == list(BenchReport(run).latency_ms.values())
    low, high = run.models[0].measurement.interval_ms
    assert bars.error_y.array[0] == pytest.approx(high - bars.y[0])
    assert bars.error_y.arrayminus[0] == pytest.approx(bars.y[0] - low)


def test_the_data_frame_has_what_the_rows_have(kept, optional_package):
    optional_package("pandas")
    _, run = kept
    frame = BenchReport(run).to_pandas()
    assert list(frame["model"]) == [model.label for model in run.models] and "raw_p95_ms" in frame.columns
