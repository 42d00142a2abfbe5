"""`Bench` on the simulated device, whose true latencies are known, and on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from devices.bench import BENCH_COMPONENTS, Bench
from devices.contenders import Entrant
from devices.gate import Gates
from devices.run import BenchRun
from devices.runs import load_run
from devices.stopping import StoppingRule
from devices.testing import SimulatedDevice
from mnas.errors import DeviceError
from mnas.export.artifact import ModelArtifact
from mnas.store import FILE_NAME, Store

_RULE = StoppingRule(min_rounds=12, max_rounds=12, is_fixed=True, budget_s=100)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "out" / FILE_NAME, BENCH_COMPONENTS) as opened:
        yield opened


def conv_net(path: Path, channels: int, producer: str = "test") -> Path:
    """Write a model of one convolution; the simulated device takes longer the more bytes it has."""
    weights = np.random.default_rng(channels).standard_normal((channels, 3, 3, 3)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
        "conv",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, channels, 30, 30])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], producer_name=producer)
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def _bench(store: Store, *entrants: Entrant | Path | str, gates: Gates | None = None, **device: object) -> BenchRun:
    simulated = SimulatedDevice(**device)  # type: ignore[arg-type]
    with Bench(simulated, store, rule=_RULE, gates=gates, seed=0, clock=simulated.clock) as bench:
        return bench.run([one if isinstance(one, Entrant) else str(one) for one in entrants])


def test_latencies_ratios_and_raw_runs_are_those_of_the_device(store: Store, tmp_path: Path) -> None:
    small, large = conv_net(tmp_path / "small.onnx", 100), conv_net(tmp_path / "large.onnx", 4000)
    run = _bench(store, small, large)
    true = [0.1 + path.stat().st_size * 1e-6 for path in (small, large)]
    for model, ms in zip(run.models, true, strict=True):
        assert model.problem is None and model.latency_ms == pytest.approx(ms, rel=0.02)
        assert model.measurement and model.measurement.interval_ms
        assert model.raw and model.raw.count == len(model.measurement.samples_ms)
        assert model.raw.p50_ms == pytest.approx(float(np.median(model.measurement.samples_ms)))
    assert run.models[0].relative is None
    relative = run.models[1].relative
    assert relative and relative.to == "small.onnx" and relative.ratio == pytest.approx(true[1] / true[0], rel=0.02)
    assert relative.low <= relative.ratio <= relative.high
    assert run.device.is_simulated and run.stopping["rounds"] == 12
    assert load_run(store, run.run_id).models[1].latency_ms == pytest.approx(run.models[1].latency_ms)


def test_percentiles_need_samples(store: Store, tmp_path: Path) -> None:
    slow = conv_net(tmp_path / "slow.onnx", 300_000)  # over 30 ms: one visit a round with three runs, 36 in all
    (model,) = _bench(store, slow).models
    assert model.raw and model.raw.count == 36
    assert model.raw.p90_ms is not None and model.raw.p95_ms is None and model.raw.p99_ms is None


def test_what_cannot_be_measured_costs_its_own_place_only(store: Store, tmp_path: Path) -> None:
    good = conv_net(tmp_path / "good.onnx", 8)
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model at all")
    run = _bench(store, tmp_path / "absent.onnx", garbage, good, good, "nosuchnetwork")
    problems = [model.problem.code if model.problem else "" for model in run.models]
    assert problems[2] == "" and all(problems[place] for place in (0, 1, 3, 4))
    assert all(model.problem.exit_code == 2 for model in run.models if model.problem)
    assert run.models[2].latency_ms is not None
    assert "\n" not in "".join(model.problem.message for model in run.models if model.problem)
    assert load_run(store, run.run_id).models[1].problem == run.models[1].problem


def test_a_run_without_a_single_good_model_is_kept_with_its_problems(store: Store) -> None:
    run = _bench(store, "nosuch")
    assert run.models[0].problem and run.status == "failed"
    assert load_run(store).models[0].problem == run.models[0].problem


def test_gates_compare_with_the_baseline_of_the_same_name(store: Store, tmp_path: Path) -> None:
    old, new = conv_net(tmp_path / "old" / "net.onnx", 3000), conv_net(tmp_path / "new" / "net.onnx", 3600)
    other_old, other_new = conv_net(tmp_path / "old" / "b.onnx", 2000), conv_net(tmp_path / "new" / "b.onnx", 2000, "x")
    entrants = [Entrant(str(new)), Entrant(str(other_new))]
    baselines = [Entrant(str(other_old), "baseline"), Entrant(str(old), "baseline")]
    run = _bench(store, *entrants, *baselines, gates=Gates(max_regression=0.05, max_latency_ms=100))
    outcomes = {(gate.gate, gate.label): gate.outcome for gate in run.gates}
    assert outcomes == {
        ("max-latency-ms", "net.onnx"): "pass",
        ("max-latency-ms", "b.onnx"): "pass",
        ("max-regression", "net.onnx"): "fail",
        ("max-regression", "b.onnx"): "pass",
    }
    assert run.models[0].relative and run.models[0].relative.to == "net.onnx (baseline)"


def test_one_baseline_serves_every_model_and_two_of_other_names_serve_none(store: Store, tmp_path: Path) -> None:
    nets = [conv_net(tmp_path / f"{name}.onnx", 50 + place) for place, name in enumerate("abcd")]
    gates = Gates(max_regression=0.5)
    run = _bench(store, nets[0], nets[1], Entrant(str(nets[2]), "baseline"), gates=gates)
    assert [gate.outcome for gate in run.gates] == ["pass", "pass"]
    several = _bench(store, nets[0], *(Entrant(str(net), "baseline") for net in nets[2:]), gates=gates)
    (gate,) = several.gates
    assert gate.outcome == "inconclusive" and "no baseline of its name" in gate.reason


def test_the_very_same_file_as_its_own_baseline_is_no_regression(store: Store, tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx", 50)
    run = _bench(store, net, Entrant(str(net), "baseline"), gates=Gates(max_regression=0.0))
    assert run.models[0].relative and run.models[0].relative.ratio == 1.0
    assert [gate.outcome for gate in run.gates] == ["pass"]


def test_a_raw_gate_looks_at_raw_percentiles(store: Store, tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx", 3000)
    true_ms = 0.1 + net.stat().st_size * 1e-6
    # The whole session runs 1.5 x slower than the calibration did: latency_ms does not see it, raw runs do.
    calibrated = _bench(store, net)
    assert calibrated.models[0].latency_ms == pytest.approx(true_ms, rel=0.02)
    slow = {"slow_windows_ms": [(0.0, 1e12, 1.5)]}
    corrected = _bench(store, net, gates=Gates(max_latency_ms=1.2 * true_ms), **slow)
    assert corrected.models[0].latency_ms == pytest.approx(true_ms, rel=0.02)
    raw = _bench(store, net, gates=Gates(max_latency_ms=1.2 * true_ms, raw_percentile=90), **slow)
    assert raw.gates[0].value == pytest.approx(1.5 * true_ms, rel=0.05)
    assert "raw p90" in raw.gates[0].gate


def test_a_baseline_whose_file_changed_is_told(store: Store, tmp_path: Path) -> None:
    net, old = conv_net(tmp_path / "net.onnx", 50), conv_net(tmp_path / "old.onnx", 51)
    run = _bench(store, net, Entrant(str(old), "baseline", sha256="0" * 64, format="onnx"))
    assert run.models[0].problem is None
    assert run.models[1].problem and run.models[1].problem.code == "CFG20"


def test_the_device_is_closed_whatever_happens(store: Store, tmp_path: Path) -> None:
    device = SimulatedDevice()
    with pytest.raises(ZeroDivisionError), Bench(device, store):
        raise ZeroDivisionError
    with pytest.raises(DeviceError):
        device.load([])


def test_a_real_run_keeps_every_sample_and_what_it_depends_on(store: Store, tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx", 64)
    with Bench("host:ort", store, rule=StoppingRule(budget_s=2, min_rounds=3, max_rounds=30)) as bench:
        run = bench.run([str(net)], request={"why": "a test"})
    assert any("calibrated" in warning for warning in bench.warnings)
    (model,) = run.models
    assert model.problem is None and model.latency_ms and 0 < model.latency_ms < 1000
    assert model.load_ms and model.description and model.description.macs == 30 * 30 * 64 * 27
    assert model.peak_memory_bytes is None or 1e5 < model.peak_memory_bytes < 1e9
    assert run.timing["runs_s"] < run.timing["wall_s"] and 0 < run.timing["overhead_fraction"] < 1
    assert run.session["conditions_before"] and run.session["reference_rounds_ms"]
    assert run.versions["onnxruntime"] and run.request["why"] == "a test"
    again = load_run(store, run.run_id)
    assert again.models[0].measurement and model.measurement
    assert again.models[0].measurement.samples_ms == pytest.approx(model.measurement.samples_ms, abs=1e-6)
    assert BenchRun.from_json(json.loads(json.dumps(run.to_json(), allow_nan=False))) == run


def test_a_session_ends_when_intervals_are_narrow_or_gates_are_decided(store: Store, tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx", 3000)

    def stopped(gates: Gates | None, **rule: float) -> dict[str, object]:
        device = SimulatedDevice(placement_noise=0.02)
        limits = StoppingRule(min_rounds=20, max_rounds=200, budget_s=1e6, **rule)
        with Bench(device, store, rule=limits, gates=gates, seed=0, clock=device.clock) as bench:
            return bench.run([str(net)]).stopping

    assert stopped(None, precision=0.5)["rounds"] == 20
    precise = stopped(None, precision=0.01)
    assert 20 < precise["rounds"] <= 200 and "within" in str(precise["why"])
    decided = stopped(Gates(max_latency_ms=100), precision=1e-6)
    assert decided["rounds"] == 20 and decided["why"] == "every gate is decided"
    exact = 0.1 + net.stat().st_size * 1e-6
    assert any(
        stopped(Gates(max_latency_ms=exact * share), precision=0.5)["rounds"] != 20 for share in (0.995, 1, 1.005)
    )


def _labels(run: BenchRun) -> list[str]:
    return [model.label for model in run.models]


def test_a_model_named_twice_is_measured_once_and_both_rows_stay(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv_net(tmp_path / "a.onnx", 8)
    conv_net(tmp_path / "sub" / "net.onnx", 8)
    monkeypatch.chdir(tmp_path)
    run = _bench(store, "a.onnx", "a.onnx", "net.onnx", "sub/net.onnx", Entrant("a.onnx", "baseline"))
    assert len(set(_labels(run))) == 5
    problems = [model.problem.code if model.problem else "" for model in run.models]
    assert problems == ["", "MOD10", "MOD02", "", ""]
    assert run.models[4].label == "a.onnx (baseline)"


def test_ratios_are_to_the_baseline_and_the_baseline_has_none(store: Store, tmp_path: Path) -> None:
    nets = [conv_net(tmp_path / f"{name}.onnx", 1000 + 500 * place) for place, name in enumerate("abc")]
    run = _bench(store, nets[0], nets[1], Entrant(str(nets[2]), "baseline"))
    assert [model.relative.to if model.relative else None for model in run.models] == ["c.onnx (baseline)"] * 2 + [None]


def test_a_broken_baseline_is_not_replaced_by_that_of_another_model(store: Store, tmp_path: Path) -> None:
    nets = {
        name: conv_net(tmp_path / name, 500 + 4000 * (name == "new/a.onnx"))
        for name in ("new/a.onnx", "new/b.onnx", "old/b.onnx")
    }
    broken = tmp_path / "old" / "a.onnx"
    broken.write_bytes(b"cut off")
    baselines = [Entrant(str(path), "baseline") for path in (broken, nets["old/b.onnx"])]
    run = _bench(store, nets["new/a.onnx"], nets["new/b.onnx"], *baselines, gates=Gates(max_regression=0.05))
    outcomes = {gate.label: (gate.outcome, gate.reason) for gate in run.gates}
    assert outcomes["b.onnx"][0] == "pass"
    assert outcomes["a.onnx"][0] == "inconclusive" and "no number" in outcomes["a.onnx"][1]


def test_models_that_all_fail_in_the_session_are_told_with_their_reason(store: Store, tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx", 50)

    class Fickle(SimulatedDevice):
        """Its trials work, and its loading does not."""

        def load(self, artifacts: Iterable[ModelArtifact]) -> dict[str, str]:
            return {one.identity: "no room any more" for one in artifacts if one.path == net}

    device = Fickle()
    with Bench(device, store, rule=_RULE, clock=device.clock) as bench:
        run = bench.run([str(net)])
    assert run.models[0].problem and "no room any more" in run.models[0].problem.message
    assert run.models[0].problem.exit_code == 4 and run.status == "failed"


def test_what_the_session_said_is_kept_before_anything_else_is_measured(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*words: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("devices.extras.run_sustained", interrupted)
    device = SimulatedDevice()
    with Bench(device, store, rule=_RULE, gates=Gates(max_latency_ms=100), clock=device.clock) as bench:
        with pytest.raises(KeyboardInterrupt):
            bench.run([str(conv_net(tmp_path / "net.onnx", 50))], sustained_s=60)
    kept = load_run(store)
    assert kept.status == "interrupted"
    assert [gate.outcome for gate in kept.gates] == ["pass"] and kept.models[0].latency_ms is not None


def test_a_raw_limit_is_decided_in_a_drifted_session_too(store: Store, tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx", 3000)
    _bench(store, net)
    slow = {"slow_windows_ms": [(0.0, 1e12, 1.5)]}
    limit = 1.2 * 1.5 * (0.1 + net.stat().st_size * 1e-6)
    corrected = _bench(store, net, gates=Gates(max_latency_ms=limit / 1.5), **slow)
    assert corrected.session["verdict"] == "drifted" and corrected.gates[0].outcome == "inconclusive"
    raw = _bench(store, net, gates=Gates(max_latency_ms=limit, raw_percentile=90), **slow)
    assert raw.gates[0].outcome == "pass"
