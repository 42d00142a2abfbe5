"""Whole studies of more than error and latency: on real tables of this machine, down to the page and the cards."""

import json

import onnx
import pytest

from latency.table import load_table
from mnas.cli.output import Format, render
from mnas.cli.study_report import write_report
from mnas.cli.study_view import front_result
from mnas.config import make_config
from mnas.counts import total_macs, total_params
from mnas.genome_figures import figure_of
from mnas.layers import layers_of
from search.events import EventLog
from search.result import load_result
from search.study import Study, open_store
from search.testing import KeptReporter, ShortTraining

KEYS = {"data": "digits", "preset": "digits", "training": "small", "population": 4, "budget": 8}
KEYS |= {"finalists": 3, "finalist_seeds": 1, "lut_rounds": 3, "lut_calibration": 3, "lut_validation": 3}


def studied(out, **keys):
    with open_store(out) as store:
        study = Study.create(store, make_config({**KEYS, **keys}))
        result = study.run(out, ShortTraining(EventLog(store, study.study_id)), KeptReporter())
        page = write_report(store, result, out).read_text(encoding="utf-8")
        assert load_result(store, "") == result
    return result, page, json.loads((out / "front.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_three_objectives_reach_front_cards_and_page(copy_after_lut):
    out = copy_after_lut("three")
    result, page, front = studied(out, objectives="error,latency,params,peak_memory")
    assert result.config.algorithm == "nsga3" and result.status == "finished"
    assert front["objectives"] == ["error", "params", "peak_memory", "latency"]
    rows = front_result(result)
    assert rows.columns[-3:] == ("params", "peak_memory", "mark")
    for member, told, row in zip(result.members, front["members"], rows.rows, strict=True):
        layers = layers_of(_network(out, result, member))
        counted = (total_params(layers), figure_of("peak_memory", "float32")(layers))
        assert tuple(row[-3:-1]) == counted
        assert told["objectives"]["params"] == {"value": counted[0], "source": "counted"}
        assert told["objectives"]["latency"] == {"value": member.measured_ms, "source": "measured"}
        assert told["objectives"]["error"]["value"] == member.val_error
        assert f"{counted[0]:,}" in page
    values = {member.arch_id: [one.minimised for one in member.values] for member in result.members}
    for member in result.members:
        mine = values[member.arch_id]
        beaten = any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in values.values()
        )
        assert member.is_recommended == (not beaten)
    assert "params" in render(rows, Format.table) and "peak_memory" in page and "reference point: error 0.9" in page


def _network(out, result, member):
    from mnas.architecture import Architecture

    found = json.loads((out / "exports" / member.arch_id[:12] / "architecture.json").read_text(encoding="utf-8"))
    return Architecture.from_json(found)


@pytest.mark.slow
def test_one_network_for_two_runtimes_of_int8_latency(copy_after_lut):
    out = copy_after_lut("two")
    devices = {"device": "host:ort", "other_devices": ("host:litert",)}
    result, page, front = studied(out, **devices, dtype="int8", combine="weighted", weights=(3.0, 1.0))
    assert len(result.lut_ids) == len(set(result.lut_ids)) == len(result.sessions) == 2
    with open_store(out, must_exist=True) as store:
        tables = [load_table(store, lut_id) for lut_id in result.lut_ids]
    assert [table.dtype for table in tables] == ["int8", "int8"]
    assert [table.device.runtime for table in tables] == ["onnxruntime", "litert"]
    assert (front["devices"], front["dtype"], front["combine"]) == (["host:ort", "host:litert"], "int8", "weighted")
    measured = [member for member in result.members if member.measured_ms is not None]
    assert measured, "the gate refuses not every file"
    for member in measured:
        first, second = member.device_ms
        assert member.measured_ms == pytest.approx(first**0.75 * second**0.25)
        assert member.interval_ms[0] <= member.measured_ms <= member.interval_ms[1]
        folder = out / "exports" / member.arch_id[:12]
        operators = {node.op_type for node in onnx.load(folder / "model-int8.onnx").graph.node}
        assert "QuantizeLinear" in operators and (folder / "model-int8.tflite").is_file()
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))["latency"]
        assert card["dtype"] == "int8" and card["device_ms"] == {"host:ort": first, "host:litert": second}
    assert any("int8" in notice for notice in front["notices"])
    assert "host:litert ms" in front_result(result).columns and "weighted geometric mean" in page


@pytest.mark.slow
def test_measured_latency_and_a_constraint_on_this_machine(copy_after_lut):
    out = copy_after_lut("measured")
    result, page, front = studied(out, objectives="error,latency=measured,macs", confidence=0.6)
    assert len(result.candidates) == 8
    for one in result.candidates:
        known = {value.key: value for value in one.values}
        assert known["latency"].source == "measured" and known["latency"].value == one.latency_ms
        assert 0.1 < one.latency_ms / one.predicted_ms < 10
    assert front["confidence"] == 0.6 and "measured ms" in page
    macs = {value["objectives"]["macs"]["value"] for value in front["members"]}
    assert macs <= {total_macs(layers_of(_network(out, result, member))) for member in result.members}
