"""benchmarks/phone_predictor.py: it reads what phones ran, holds whole families out, and runs on any phone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_NAMES = ("phone_predictor", "_phone_networks", "_result")
DATA = "phone_networks_s10_a03s.jsonl"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    before = list(sys.path)
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        import phone_predictor

        return phone_predictor
    finally:
        sys.path[:] = before
        for name in _NAMES:
            sys.modules.pop(name, None)


def layer(op, in_px, out_px, in_channels, out_channels, kernel=1, stride=1):
    return {
        "op": op,
        "in_px": in_px,
        "out_px": out_px,
        "in_channels": in_channels,
        "out_channels": 1 if op == "depthwise_conv_2d" else out_channels,
        "kernel": kernel,
        "stride": stride,
        "groups": 1,
    }


def row(name, family, rng):
    """A network of random width and depth, on two phones that take so much for each MAC and operator."""
    width, layers = int(8 * rng.integers(2, 9)), [layer("conv_2d", 64, 32, 3, 16, 3, 2)]
    for _ in range(rng.integers(2, 8)):
        layers.append(layer("conv_2d", 32, 32, 16, width))
        layers.append(layer("depthwise_conv_2d", 34, 32, width, width, int(rng.choice([3, 5]))))
        layers.append(layer("conv_2d", 32, 32, width, 16))
    macs = sum(
        one["out_px"] ** 2 * one["kernel"] ** 2 * (1 if one["op"][0] == "d" else one["in_channels"])
        * (one["in_channels"] if one["op"][0] == "d" else one["out_channels"])
        for one in layers
    )  # fmt: skip
    depthwise = sum(32**2 * one["kernel"] ** 2 * one["in_channels"] for one in layers if one["op"][0] == "d")
    latencies = {f"{phone}|float": a * macs + b * depthwise for phone, a, b in (("p", 1e-6, 9e-6), ("q", 4e-6, 1e-5))}
    return {"network": name, "family": family, "macs": macs, "layers": layers, "latency_ms": latencies}


@pytest.fixture
def made_up(tmp_path):
    rng = np.random.default_rng(0)
    rows = [row(f"{family}{i}", family, rng) for family in "abcdef" for i in range(6)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def test_it_runs_on_other_phones_and_families(script, made_up, tmp_path, monkeypatch, capsys):
    out = tmp_path / "found.json"
    options = ["--hold-out", "a+b,c,d", "--twins", "e+f", "--targets", "p|float,q|float", "--budgets", "10"]
    monkeypatch.setattr(sys, "argv", ["phone_predictor.py", str(made_up), *options, "--json", str(out)])
    assert script.main() == 0
    figures = json.loads(out.read_text(encoding="utf-8"))["figures"]
    assert (figures["networks"], figures["held_out"]) == (36, 24)
    assert figures["p|float mape"] < 0.01 and figures["q|float mape"] < 0.01
    assert figures["p|float macs_linear_mape"] > 0.05
    assert figures["q|float few_shot_10 mape"] < 0.05
    assert "p|float mape" in capsys.readouterr().out


def test_held_out_networks_take_no_part(script, made_up):
    phones = script.Phones(script.read_networks(made_up), "a+b,c,d", "e+f")
    asked = []

    def predict(device, measured, train):
        asked.append({phones.networks[i].family for i in np.flatnonzero(train)})
        return np.full(len(measured), 1.0)

    phones.held_out_error("p|float", predict)
    assert asked == [set("cdef"), set("abdef"), set("abcef")]
    assert len({phones.groups[i] for i, one in enumerate(phones.networks) if one.family in "ab"}) == 1
    assert len({phones.groups[i] for i, one in enumerate(phones.networks) if one.family in "ef"}) == 1


def test_the_error_is_that_of_the_predictions(script, made_up):
    phones = script.Phones(script.read_networks(made_up), "a,b", "e+f")
    off = {0: 1.1, 1: 0.7}

    def predict(device, measured, train):
        group = next(g for g in (0, 1) if not train[phones.held_out == g].any())
        return measured * off[group]

    mape, groups, worst = phones.held_out_error("q|float", predict)
    assert groups == pytest.approx([0.1, 0.3])
    assert (mape, worst) == (pytest.approx(0.2), pytest.approx(0.3))


def test_every_layer_of_the_phones_list_is_read(script, test_data):
    rows = [json.loads(line) for line in (test_data / DATA).read_text(encoding="utf-8").splitlines()]
    networks = script.read_networks(test_data / DATA)
    assert len(networks) == 102
    for network, row in zip(networks, rows, strict=True):
        assert len(network.operators) == len(row["layers"])
        for operator, layer in zip(network.operators, row["layers"], strict=True):
            if operator.kind in ("conv", "pointwise", "depthwise", "grouped", "linear"):
                assert operator.macs == layer["macs"], (network.name, layer)


def test_a_family_that_no_phone_told_of_is_predicted(script, test_data):
    phones = script.Phones(script.read_networks(test_data / DATA), script.HELD_OUT, script.TWINS)
    assert np.sum(phones.held_out >= 0) == 38
    for device in script.TARGETS.split(","):
        told, by_macs = (
            phones.held_out_error(device, one)[1] for one in (phones.predict_untuned, phones.predict_by_macs)
        )
        assert max(told) < 0.06 < 0.15 < max(by_macs)
