"""The page of a bench run: whole, self-contained, small, and moving with what was measured."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from devices.device import DeviceInfo
from devices.harness import Harness, ProtocolSettings, summarise
from devices.models.description import ModelDescription
from devices.profiling.profile import OpProfile, OpTime
from devices.run import BenchedModel, BenchRun, GateResult, Problem, RawRuns, Relative
from devices.sustained import Sustained, Window
from devices.testing import SimulatedDevice, simulated_artifact
from mnas.cli.bench_conditions import conditions_table, lacking, readings
from mnas.cli.bench_figures import level_for, levels, reference_levels
from mnas.cli.bench_report import bench_page
from mnas.cli.number_format import significant, with_interval

HOSTILE = "<img src=http://evil.test/x onerror=alert(1)>\"'</script></svg>"
REFERENCES = {f"ref{i}": simulated_artifact(f"ref{i}", 400_000 + 300_000 * i) for i in range(3)}
NOMINALS = {name: SimulatedDevice.true_ms(artifact) for name, artifact in REFERENCES.items()}
CONDITIONS = {"load_average": [0.5, 0.4, 0.3], "cpu_mhz": [2000.0, 2200.0], "capabilities": {"pinned": True}}


def raw_of(samples):
    def at(part, fewest):
        return float(np.quantile(samples, part)) if len(samples) >= fewest else None

    return RawRuns(len(samples), min(samples), float(np.median(samples)), at(0.9, 20), at(0.95, 40), at(0.99, 200),
                   max(samples))  # fmt: skip


def model_of(label, sha256, measurement, **more):
    good = measurement is not None and measurement.latency_ms is not None
    return BenchedModel(
        label=label,
        role="model",
        source=label,
        sha256=sha256,
        size_bytes=1_000_000,
        description=ModelDescription((), (), {}, macs=219_000_000, params=5_000_000),
        load_ms=12.5,
        peak_memory_bytes=33_000_000,
        measurement=measurement,
        raw=raw_of(measurement.samples_ms) if good else None,
        relative=Relative("model0", 1.5, 1.48, 1.52) if good else None,
        involuntary_switches=3,
        **more,
    )


def run_of(records, references, nominals, settings, labels, info: DeviceInfo, conditions, **more):
    """Put a run together from the records of a session's visits."""
    shas = {name: artifact.sha256 for name, artifact in references.items()}
    session = summarise(records, shas, nominals, settings, device_key=info.device_key,
                        conditions_before=conditions, conditions_after=conditions)  # fmt: skip
    document = session.describe()
    document["conditions_during"] = [
        {"round": number, "t_s": 2.0 * number, **conditions, "load_average": [0.5 + 0.1 * number, 0.4, 0.3]}
        for number in range(5)
    ]
    return BenchRun(
        run_id="bench1-0a1b2c",
        status="done",
        started_at_utc="2026-08-01T10:00:00Z",
        finished_at_utc="2026-08-01T10:01:00Z",
        device=info,
        request={"models": list(labels.values()), "threads": 1, "budget_s": None},
        versions={"mnas": "0.1.0", "onnxruntime": "1.31.0"},
        stopping={"rounds": settings.rounds, "why": "every interval is narrower than 0.5 %"},
        timing={"wall_s": 12.3, "runs_s": 11.1, "overhead_fraction": 0.0976},
        session=document,
        models=tuple(model_of(labels[s], s, session.measurements.get(s)) for s in labels),
        **more,
    )


def simulated_run(count=3, rounds=15, prefix="model", **device):
    made = SimulatedDevice(**device)
    settings = ProtocolSettings(rounds=rounds)
    models = [simulated_artifact(f"{prefix}{i}", 300_000 * (i + 1)) for i in range(count)]
    harness = Harness(made, REFERENCES, NOMINALS, settings, rng=np.random.default_rng(0), clock=made.clock)
    records = list(harness.visits(models, rounds))
    labels = {artifact.sha256: f"{prefix}{i}" for i, artifact in enumerate(models)}
    return run_of(records, REFERENCES, NOMINALS, settings, labels, made.info, CONDITIONS)


@pytest.fixture(scope="module")
def run():
    return simulated_run()


def relabelled(run, *labels):
    models = tuple(replace(model, label=label) for model, label in zip(run.models, labels, strict=True))
    return replace(run, models=models)


