"""A study on a phone: what goes out of it holds no serial, and says where the phone is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from software_phone.adb_server import OwnAdbServer
from software_phone.fixtures import software_phone_build  # noqa: F401
from software_phone.phone import SoftwarePhone

from devices.adb.privacy import public_serial
from devices.runners.library import RunnerLibrary
from mnas.cli.output import Format, render
from mnas.cli.study_list import list_result
from mnas.cli.study_report import write_report
from mnas.cli.study_view import candidates_result, front_result
from mnas.jsonio import canonical_json
from search.listing import study_lines
from search.result import load_result

TINY = (Path(__file__).parents[2] / "docs" / "spaces" / "tiny.toml").read_text(encoding="utf-8")
SERIALS = ("R58N12ABCDE", "192.168.7.31:5555")
SPECS = (f"adb:{SERIALS[0]}/tflite,cpus=big", f"adb:{SERIALS[1]}/tflite")
PUBLIC = (f"adb:{public_serial(SERIALS[0])}/tflite,cpus=big", f"adb:{public_serial(SERIALS[1])}/tflite")


def shown(store, result, folder):
    """Return all that is shown or written of a study."""
    formats = (Format.table, Format.json, Format.csv, Format.md, Format.jsonl)
    texts = [render(view(result), one) for view in (front_result, candidates_result) for one in formats]
    texts += [render(list_result(store), one) for one in formats]
    return [*texts, json.dumps(result.front_json()), write_report(store, result, folder).read_text(encoding="utf-8")]


def test_nothing_that_goes_out_of_a_study_holds_a_serial(make_study, tmp_path):
    context = make_study()
    config = context.config.model_copy(update={"device": SPECS[0], "other_devices": (SPECS[1],)})
    context.store.execute("UPDATE study SET config_json = ?", (canonical_json(config.model_dump()),))
    result = load_result(context.store, "")
    assert result.config.devices == SPECS, "the study itself goes on as it was asked for"
    assert result.devices == PUBLIC and result.front_json()["devices"] == list(PUBLIC)
    assert result.config_json() == {**config.model_dump(), "device": PUBLIC[0], "other_devices": (PUBLIC[1],)}
    texts = shown(context.store, result, tmp_path)
    assert not [text for text in texts for serial in SERIALS if serial in text]
    assert sum(PUBLIC[0] in text for text in texts) >= 4


@pytest.mark.parametrize("is_old", [False, True], ids=["recorded", "known by its table"])
@pytest.mark.parametrize("is_simulated", [False, True])
def test_a_study_says_whether_its_device_is_none(make_study, tmp_path, is_simulated, is_old):
    context = make_study()
    mark = {} if is_old else {"is_simulated": is_simulated}
    device = json.dumps({"is_simulated": is_simulated})
    context.store.execute(
        "INSERT INTO lut (lut_id, identity, created_at_utc, status, space, device_key, device_json, dtype, batch, "
        "settings_json) VALUES ('lut1', '', '', 'building', '', '', ?, 'float32', 1, '{}')",
        (device,),
    )
    context.log.append("lut", {"lut_id": "lut1", "foreign": None, **mark})
    result = load_result(context.store, "")
    assert result.is_simulated is is_simulated is result.front_json()["is_simulated"]
    assert [line.is_simulated for line in study_lines(context.store)] == [is_simulated]
    for view in (front_result(result), candidates_result(result)):
        assert render(view, Format.table).lstrip().startswith("SIMULATED") is is_simulated
        assert json.loads(render(view, Format.json))["is_simulated"] is is_simulated
    assert ("(simulated)" in render(list_result(context.store), Format.table)) is is_simulated


@pytest.mark.slow
@pytest.mark.software_phone
def test_a_search_on_a_software_phone_marks_all_that_comes_of_it(software_phone_build, tmp_path):  # noqa: F811
    space, out, own = tmp_path / "own.toml", tmp_path / "out", OwnAdbServer(tmp_path / "adb").start()
    # Few segments, and none so small that a tool that counts whole microseconds could not tell what it takes.
    space.write_text(TINY.replace("[8, 12]", "[16]").replace("channels = 16", "channels = 32"), encoding="utf-8")
    RunnerLibrary(tmp_path / "runners").add(software_phone_build.runners["benchmark_model"], "tflite")
    places = {"MNAS_RUNNERS": tmp_path / "runners", "MNAS_STATE": tmp_path / "state", "MNAS_OUT": out}
    environment = {**os.environ, "MNAS_ADB": own.server.address} | {name: str(path) for name, path in places.items()}

    def run(*words):
        command = [sys.executable, "-m", "mnas", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    try:
        with SoftwarePhone(software_phone_build) as phone:
            own.attach(phone.address)
            words = ["--data", "digits", "--space", str(space), "--device", f"adb:{phone.address}/tflite"]
            words += ["--lut-rounds", "3", "--lut-calibration", "2", "--lut-validation", "2", "--training", "small"]
            words += ["--budget", "4", "--population", "4", "--finalists", "2", "--finalist-seeds", "1"]
            found, told = run("search", *words)
            serials = (phone.serial, phone.address)
    finally:
        own.stop()
    assert found.lstrip().startswith("SIMULATED") and "warning: SIMULATED: " in told
    texts = [found, *(run("study", "show", "--format", name)[0] for name in ("table", "json", "csv", "md"))]
    assert texts[1].lstrip().startswith("SIMULATED") and "SIMULATED: no real device is behind adb:phone-" in texts[1]
    assert "(simulated)" in run("study", "list")[0]
    run("study", "export", "--top", "4", "--to", str(out / "top"))
    files = [path for suffix in ("json", "md", "html") for path in out.rglob(f"*.{suffix}")]
    assert {path.name for path in files} >= {"front.json", "top.json", "card.json", "card.md"}
    for path in files:
        texts.append(path.read_text(encoding="utf-8"))
        if path.name != "architecture.json":
            assert "simulated" in texts[-1].lower(), path
    assert not [text for text in texts for serial in serials if serial in text]
    assert json.loads((out / "front.json").read_text())["is_simulated"] is True
