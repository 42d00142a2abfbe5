"""``mnas export --int8``: files of integers beside those of floats, or a reason why there are none."""

import csv
import io
import json
import re
from hashlib import sha256

import numpy as np
import pytest
import torch
from PIL import Image

from mnas.cli import main
from mnas.export.float_operators import float_operators
from mnas.export.parity import settle_batch_norm
from mnas.jsonio import write_json_atomic
from mnas.modules import build_module
from mnas.reading import read_architecture

NETWORK = ["export", "mobilenetv3-small", "--px", "32", "--classes", "5"]
SCALING = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def run(*options, capsys):
    code = main([*NETWORK, *map(str, options)])
    return code, capsys.readouterr()


def test_files_of_integers_stand_beside_the_others(images, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--int8", "--calibration", images, *SCALING, "--out", out)
    code, said = run(*options, "--format", "json", capsys=capsys)
    assert code == 0
    files = json.loads(said.out)["files"]
    assert [(one["format"], one["dtype"]) for one in files] == [
        ("onnx", "float32"),
        ("tflite", "float32"),
        ("onnx", "int8"),
        ("tflite", "int8"),
    ]
    assert files[2]["size_bytes"] < 0.7 * files[0]["size_bytes"]
    assert 0 <= files[3]["gate"]["accuracy"]["agreement"] <= 1
    assert json.loads(said.out)["int8"] == {
        "calibration_images": 12,
        "compared_images": 12,
        "is_held_out": False,
        "has_labels": False,
    }
    for model_format in ("onnx", "tflite"):
        assert float_operators((out / f"mobilenetv3-small-int8.{model_format}").read_bytes(), model_format) == ()
    code, said = run(*options, capsys=capsys)
    assert code == 1
    assert "EXP07" in said.err
    code, said = run(*options, "--to", "tflite", "--force", capsys=capsys)
    assert code == 0
    assert "tflite int8" in said.out
    assert "agreement" in said.out and "the 12 calibration images themselves" in said.out
    code, said = run(*options, "--to", "onnx", "--force", "--format", "csv", capsys=capsys)
    assert code == 0
    hashes = [row["sha256"] for row in csv.DictReader(io.StringIO(said.out))]
    assert hashes == [sha256((out / f"mobilenetv3-small{one}.onnx").read_bytes()).hexdigest() for one in ("", "-int8")]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--int8", *SCALING], 2, "CFG31.*no --calibration"),
        (["--calibration", "IMAGES"], 2, "CFG31.*without --int8"),
        (["--int8", "--calibration", "IMAGES"], 2, "CFG31.*how images are prepared"),
        (["--int8", "--calibration", "IMAGES", "--mean", "0.5,0.5,0.5"], 2, "CFG31.*go together"),
        (["--int8", "--calibration", "IMAGES", "--mean", "a,b,c", "--std", "1,1,1"], 2, "CFG31.*no list of numbers"),
        (["--int8", "--calibration", "IMAGES", "--mean", "0.5", "--std", "1"], 6, "DAT14"),
        (["--int8", "--calibration", "EMPTY", *SCALING], 6, "DAT11"),
        (["--int8", "--calibration", "MISSING", *SCALING], 6, "DAT11"),
        (["--int8", "--calibration", "DAMAGED", *SCALING], 6, "DAT12.*broken.png"),
        (["--int8", "--calibration", "FEW", *SCALING], 6, "DAT13"),
    ],
)
def test_nothing_is_written_without_images(options, code, message, images, tmp_path, capsys):
    folders = {name: tmp_path / name.lower() for name in ("EMPTY", "DAMAGED", "FEW", "MISSING")}
    for name in ("EMPTY", "DAMAGED", "FEW"):
        folders[name].mkdir()
    for number, path in enumerate(images.iterdir()):
        (folders["DAMAGED"] / path.name).write_bytes(path.read_bytes())
        if number < 3:
            (folders["FEW"] / path.name).write_bytes(path.read_bytes())
    (folders["DAMAGED"] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    folders["IMAGES"] = images
    out = tmp_path / "out"
    seen, said = run(*(folders.get(one, one) for one in options), "--out", out, capsys=capsys)
    assert seen == code
    assert not out.exists()
    assert re.search(message, said.err.replace("\n", " "))


COLOURS = ("red", "green", "blue")
TELLS_COLOURS = "input 3x16x16 classes 3\nstem: conv k3 s2 o16 relu\nhead: pool o16 | linear o3"


def colour(place, count, seed):
    """Noisy images of one colour, uint8 ``(count, 16, 16, 3)``."""
    values = np.random.default_rng(seed).integers(0, 60, (count, 16, 16, 3))
    values[..., place] += 150
    return values.astype(np.uint8)


@pytest.fixture
def trained(tmp_path):
    """Weights that tell colours, with their card: the last layer is fitted by least squares."""
    architecture = read_architecture(TELLS_COLOURS)
    module = build_module(architecture, seed=1)
    settle_batch_norm(module, architecture.input_shape_chw, 1)
    pixels = np.concatenate([colour(place, 20, place) for place in range(3)])
    images = torch.from_numpy((pixels.transpose(0, 3, 1, 2) / 255 - 0.5).astype(np.float32) / 0.25)
    last = list(module.parts.values())[-1]
    seen = []
    handle = last.register_forward_hook(lambda part, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        module.eval()(images)
        handle.remove()
        features = torch.cat([seen[0], torch.ones(len(images), 1)], 1)
        fitted = torch.linalg.lstsq(features, torch.eye(3).repeat_interleave(20, 0)).solution.T
        last.weight.copy_(fitted[:, :-1])
        last.bias.copy_(fitted[:, -1])
    folder = tmp_path / "trained"
    folder.mkdir()
    torch.save(module.state_dict(), folder / "weights.pt")
    write_json_atomic(folder / "architecture.json", architecture.to_json())
    preprocessing = {"px": 16, "channels": 3, "mean": [0.5] * 3, "std": [0.25] * 3}
    card = {"arch_id": architecture.arch_id, "preprocessing": preprocessing, "class_labels": [*COLOURS]}
    write_json_atomic(folder / "card.json", card)
    return folder


def test_folders_of_classes_give_the_accuracy_of_images_that_calibrated_nothing(trained, tmp_path, capsys):
    images = tmp_path / "photos"
    for place, name in enumerate(COLOURS):
        (images / name).mkdir(parents=True)
        for number, pixels in enumerate(colour(place, 8, 10 + place)):
            # Of every class, one image in eight is of another: what no network gets right.
            shown = colour((place + 1) % 3, 1, 99)[0] if number == 3 else pixels
            Image.fromarray(shown).save(images / name / f"{number}.png")
    options = ["export", str(trained), "--int8", "--calibration", str(images), "--out", str(tmp_path / "out")]
    assert main([*options, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["int8"] == {
        "calibration_images": 18,
        "compared_images": 6,
        "is_held_out": True,
        "has_labels": True,
    }
    for file in document["files"][2:]:
        accuracy = file["gate"]["accuracy"]
        assert (accuracy["images"], accuracy["top1_float"], accuracy["top1_int8"]) == (6, 0.5, 0.5)
    assert main([*options, "--force", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["top1_int8"] for row in rows] == ["", "", "0.5", "0.5"]
    assert main([*options, "--force"]) == 0
    said = capsys.readouterr().out
    assert "6 images of the folder, every fourth, that calibrated nothing (18 did)" in said.replace("\n", " ")