class Page(HTMLParser):
    """Elements, text and notices of a page; fails when tags do not close in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self._open = [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if self._open and self._open[-1][0] not in ("script", "style"):
            self.text.append((self._open[-1], data))

    def said(self, tag=None, name=None):
        kept = [data for (t, a), data in self.text if tag in (None, t) and (name is None or name in a.get("class", ""))]
        return " ".join(kept)


def shape(html):
    return [(tag, sorted(attributes)) for tag, attributes in Page(html).elements]


def test_a_page_holds_the_numbers_of_its_run(run):
    html = bench_page([run])
    page = Page(html)
    for model in run.models:
        assert with_interval(model.latency_ms, *model.measurement.interval_ms) in page.said("td")
        assert significant(model.raw.p90_ms) in page.said("td")
    assert "1.50 \N{PLUS-MINUS SIGN} 0.02 x" in page.said("td")
    assert "219" in page.said("td")
    assert run.device.device_key[:16] in page.said("dd")
    assert "9.8% of the wall time" in page.said("dd")
    assert "SIMULATED" in page.said("p", "notice")
    svgs = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert len([label for label in svgs if label.startswith("Raw runs of")]) == 3
    assert "no data" not in page.said("text")


def test_the_page_moves_with_what_was_measured(run):
    slower = simulated_run(slow_windows_ms=[(0, 1e9, 1.3)])
    assert bench_page([run]) != bench_page([slower])
    first, second = (Page(bench_page([one])).said("td") for one in (run, slower))
    for model in slower.models:
        assert significant(model.raw.p50_ms) in second
        assert significant(model.raw.p50_ms) not in first


def test_a_page_of_a_stored_document_is_the_same(run):
    again = BenchRun.from_json(json.loads(json.dumps(run.to_json())))
    assert bench_page([again]) == bench_page([run])


def test_hostile_names_stay_text(run):
    labels = [HOSTILE, "model1", "model2"]
    gates = (GateResult("max-latency-ms", 1.0, HOSTILE, 2.0, 1.9, 2.1, "fail", HOSTILE),)
    plain = (replace(gates[0], label="x", reason="x"),)
    nodes = [{"name": HOSTILE, "op": HOSTILE, "mean_ms": 1.0, "share": 1.0, "calls": 3, "detail": HOSTILE}]
    tame = [{"name": "x", "op": "x", "mean_ms": 1.0, "share": 1.0, "calls": 3, "detail": "x"}]
    bad = replace(relabelled(run, *labels), gates=gates, run_id=HOSTILE, request={HOSTILE: HOSTILE})
    good = replace(run, gates=plain, request={"x": "x"})
    html = bench_page([bad], per_op={HOSTILE: nodes})
    assert shape(html) == shape(bench_page([good], per_op={"x": tame}))
    page = Page(html)
    assert [tag for tag, _ in page.elements if tag == "img"] == []
    assert page.said().count("onerror=alert(1)") >= 10, "the names are still readable"


def test_nothing_is_loaded_from_outside(run):
    html = bench_page([run])
    assert set(re.findall(r"https?://[^\"'\s<]*", html)) == {"http://www.w3.org/2000/svg"}
    assert not any("src" in attributes for _, attributes in Page(html).elements)


def test_notices_come_for_all_that_is_wrong(run):
    lost = replace(run.models[1], measurement=None, raw=None, problem=Problem("MOD01", "MOD01: not a model", 2))
    drifted = replace(run.models[2], measurement=replace(run.models[2].measurement, verdict="drifted", reasons=("h",)))
    gates = (
        GateResult("max-latency-ms", 0.3, "model0", 0.4, 0.39, 0.41, "fail", "0.40 ms is over 0.30 ms"),
        GateResult("max-latency-ms", 0.7, "model2", 0.7, 0.69, 0.71, "inconclusive", "0.70 ms straddles the limit"),
        GateResult("max-latency-ms", 0.1, "model0", 0.4, 0.39, 0.41, "fail", "model0: 0.40 ms, limit 0.10 ms"),
        GateResult("max-latency-ms", 9.0, "model2", 0.7, 0.69, 0.71, "pass", "0.70 ms is below 9.00 ms"),
    )
    session = {**run.session, "verdict": "throttled", "reasons": ["the clock fell to half"]}
    bad = replace(run, models=(run.models[0], lost, drifted), gates=gates, session=session, status="interrupted")
    said = Page(bench_page([bad])).said("p", "notice")
    for part in ("throttled: the clock fell to half", "max-latency-ms failed for model0", "inconclusive for model2",
                 "Gate max-latency-ms failed: model0: 0.40 ms, limit 0.10 ms",
                 "model1 has no number", "MOD01: not a model", "Measured as drifted", "is interrupted"):  # fmt: skip
        assert part in said
    assert "below 9.00 ms" not in said
    quiet = replace(run, device=replace(run.device, is_simulated=False))
    assert Page(bench_page([quiet])).said("p", "notice") == ""


def test_models_without_a_number_stay_on_the_page(run):
    models = tuple(replace(m, measurement=None, raw=None, problem=Problem("MOD01", "broken", 2)) for m in run.models)
    page = Page(bench_page([replace(run, models=models)]))
    assert page.said("td").count("broken") == 3
    assert "no data" in page.said("text")
    assert "There is no timed run." in page.said("p")
    assert "No model was measured." in Page(bench_page([replace(run, models=())])).said("p")


def test_a_session_that_keeps_little_still_gives_a_page(run):
    bare = replace(run, session={}, stopping={}, timing={}, versions={}, request={})
    page = Page(bench_page([bare]))
    assert "no reading" in page.said("p")
    assert "does not hold the references" in page.said("p")


def test_twenty_models_of_a_thousand_runs_on_two_devices_stay_below_a_megabyte():
    run = simulated_run(count=20, rounds=20)
    rng = np.random.default_rng(0)
    models = []
    for model in run.models:
        samples = tuple(float(value) for value in rng.lognormal(1, 0.3, 1000))
        rounds = tuple(number // 3 for number in range(1000))
        models.append(replace(model, measurement=replace(model.measurement, samples_ms=samples, rounds=rounds)))
    references = {name: {str(number): 1.0 + number % 7 / 10 for number in range(334)} for name in REFERENCES}
    run = replace(run, models=tuple(models), session={**run.session, "reference_rounds_ms": references})
    other = replace(run, run_id="bench2-ffffff")
    html = bench_page([run, other])
    assert len(html.encode()) < 1_000_000
    titles = Page(html).said("h2")
    assert "All devices" in titles
    assert titles.count("Latency on simulated (bench1-0a1b2c)") == titles.count("(bench2-ffffff)") / 5 == 1


def test_the_references_take_a_common_slowdown_out(run):
    slow = simulated_run(rounds=30, slow_windows_ms=[(100, 300, 1.6)])
    assert max(reference_levels(slow.session)["cached"].values()) > 1.4
    for model in slow.models:
        raw = levels(model.measurement.samples_ms, model.measurement.rounds)
        reference = level_for(model.measurement.samples_ms, slow.session)
        left = {number: raw[number] / reference[number] for number in raw}
        assert max(raw.values()) / min(raw.values()) > 1.4
        assert sorted(left.values())[-3] / sorted(left.values())[2] < 1.1
    titles = [a["aria-label"] for tag, a in Page(bench_page([slow])).elements if tag == "svg"]
    assert "Medians over the rounds, corrected" in titles


def test_a_model_between_the_groups_is_compared_with_both():
    """The share of the streaming references grows with the logarithm of the model's time."""
    session = {
        "protocol": {"quantile": 0.5},
        "reference_ms": {"pointwise": 1.0, "weights": 4.0},
        "reference_rounds_ms": {
            "pointwise": {"0": 1.0, "1": 1.0, "2": 2.0},
            "weights": {"0": 4.0, "1": 4.0, "2": 6.0},
        },
    }
    assert reference_levels(session)["streaming"] == pytest.approx({0: 1.0, 1: 1.0, 2: 1.5})
    last = [level_for([time] * 3, session)[2] for time in (0.5, 1.0, 2.0**0.5, 4.0, 9.0)]
    assert last == pytest.approx([2.0, 2.0, 2.0**0.75 * 1.5**0.25, 1.5, 1.5])


