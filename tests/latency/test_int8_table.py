"""Tables of int8 networks: other models are measured, and nothing is mixed with those of floats."""

import json

import numpy as np
import onnx
import pytest

from latency.exchange import export_table, import_table
from latency.on_device import OnDevice, require_device
from latency.plan import LutPlan
from latency.probes import write_probe
from latency.revalidate import revalidate
from latency.table import load_table
from mnas.errors import ConfigError, LutError
from mnas.export.network import write_network
from mnas.spaces.presets import open_space


@pytest.fixture(scope="module")
def int8_plan(plan):
    return LutPlan(plan.space, plan.settings, "int8")


def test_the_dtype_is_part_of_what_a_table_is(plan, int8_plan, additive_device):
    info = additive_device().info
    assert plan.identity(info) != int8_plan.identity(info)
    assert plan.identity(info) == LutPlan(plan.space, plan.settings, "float32").identity(info)
    assert list(plan.probes) == list(int8_plan.probes) and plan.networks == int8_plan.networks


def test_probes_of_every_kind_are_written_as_integers_and_alike_each_time(int8_plan, tmp_path):
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(int8_plan.probes))[:12]:
        probe = int8_plan.probes[number]
        for model_format in ("onnx", "tflite"):
            first, again = (write_probe(probe, tmp_path / name, model_format, "int8") for name in "ab")
            plain = write_probe(probe, tmp_path / "a", model_format)
            assert first.sha256 == again.sha256 != plain.sha256 and first.path != plain.path
        model = onnx.load(write_probe(probe, tmp_path / "c", "onnx", "int8").path)
        assert "QuantizeLinear" in {node.op_type for node in model.graph.node}


@pytest.mark.slow
def test_an_int8_table_is_built_kept_judged_and_exchanged(store, int8_plan, plan, additive_device, tmp_path):
    with OnDevice(additive_device(), store) as device:
        assert not device.has_table(int8_plan)
        table = device.build_table(int8_plan, lambda what, done, total: None)
        assert device.has_table(int8_plan) and not device.has_table(plan)
        assert revalidate(store, device, table, int8_plan.space, 4, 1).validation.table.mape < 0.05
        table.require_fit(device.info, "int8")
        with pytest.raises(LutError, match=r"LUT03.*dtype: table 'int8', asked 'float32'"):
            table.require_fit(device.info)
    assert table.dtype == load_table(store, table.lut_id).dtype == "int8"
    assert table.validation.table.mape < 0.05
    document = json.loads(export_table(store, table, "json")[0].text)
    assert document["dtype"] == "int8"
    (tmp_path / "table.json").write_text(json.dumps(document))
    assert import_table(store, tmp_path / "table.json").dtype == "int8"


def test_there_is_no_int8_of_torch_programs(tmp_path):
    space = open_space("mobilenetv3", "digits")
    with pytest.raises(ConfigError, match="CFG13"):
        write_network(space.decode(space.extremes()[0]), tmp_path, "pt2", "int8")
    with pytest.raises(ConfigError, match="CFG13"):
        require_device("host:torch", "int8")
    require_device("host:ort", "int8")
