"""`mnas train`: networks trained on several seeds, exported, resumed; and what a newcomer may get wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from picture_folders import make_folder

from mnas.cli import main
from mnas.spaces.presets import open_space
from search.data.registry import open_dataset

SPACE = open_space("mobilenetv3", "digits")
QUICK = ["--data", "digits", "--epochs", "3", "--images", "320", "--workers", "1"]


@pytest.fixture
def networks(tmp_path):
    """A folder as `mnas study export` writes it: two networks without weights."""
    smallest = SPACE.extremes()[0]
    larger = SPACE.canonical((smallest[0], 1, *smallest[2:]))
    for number, genome in enumerate((smallest, larger)):
        folder = tmp_path / "top" / f"{number}-x"
        folder.mkdir(parents=True)
        (folder / "architecture.json").write_text(json.dumps(SPACE.decode(genome).to_json()))
    return tmp_path / "top"


def run(capsys, *words):
    status = main(["train", *map(str, words), "--format", "json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_networks_are_trained_on_seeds_and_exported_with_error_bars(networks, tmp_path, capsys):
    words = [networks, *QUICK, "--seeds", "3", "--int8", "--out", tmp_path / "out"]
    status, found = run(capsys, *words)
    assert status == 0
    small, large = found["networks"]
    assert small["macs"] <= large["macs"]
    for one in found["networks"]:
        errors = [seed["val"] for seed in one["errors"].values()]
        assert one["val"]["top1"] == pytest.approx(1 - np.mean(errors)) and one["val"]["half_width"] > 0
        assert errors[one["exported_repeat"]] == min(errors)
        card = json.loads((tmp_path / "out" / "trained" / one["arch_id"][:12] / "card.json").read_text())
        assert card["arch_id"] == one["arch_id"] and card["latency"] is None
        splits = [row["split"] for row in card["accuracy"]]
        assert splits[:3] == ["val", "test", "test"]
        if not one["int8_refusal"]:
            assert splits[3:] == ["val", "val"] and set(one["int8"]) == {"onnx", "tflite"}
    assert any(not one["int8_refusal"] for one in found["networks"])
    folder = large["folder"]
    assert {"model.onnx", "model.tflite", "weights.pt", "card.md"} <= set(os.listdir(folder))

    # Once more, nothing is trained, and the same is told; one seed more is one training more each.
    started = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("seed-*.pt")}
    assert len(started) == 6
    assert run(capsys, *words)[1] == found
    assert started == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("seed-*.pt")}

    assert main(["export", folder, "--out", str(tmp_path / "again"), "-q"]) == 0
    capsys.readouterr()


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_result(networks, tmp_path, capsys):
    words = [str(networks / "0-x"), *QUICK, "--epochs", "60", "--seeds", "1"]
    command = [sys.executable, "-m", "mnas", "train", *words, "--out", str(tmp_path / "cut"), "-q"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list((tmp_path / "cut").rglob("*.part")) and process.poll() is None:
        assert time.monotonic() < end, "no epoch was kept"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "cut").rglob("*.part"))
    _, gone_on = run(capsys, *words, "--out", tmp_path / "cut")
    _, whole = run(capsys, *words, "--out", tmp_path / "whole")
    assert gone_on["networks"][0]["errors"] == whole["networks"][0]["errors"]
    assert not list((tmp_path / "cut").rglob("*.part"))


@pytest.mark.slow
def test_the_same_command_tries_what_failed_again_unless_it_diverged(networks, tmp_path, capsys):
    words = [networks / "0-x", *QUICK, "--seeds", "2", "--out", tmp_path / "out"]
    _, whole = run(capsys, *words)
    figures = next((tmp_path / "out").rglob("seed-0.json"))
    figures.write_text(json.dumps({"error_message": "its process died twice", "seed": 1}))
    figures.with_suffix(".pt").unlink()
    _, again = run(capsys, *words)
    assert again["networks"][0]["errors"] == whole["networks"][0]["errors"]
    figures.write_text(json.dumps({"error_message": "TRN01: the loss is NaN", "seed": 1, "diverged": True}))
    _, left = run(capsys, *words)
    assert list(left["networks"][0]["errors"]) == ["1"] and "TRN01" in left["networks"][0]["failures"][0]


@pytest.mark.parametrize("name", ["pets", "digits"])
def test_a_folder_of_images_is_trained_on_whatever_its_name(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_folder(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    space, words = open_space("mobilenetv3", "digits-3x3"), ["--epochs", "1", "--seeds", "1", "--workers", "1", "-q"]
    (tmp_path / "architecture.json").write_text(json.dumps(space.decode(space.extremes()[0]).to_json()))
    status, found = run(capsys, "architecture.json", "--data", f"./{name}", *words, "--out", "out")
    assert status == 0 and found["schedule"]["crop"] == 0.0625, "that of folders"
    (trained,) = found["networks"]
    card, dataset = json.loads((tmp_path / trained["folder"] / "card.json").read_text()), open_dataset(f"./{name}")
    assert card["data"] == {"name": name, "fingerprint": dataset.fingerprint}
    assert [row["images"] for row in card["accuracy"]] == [dataset.size(split) for split in ("val", "test", "test")]


def test_a_plan_trains_nothing(networks, tmp_path, capsys):
    status, found = run(capsys, networks, *QUICK, "--plan", "--recipe", "mnasnet", "--out", tmp_path / "out")
    assert status == 0 and len(found["networks"]) == 2 and found["schedule"]["optimiser"] == "rmsprop"
    assert not (tmp_path / "out").exists()


def test_a_plan_of_a_folder_decodes_nothing(networks, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pets = make_folder(tmp_path / "pets", count=100)
    status, found = run(capsys, networks, "--data", pets, "--plan", "--out", tmp_path / "out")
    assert status == 0 and found["images"] == 180 and found["schedule"]["crop"] == 0.0625
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--distill", "0.5"], "CFG48"),
        (["--teacher", "nowhere.onnx"], "TRN16"),
        (["--data", "pets"], "DAT04"),
        (["--data", "pets", "--plan"], "DAT04"),
        (["--device", "cuda:7"], "TRN"),
        (["--lr", "1e9"], "TRN18"),
    ],
)
def test_bad_input_is_told(networks, tmp_path, capsys, words, code):
    status = main(
        ["train", str(networks / "0-x"), *QUICK, "--seeds", "1", *words, "--out", str(tmp_path / "out"), "-q"]
    )
    err = capsys.readouterr().err
    assert status != 0 and code in err and "Traceback" not in err


def test_a_folder_without_networks_and_a_network_of_other_classes_are_refused(tmp_path, capsys):
    assert main(["train", str(tmp_path), *QUICK]) == 2 and "CFG47" in capsys.readouterr().err
    other = open_space("mobilenetv3", "cifar10")
    (tmp_path / "architecture.json").write_text(json.dumps(other.decode(other.extremes()[0]).to_json()))
    status = main(["train", str(tmp_path), *QUICK, "--seeds", "1", "--out", str(tmp_path / "out"), "-q"])
    assert status != 0 and "TRN02" in capsys.readouterr().err