def test_few_models_keep_their_colours_from_one_figure_to_the_next(run):
    svgs = re.findall(r'<svg.*?aria-label="(?:Raw medians|Medians)[^"]*".*?</svg>', bench_page([run]))
    colours = [re.findall(r'class="s trace (c\d)"><title>(model\d)', svg) for svg in svgs]
    assert len(colours) == 2
    assert colours[0] == colours[1] != []


def test_steal_time_is_told_for_the_session(run):
    session = {**run.session, "conditions_before": {"steal_ticks": 40}, "conditions_after": {"steal_ticks": 1040}}
    assert "The hypervisor took 1,000 ticks" in Page(bench_page([replace(run, session=session)])).said("p")


def test_optional_parts(run):
    nodes = [
        {"name": f"node{i}", "op": "Conv" if i % 2 else "Add", "mean_ms": 1.0 + i, "share": 0.02, "calls": 5}
        for i in range(40)
    ]
    windows = [
        {"start_s": 5.0 * i, "end_s": 5.0 * i + 5, "p50_ms": 8 + 0.1 * i, "q20_ms": 7.5 + 0.1 * i, "conditions": {}}
        for i in range(24)
    ]
    document = {"windows": windows, "first_minute_ms": 8.0, "last_minute_ms": 10.0, "verdict": "throttled",
                "reasons": ["the last minute is slower"]}  # fmt: skip
    page = Page(bench_page([run], per_op=nodes, sustained={"model0": document, "model1": windows}))
    assert "node39" in page.said("td")
    assert "node9 " not in page.said("td"), "thirty nodes at most"
    assert "420" in page.said("td"), "the Conv nodes' 2 + 4 + ... + 40 ms"
    assert "1.250 times as much" in page.said("p")
    assert "throttled; the last minute is slower" in page.said("p")
    titles = page.said("h2")
    assert "Operators" in titles and "Sustained of model0" in titles and "Sustained of model1" in titles
    assert "Operators" not in Page(bench_page([run])).said("h2")


