"""A table of another device: refused, unless it is allowed; then everything that comes of it says so."""

import json
from dataclasses import replace

import pytest

from devices.device import DeviceInfo
from devices.testing import SimulatedDevice
from latency.exchange import export_table, import_table
from latency.on_device import OnDevice
from latency.table import load_table
from latency.testing import made_up_table
from mnas.cli import main
from mnas.cli.output import Format, render
from mnas.cli.study_report import write_report
from mnas.cli.study_view import candidates_result, front_result
from mnas.config import make_config
from mnas.errors import ConfigError, LutError
from mnas.spaces.presets import open_space
from search.events import EventLog
from search.foreign import ForeignTable
from search.resolve import resolve
from search.result import load_result
from search.study import Study, open_store
from search.testing import KeptReporter, ShortTraining

KEYS = {"data": "digits", "preset": "digits", "training": "small", "population": 4, "budget": 4, "lut": "lut2"}
KEYS |= {"finalists": 2, "finalist_seeds": 1}
PHONE = "Phone | <b>X</b>"


def import_of_a_phone(store, folder):
    """Bring the folder's table in as that of a phone, through a file."""
    document = json.loads(export_table(store, load_table(store, "lut1"), "json")[0].text)
    document["device"] |= {"kind": "adb", "model": PHONE, "runtime": "tflite"}
    document["device_key"] = DeviceInfo(**document["device"]).device_key
    (folder / "phone.json").write_text(json.dumps(document))
    return import_table(store, folder / "phone.json")


def test_what_is_foreign_names_the_fields_and_both_devices(store):
    table = made_up_table(open_space("mobilenetv3", "digits", (8,)))
    with OnDevice(SimulatedDevice(), store) as device:
        assert ForeignTable.of(table, device) is None
        table.device = replace(table.device, threads=4, os_build="another")
        foreign = ForeignTable.of(table, device)
        with pytest.raises(LutError, match="LUT03"):
            table.require_fit(device.info)
        table.require_fit(device.info, allow_foreign=True)
        with pytest.raises(LutError, match=r"LUT03.*batch: table 1, asked 2"):
            table.require_fit(device.info, batch=2, allow_foreign=True)
    assert foreign.differing == {"threads": [4, 1]}
    assert "threads: table 4, device 1" in foreign.text() and "FOREIGN" in foreign.text()
    assert ForeignTable(**json.loads(json.dumps(foreign.to_json()))) == foreign


def test_allowing_it_needs_a_table_to_allow():
    with pytest.raises(ConfigError, match=r"CFG08.*name the table with --lut"):
        resolve(make_config({"allow_foreign_lut": True}), KeptReporter())


@pytest.fixture(scope="module")
def studied(after_lut, tmp_path_factory):
    """A study on a phone's table with this machine as device, which is refused first and then allowed."""
    import shutil

    out = shutil.copytree(after_lut, tmp_path_factory.mktemp("foreign") / "out")
    reporter = KeptReporter()
    with open_store(out) as store:
        import_of_a_phone(store, out)
        refused = Study.create(store, make_config(KEYS))
        with pytest.raises(LutError, match=r"LUT03.*runtime: table 'tflite', device 'onnxruntime'"):
            refused.run(out, ShortTraining(), KeptReporter())
        study = Study.create(store, make_config({**KEYS, "allow_foreign_lut": True}))
        result = study.run(out, ShortTraining(EventLog(store, study.study_id)), reporter)
        yield out, store, result, reporter


@pytest.mark.slow
def test_every_result_of_a_foreign_table_is_stamped(studied):
    out, store, result, reporter = studied
    assert result.status == "finished"
    stamp = {"lut_id": result.lut_id, "device": result.foreign_lut.device, "device_key": result.foreign_lut.device_key}
    assert stamp["device"].startswith(PHONE) and "tflite" in stamp["device"]
    front = json.loads((out / "front.json").read_text())
    assert front["foreign_lut"] == stamp and [one["foreign_lut"] for one in front["members"]] == [stamp] * 2
    assert any("FOREIGN" in notice for notice in front["notices"])
    for member in front["members"]:
        card = json.loads((out / member["export"] / "card.json").read_text())["latency"]
        assert card["foreign_lut"] == stamp and card["lut_id"] == result.lut_id
        assert card["lut_marks"] == ["IMPORTED from phone.json (json)"]
        # What was measured, was measured here.
        assert card["device_key"] == result.session["device_key"] != stamp["device_key"]
        assert "onnxruntime" in card["device"] and PHONE not in card["device"]
        text = (out / member["export"] / "card.md").read_text()
        assert f"by the FOREIGN table {result.lut_id}, of Phone \\| \\<b>X\\</b>, tflite" in text
        assert "IMPORTED from phone.json (json)" in text
    assert front["lut_marks"] == ["IMPORTED from phone.json (json)"]
    for output_format in Format:
        for shown in (front_result(result), candidates_result(result)):
            text = render(shown, output_format)
            assert "FOREIGN" in text and "IMPORTED from phone.json (json)" in text
    page = write_report(store, result, out).read_text()
    assert page.count("FOREIGN") >= 2 and "<b>X" not in page
    assert any("FOREIGN" in warning for warning in reporter.warnings)
    assert any("IMPORTED from phone.json" in notice for notice in result.notices)
    assert load_result(store, result.study_id) == result


@pytest.mark.slow
@pytest.mark.parametrize("output_format", list(Format))
def test_networks_that_are_exported_by_a_foreign_table_are_stamped(studied, capsys, output_format):
    out, _, result, _ = studied
    assert main(["study", "export", "--out", str(out), "--format", output_format.value]) == 0
    text = capsys.readouterr().out
    assert ("foreign_lut" if output_format is Format.json else "FOREIGN") in text and PHONE[:5] in text
    assert "IMPORTED from phone.json (json)" in text
    top = json.loads((out / "top" / result.study_id / "top.json").read_text())
    assert top["foreign_lut"] == result.foreign_lut.stamp() and top["lut_marks"] == result.lut_marks


@pytest.mark.slow
def test_a_stamp_outlives_the_table(studied):
    """It is read from the study's own log, and a study is told apart by its configuration."""
    _, store, result, _ = studied
    assert EventLog(store, result.study_id).payload("lut")["foreign"] == result.foreign_lut.to_json()
    with pytest.raises(ConfigError, match=r"CFG03.*allow_foreign_lut"):
        Study.resume(store, result.study_id, {"allow_foreign_lut": False}, KeptReporter())


@pytest.mark.slow
def test_a_table_of_this_device_is_stamped_nowhere_but_says_that_it_is_not_validated(copy_after_lut):
    out = copy_after_lut("own")
    with open_store(out) as store:
        store.execute("UPDATE lut SET validation_json = NULL")
        study = Study.create(store, make_config({**KEYS, "lut": "lut1", "allow_foreign_lut": True}))
        result = study.run(out, ShortTraining(EventLog(store, study.study_id)), KeptReporter())
    assert result.foreign_lut is None
    front = json.loads((out / "front.json").read_text())
    assert [one["foreign_lut"] for one in (front, *front["members"])] == [None] * 3
    cards = [path.read_text() for path in out.glob("exports/*/card.md")]
    assert len(cards) == 2 and not any("FOREIGN" in card for card in cards)
    assert all("UNVALIDATED" in card for card in cards)
    assert any("UNVALIDATED" in notice for notice in front["notices"])
