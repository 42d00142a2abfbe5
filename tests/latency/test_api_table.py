"""`search.api.LatencyTable` on a made-up table in a store."""

from __future__ import annotations

import numpy as np
import pytest

from latency.saving import MeasuredNetwork, save_table
from latency.schema import LATENCY
from latency.testing import made_up_table
from mnas.errors import LutError, SpaceError, StoreError
from mnas.segments import segments_of
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store
from search.api import LatencyTable

SPACE = open_space("mobilenetv3", "digits")


def network(number, purpose):
    return MeasuredNetwork(f"{number:064x}", purpose, "[]", 10**6, 1000, 2.0 + number, 2.5 + number, 2.4, 2.6 + number)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    with Store(folder / FILE_NAME, (LATENCY,)) as store:
        measured = [network(number, purpose) for number, purpose in enumerate(("calibration", "validation"))]
        save_table(store, made_up_table(SPACE), measured)
    return folder


@pytest.fixture
def table(out):
    return LatencyTable.open(out=out)


def genomes(count=4):
    rng = np.random.default_rng(0)
    return [SPACE.sample(rng) for _ in range(count)]


def test_tables_are_listed_and_opened_by_the_beginning_of_their_id(out, table):
    (row,) = LatencyTable.list(out)
    assert row["lut_id"] == table.lut_id and row["space"] == SPACE.name and row["status"] == "ready"
    assert LatencyTable.open(table.lut_id[:6], out).lut_id == table.lut_id
    with pytest.raises(LutError, match=f"LUT01.*{table.lut_id}"):
        LatencyTable.open("lut9", out)


def test_an_empty_folder_and_a_store_without_tables_are_told(tmp_path):
    with pytest.raises(StoreError, match="STO06"):
        LatencyTable.open(out=tmp_path)
    with Store(tmp_path / FILE_NAME, (LATENCY,)):
        pass
    with pytest.raises(LutError, match=r"LUT01.*the newest"):
        LatencyTable.open(out=tmp_path)
    assert len(LatencyTable.list(tmp_path)) == 0


def test_predictions_are_those_of_the_table_whatever_a_network_is_given_as(table):
    found = genomes()
    architectures = [SPACE.decode(genome) for genome in found]
    expected = [one.ms for one in table.table.estimate(architectures)]
    assert [row["latency_ms"] for row in table.predict(*found)] == expected
    assert [row["latency_ms"] for row in table.predict(*architectures)] == expected
    assert [row["arch_id"] for row in table.predict(*found)] == [one.arch_id for one in architectures]
    assert all(row["low_ms"] <= row["latency_ms"] <= row["high_ms"] for row in table.predict(*found))


def test_what_the_table_cannot_say_is_an_error_and_no_number(table):
    with pytest.raises(LutError, match="LUT02"):
        table.predict("mobilenetv3-small")
    with pytest.raises(SpaceError, match="SPC02"):
        table.predict((0, 0))


def test_lookup_takes_part_of_a_label_or_a_network(table):
    assert len(table.lookup("")) == len(table.rows()) == len(table.table.entries)
    stems = table.lookup("stem")
    assert 0 < len(stems) < len(table.rows()) and all("stem" in row["segment"] for row in stems)
    assert len(table.lookup("no such words")) == 0
    architecture = SPACE.decode(genomes(1)[0])
    labels = [segment.label() for segment in segments_of(architecture)]
    assert [row["segment"] for row in table.lookup(architecture)] == labels
    assert [row["segment"] for row in table.lookup(genomes(1)[0])] == labels


def test_marks_stand_beside_every_number(table):
    for rows in (table.rows(), table.predict(genomes(1)[0]), table.networks()):
        assert {"SIMULATED", "UNVALIDATED"} <= set(rows.notes)
    assert "UNVALIDATED" in table._repr_html_()


def test_whole_networks_come_with_what_the_table_predicts_of_them(table):
    rows = table.networks()
    assert [row["purpose"] for row in rows] == ["calibration", "validation"]
    apply = table.table.calibration.apply
    assert [row["predicted_ms"] for row in rows] == [apply(2.0, 1000), apply(3.0, 1000)]


def test_the_figure_has_both_kinds_of_networks(table, optional_package):
    optional_package("plotly.graph_objects")
    calibration, validation, equal = table.plot().data
    assert (list(calibration.y), list(validation.y)) == ([2.5], [3.5])
    assert list(equal.x) == list(equal.y) == [2.5, 3.5]


def test_the_data_frame_has_every_entry(table, optional_package):
    optional_package("pandas")
    assert len(table.to_pandas()) == len(table.table.entries)