def test_a_phone_is_not_called_by_its_serial(run):
    phone = replace(run.device, device_id="adb:R58M123/tflite", kind="adb", model="Galaxy S10", runtime="tflite")
    html = bench_page([replace(run, device=phone)])
    assert "R58M123" not in html
    assert "Galaxy S10 / tflite" in html


def test_a_page_needs_a_run():
    with pytest.raises(ValueError, match="at least one run"):
        bench_page([])


def test_conditions_are_read_whatever_their_form():
    found = readings({**CONDITIONS, "temperatures": {"cpu": 51}, "governor": "performance", "odd": None, "t_s": 3,
                      "available_memory_bytes": 2_500_000, "cpus": ["a", "b"]})  # fmt: skip
    assert found == {
        "load average, 1 min": 0.5,
        "CPU clock, mean (MHz)": 2100.0,
        "temperatures cpu": 51.0,
        "governor": "performance",
        "available memory (MB)": 2.5,
        "cpus": "a, b",
    }
    during = [{"round": n, "governor": g, "steal_ticks": n} for n, g in enumerate(["powersave", "performance"] * 2)]
    table = conditions_table({"conditions_before": {"governor": "powersave"}, "conditions_during": during})
    assert [list(row) for row in table.rows] == [
        ["governor", "powersave", "powersave, performance", None],
        ["steal time (ticks since boot)", None, "0 to 3", None],
    ]
    assert conditions_table({}) is None


def test_what_a_device_lacks_is_named_with_its_cost(run):
    (fifo, strange) = lacking({"capabilities": {"pinned": True, "fifo": False, "strange": False}})
    assert fifo[0] == "fifo" and "interrupt" in fifo[1] and "ulimit" in fifo[2]
    assert strange == ("strange", "", "")
    assert lacking({}) == lacking({"capabilities": None}) == []
    session = {**run.session, "conditions_after": {"capabilities": {"fifo": False}}}
    assert fifo[2] in Page(bench_page([replace(run, session=session)])).said("td")


def test_what_is_odd_about_single_models_is_told_by_their_names(run):
    first, second, _ = (model.sha256 for model in run.models)
    after = {"model_notes": {first: ["Foo runs on the CPU"], "unknown": ["x"]}, "ordinary_priority": [second]}
    said = Page(bench_page([replace(run, session={**run.session, "conditions_after": after})])).said("p")
    assert "model0: Foo runs on the CPU" in said
    assert re.search(r"ordinary priority[^.]*: model1\.", said)


def test_documents_of_profiles_and_sustained_runs_are_taken_as_they_are(run):
    ops = (OpTime(0, "/conv", "Conv", 2.0, 1.9, 0.8, 1.0, {"shape": "1x8", "provider": "CPU"}),)
    profile = OpProfile("onnxruntime", "1", "nodes of the graph", 30, 2.5, ops, 0.8, notes=("read this",))
    windows = tuple(Window(5.0 * i, 5.0 * i + 5, 100, 8.0 + i, 7.5 + i, None, 0.9, {}) for i in range(3))
    run10 = Sustained(windows, "first third against last third", 8.0, 10.0, 1.25, (1.2, 1.3), "throttled", "done", ())
    page = Page(bench_page([run], per_op=profile.to_json(), sustained=run10.to_json()))
    assert "shape 1x8, provider CPU" in page.said("td")
    for part in ("2.50 ms in 30 runs", "Shown: nodes of the graph.", "read this"):
        assert part in page.said("p")
    assert "First third against last third: 8.00 ms, then 10.0 ms, 1.250 times as much" in page.said("p")
    assert "(95 % interval 1.200 to 1.300)" in page.said("p")


def test_intervals_without_an_end_are_shown_as_such(run):
    endless = replace(run.models[1], relative=Relative("model0", 1.75, 0.0, math.inf))
    gate = GateResult("max-latency-ms", 1.0, "model1", 0.7, 0.0, math.inf, "inconclusive", "two rounds only")
    page = Page(bench_page([replace(run, models=(run.models[0], endless), gates=(gate,))]))
    assert "1.75 x" in page.said("td")
    assert "0 to inf" in page.said("td")


def test_a_baseline_is_called_so_once(run):
    baseline = replace(run.models[2], role="baseline", label="old.onnx (baseline)")
    said = Page(bench_page([replace(run, models=(*run.models[:2], baseline))])).said("td")
    assert said.count("(baseline)") == 1
