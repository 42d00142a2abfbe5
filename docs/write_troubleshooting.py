"""Writes docs/troubleshooting.md: the likely mistakes of a newcomer, each made here and its message pasted.

    python docs/write_troubleshooting.py

A test runs the same commands and holds the page to what they print. Paths, ids and what depends on the machine are
made neutral.
"""

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
WIDTH = 116
MODEL = "model.onnx"
_CODE = re.compile(r"\b[A-Z]{3}\d\d: ")
_HEAD = """\
# When something goes wrong

Fifteen mistakes that are easily made, what mnas says to each, and what to do. The commands were run and their messages
pasted by `docs/write_troubleshooting.py`; a test holds the page to the code.

A message says what is wrong, the value that was seen, why that cannot work and how to mend it. Its code (`MOD01`) stays
the same from version to version. The exit code says of which kind it is: 1 something failed, 2 usage, 3 a gate failed,
4 the device or a measurement, 5 inconclusive, 6 data or state on the disk, 130 interrupted. `--debug` shows the
traceback of any error, and `mnas doctor` looks for what this machine lacks; phones that are not ready are in
docs/phones.md.
"""


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        title: What was done, as one would look for it.
        command: Arguments of ``mnas``.
        remedy: What to do, beyond what the message says.
        prepare: Puts what the command needs into its folder.
    """

    title: str
    command: str
    remedy: str
    prepare: Callable[[Path], None] = lambda folder: None


def _weights(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(b"PK\x03\x04")


def _onnx(folder: Path, op: str, shape: list[int | str], out: list[int | str], **weights: Any) -> Any:
    """Return an ONNX model of one layer."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(op, ["x", *weights], ["y"])],
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / MODEL)
    return onnx


def _without_weights(folder: Path) -> None:
    import numpy as np

    onnx = _onnx(folder, "MatMul", [1, 8], [1, 4], weight=np.ones((8, 4), np.float32))
    model, apart = onnx.load(folder / MODEL), f"{MODEL}.data"
    onnx.save(model, folder / MODEL, save_as_external_data=True, location=apart, size_threshold=0)
    (folder / apart).unlink()


def _open_sizes(folder: Path) -> None:
    _onnx(folder, "GlobalAveragePool", ["batch", 3, "height", "width"], ["batch", 3, 1, 1])


def _tflite(folder: Path) -> None:
    from mnas.export.network import write_network
    from mnas.named_networks import named_network

    written = write_network(named_network("mobilenetv3-small", 32), folder, "tflite")
    written.path.rename(folder / "model.tflite")


def _misspelt_key(folder: Path) -> None:
    (folder / "study.toml").write_text('data = "digits"\nbugdet = 20\n', encoding="utf-8")


def _photos(folder: Path) -> None:
    from PIL import Image

    (folder / "photos").mkdir()
    for name in ("cat.png", "dog.png"):
        Image.new("RGB", (16, 16)).save(folder / "photos" / name)


def _unfinished_study(folder: Path) -> None:
    from mnas.config import make_config
    from search.study import Study, open_store

    with open_store(folder / "mnas-out") as store:
        Study.create(store, make_config({"data": "digits", "preset": "digits", "seed": 0}))


def _foreign_table(folder: Path) -> None:
    from latency.saving import save_table
    from latency.testing import made_up_table
    from mnas.spaces.presets import open_space
    from search.study import open_store

    with open_store(folder / "mnas-out") as store:
        save_table(store, made_up_table(open_space("mobilenetv3", "digits")), [])


