"""``mnas export --int8``: files of integers beside those of floats, or a reason why there are none."""

import csv
import io
import json
import re
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from mnas.cli import main
from mnas.export.float_operators import float_operators

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
    for model_format in ("onnx", "tflite"):
        assert float_operators((out / f"mobilenetv3-small-int8.{model_format}").read_bytes(), model_format) == ()
    code, said = run(*options, capsys=capsys)
    assert code == 1
    assert "EXP07" in said.err
    code, said = run(*options, "--to", "tflite", "--force", capsys=capsys)
    assert code == 0
    assert "tflite int8" in said.out
    assert "agreement" in said.out
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
