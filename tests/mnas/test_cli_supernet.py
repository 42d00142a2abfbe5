"""`mnas supernet`: training in parts, what is shown, and refusals."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from picture_folders import make_folder

from mnas.cli import main
from mnas.export.weights_file import load_weights
from mnas.spaces.presets import open_space
from search.data.registry import open_dataset
from search.supernet.checkpoint import read_checkpoint
from search.training.trainer import evaluate

DIGITS = ["--data", "digits", "--epochs", "1", "-q"]


def test_training_in_parts_comes_to_the_same_supernet(tmp_path, capsys):
    def run(*arguments):
        status = main(["supernet", *arguments, "--format", "json"])
        told = capsys.readouterr()
        return status, json.loads(told.out) if status == 0 else told.err

    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    _, expected = run("train", *DIGITS, "--out", whole)
    assert expected["step"] == expected["steps"] == 15
    assert run("train", *DIGITS, "--out", parts, "--minutes", "0.0001")[1]["step"] < 15
    assert run("train", *DIGITS, "--out", parts, "--resume")[1]["sha256"] == expected["sha256"]
    status, told = run("train", *DIGITS, "--out", parts)
    assert status == 6 and "SUP03" in told
    status, told = run("train", "--data", "digits", "--epochs", "2", "--out", parts, "--resume")
    assert status == 6 and "SUP02" in told
    assert run("show", parts)[1]["sha256"] == run("show", "--out", parts)[1]["sha256"] == expected["sha256"]


def launched(tmp_path, port, *arguments):
    """Run the command in two processes as torchrun does; return status, stdout and stderr of each."""
    command = [sys.executable, "-m", "mnas", "supernet", "train", *DIGITS, "--out", str(tmp_path), *arguments]
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, told, strict=True)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the loopback device has another name elsewhere")
def test_the_first_of_launched_processes_speaks_for_all(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, second = launched(tmp_path / "a", port, "--format", "json")
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert json.loads(first[1])["processes"] == 2 and second[1] == ""
    first, second = launched(tmp_path / "b", port, "--amp")
    assert first[0] == second[0] == 2 and "CFG45" in first[2]
    assert "CFG45" not in second[2] and "Traceback" not in second[2]


def test_a_network_is_taken_out_with_its_weights_and_can_be_exported(tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    assert main(["supernet", "train", *DIGITS, *out]) == 0
    space, dataset = open_space("mobilenetv3", "digits"), open_dataset("digits")
    largest = space.decode(space.extremes()[1])
    own = tmp_path / "architecture.json"
    own.write_text(json.dumps(largest.to_json()))
    capsys.readouterr()
    told = []
    for network in ("largest", str(own), "smallest"):
        assert main(["supernet", "extract", str(tmp_path), network, *out, "-q", "--format", "json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] and told[0]["arch_id"] == largest.arch_id != told[2]["arch_id"]
    folder = tmp_path / "subnets" / largest.arch_id[:12]
    assert str(folder) == told[0]["folder"]
    # The weights are the supernet's own; only norms have seen images since.
    module = load_weights(largest, folder / "weights.pt")
    inherited = read_checkpoint(tmp_path).supernet().extract(largest)
    for (name, one), (other_name, other) in zip(module.named_parameters(), inherited.named_parameters(), strict=True):
        assert name == other_name and torch.equal(one, other)
    assert any(not torch.equal(one, other) for one, other in zip(module.buffers(), inherited.buffers(), strict=True))
    found = evaluate(module, dataset, "val", largest.input_shape_chw[1])
    assert (found.error, found.images) == (told[0]["val_error"], told[0]["val_images"])
    assert found.loss == pytest.approx(told[0]["val_loss"], rel=1e-5)
    card = json.loads((folder / "card.json").read_text())
    assert [row["split"] for row in card["accuracy"]] == ["val"] and card["study"].startswith("supernet-")
    assert main(["export", str(folder), "--out", str(tmp_path / "again"), "-q"]) == 0


def test_what_is_no_network_of_the_supernet_is_refused(tmp_path, capsys, monkeypatch):
    assert main(["supernet", "train", *DIGITS, "--minutes", "0.0001", "--out", str(tmp_path)]) == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures = str(make_folder(tmp_path / "pictures"))
    cases = {"ARC03": ["nothing"], "SPC03": ["mobilenetv2"], "SUP05": ["smallest", "--data", pictures]}
    for code, arguments in cases.items():
        assert main(["supernet", "extract", str(tmp_path), *arguments, "--out", str(tmp_path)]) in (2, 6)
        assert code in capsys.readouterr().err
    assert not (tmp_path / "subnets").exists()


def test_a_plan_trains_nothing(tmp_path, capsys):
    assert main(["supernet", "train", "--preset", "fashion-wide", "--plan", "--out", str(tmp_path / "x")]) == 0
    assert "parameters" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


def test_every_setting_of_the_training_can_be_given(tmp_path, capsys):
    words = "--batch 32 --accumulate 2 --lr 0.05 --clip-norm 0 --ema 0.9 --flip --progressive --rule sandwich"
    out = ["--out", str(tmp_path / "out"), "--format", "json"]
    assert main(["supernet", "train", *DIGITS, *words.split(), *out]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = {"batch_size": 32, "accumulate": 2, "lr": 0.05, "clip_norm": 0.0, "ema_decay": 0.9, "flip": True}
    assert expected.items() <= found["schedule"].items() and len(found["schedule"]["phases"]) == 4
    assert read_checkpoint(tmp_path / "out").averages
    for words in (["--lr", "inf"], ["--lr", "nan"], ["--clip-norm", "nan"], ["--ema", "nan"]):
        assert main(["supernet", "train", *DIGITS, *words, "--out", str(tmp_path / "x")]) == 2
        assert "CFG01" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--data", "./pets"], "mobilenetv3/digits-3x3"),
        (["--data", "./pets@32", "--space", "proxylessnas"], "proxylessnas/fashion-3x3"),
        (["--data", "cifar100"], "mobilenetv3/cifar10-3x100"),
        (["--data", "fashion-mnist"], "mobilenetv3/fashion"),
        (["--data", "cifar10", "--space", "mnasnet"], "mnasnet/fashion-3x10"),
    ],
)
def test_without_a_preset_the_space_fits_the_data(tmp_path, capsys, monkeypatch, words, name):
    make_folder(tmp_path / "pets", count=2)
    monkeypatch.chdir(tmp_path)
    assert main(["supernet", "train", *words, "--plan"]) == 0
    assert f"supernet of {name}" in capsys.readouterr().out


def test_refusals_have_their_codes(tmp_path, capsys):
    cases = {
        "SPC12": ["train", "--space", "lightweight", *DIGITS],
        "CFG06": ["train", *DIGITS, "--preset", "cifar10"],
        "DAT04": ["train", "--data", "pets"],
        "CFG46": ["train", *DIGITS, "--resume", "name"],
        "CFG01": ["train", *DIGITS, "--rule", "greedy"],
        "CFG45": ["train", *DIGITS, "--amp"],
        "SUP01": ["show"],
        "TRN12": ["train", *DIGITS, "--device", "cuda:99"],
    }
    for code, arguments in cases.items():
        assert main(["supernet", *arguments, "--out", str(tmp_path / code)]) in (1, 2, 6)
        assert code in capsys.readouterr().err
    assert main(["supernet", "train", *DIGITS, "--device", "tpu", "--out", str(tmp_path)]) == 1
    assert "known are cpu, cuda, cuda:N" in capsys.readouterr().err