MISTAKES = (
    Mistake(
        "A network's name is not quite right",
        "bench mobilenet_v3",
        "`mnas arch list` has every network with its size and accuracy.",
    ),
    Mistake(
        "A file of weights is given for a model",
        "bench weights.pt",
        "A `.pt` file holds weights and no network. Export your `nn.Module` to ONNX or `torch.export` it to a `.pt2`, "
        "or name the function that makes it: `mnas bench package.module:make`.",
        _weights,
    ),
    Mistake(
        "An ONNX file was copied without its weights",
        f"bench {MODEL}",
        "Exporters put weights of large models into a second file beside the first. Copy both.",
        _without_weights,
    ),
    Mistake(
        "The model takes images of any size",
        f"bench {MODEL}",
        "A latency is of one size. `--shape 1,3,224,224` is enough for one input; an open batch is taken as 1.",
        _open_sizes,
    ),
    Mistake(
        "The device cannot read the model's format",
        "bench model.tflite --device host:ort",
        "Without `--device`, the file says which runtime is needed.",
        _tflite,
    ),
    Mistake(
        "The device is named by its runtime alone",
        "bench mobilenetv3-small --device onnxruntime",
        "`mnas devices list` shows what can be written here; `host` alone is this machine with onnxruntime.",
    ),
    Mistake(
        "The phone is not attached, or its debugging is off",
        "bench mobilenetv3-small --device adb:R58M12ABCDE/tflite",
        "`mnas devices list` shows what adb sees, and `mnas doctor --device adb:SERIAL/tflite` checks a phone from the "
        "cable to a number. docs/phones.md begins with the switch in the phone's settings.",
    ),
    Mistake(
        "A limit on the regression, and nothing to compare with",
        "bench mobilenetv3-small --max-regression 5%",
        "Both models are measured in one session: `--against old.onnx`, or `--against RUN` for those of a run before.",
    ),
    Mistake(
        "Results are looked for in another folder",
        "runs list --out results",
        "Without `--out`, results are in `$MNAS_OUT`, else in `mnas-out` of the folder that the command runs in.",
    ),
    Mistake(
        "A key of the study file is misspelt",
        "search --config study.toml",
        "Keys are the long flags of `mnas search` with `_` for `-`.",
        _misspelt_key,
    ),
    Mistake(
        "The data set goes by another name",
        "search --data mnist",
        "docs/data.md says which data sets there are, where they come from, and how your own images are laid out.",
    ),
    Mistake(
        "A folder of images has no folders for its classes",
        "search --data ./photos",
        "The folder's name is the class: `photos/cat/1.png`, `photos/dog/2.png`.",
        _photos,
    ),
    Mistake(
        "A space has no such preset",
        "lut build --preset fasion",
        "docs/spaces.md has the families and their presets, and how to write a space of your own.",
    ),
    Mistake(
        "A search is gone on with, and something else is asked for",
        "search --resume --seed 1",
        "`--resume` alone takes everything from the study. `--budget` and `--patience` may be changed.",
        _unfinished_study,
    ),
    Mistake(
        "A latency table is used for another device",
        "search --data digits --lut lut1",
        "Leave `--lut` out and the search builds a table of your device. `--allow-foreign-lut` ranks by the other "
        "device's and says so in every result.",
        _foreign_table,
    ),
)


class _NoPhones(socketserver.StreamRequestHandler):
    """An adb server that sees no phone, so that the page does not depend on what is attached here.

    Source: packages/modules/adb/SERVICES.TXT: a request is its length in four hexadecimal digits and its text.
    """

    _ANSWERS: ClassVar[dict[bytes, bytes]] = {b"host:version": b"0029", b"host:devices": b"", b"host:devices-l": b""}

    def handle(self) -> None:
        """Answer one request."""
        request = self.rfile.read(int(self.rfile.read(4) or b"0", 16))
        known = request in self._ANSWERS
        answer = self._ANSWERS.get(request, b"no phone is here")
        self.wfile.write((b"OKAY" if known else b"FAIL") + f"{len(answer):04x}".encode() + answer)


@contextmanager
def no_phones() -> Iterator[str]:
    """Serve as an adb server without phones, and yield its address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _NoPhones) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def run(mistake: Mistake) -> tuple[str, int]:
    """Make a mistake in a folder of its own, and return the message and the exit code."""
    with tempfile.TemporaryDirectory(prefix="mnas-mistake-") as name, no_phones() as adb:
        folder = Path(name)
        mistake.prepare(folder)
        done = subprocess.run(
            [sys.executable, "-m", "mnas", *mistake.command.split()],
            cwd=folder,
            env={**_environment(), "MNAS_ADB": adb, "MNAS_BUSY": "ignore"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return neutral(message(done.stdout, done.stderr), folder), done.returncode


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MNAS_", "COLUMNS"))}
    return {**kept, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


def message(stdout: str, stderr: str) -> str:
    """Return the message of an error: the last one on stderr, or what a table says of a model that has no number.

    Raises:
        ValueError: There is none.
    """
    lines = stderr.splitlines()
    ends = [place for place, line in enumerate(lines) if line.startswith("mnas: ")]
    if ends:
        return " ".join(lines[ends[-1] :])
    lines = stdout.splitlines()
    starts = [place for place, line in enumerate(lines) if _CODE.search(line)]
    if starts:
        return " ".join(lines[starts[0] :])
    raise ValueError(f"no message in {stdout!r} and {stderr!r}")


def neutral(text: str, folder: Path) -> str:
    """Return a message without what differs from machine to machine and from run to run."""
    text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), ".")
    text = re.sub(r"\b(study|lut|run)(\d+)-[0-9a-f]{6,8}\b", r"\1\2-…", text)
    return re.sub(
        r"(model|runtime_version|cpu_mask|threads): table ([^,;]*), device '[^']*'", r"\1: table \2, device …", text
    )


def section(number: int, mistake: Mistake) -> Iterator[str]:
    """Yield the lines of one mistake."""
    said, code = run(mistake)
    yield from ("", f"## {number}. {mistake.title}", "", "```", f"$ mnas {mistake.command}")
    yield from textwrap.wrap(said, WIDTH, break_long_words=False, break_on_hyphens=False)
    yield from (f"exit code {code}", "```", "", *textwrap.wrap(mistake.remedy, WIDTH))


def page() -> str:
    """Make every mistake and return the page."""
    lines = [line for number, mistake in enumerate(MISTAKES, 1) for line in section(number, mistake)]
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
