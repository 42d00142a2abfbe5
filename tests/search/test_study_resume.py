"""A study from the command line, killed at several moments and gone on with, comes to what an undisturbed one does."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mnas.architecture import Architecture
from mnas.modules import build_module
from mnas.store import FILE_NAME
from search.data.registry import open_dataset
from search.result import load_result
from search.study import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SKIPPED: signals and /proc are needed"),
]
_LUT = ["--lut-rounds", "3", "--lut-calibration", "3", "--lut-validation", "3"]
_STUDY = ["--data", "digits", "--training", "small", "--budget", "6", "--population", "4", "--seed", "3", *_LUT]
_STUDY += ["--finalists", "2", "--finalist-seeds", "1"]
_PATIENCE_S = 240


def mnas(*arguments):
    """Start the real program in a session of its own, as a terminal would."""
    command = [sys.executable, "-m", "mnas", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process):
    stdout, stderr = process.communicate(timeout=_PATIENCE_S)
    return process.returncode, stdout, stderr


def count(out, kind):
    """Count events without ever writing; 0 as long as there is no such table."""
    try:
        connection = sqlite3.connect(f"file:{out / FILE_NAME}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT count(*) FROM event WHERE kind = ?", (kind,)).fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0


def descendants(pid):
    """Process ids below one, from /proc; dead ones are left out."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (OSError, IndexError):
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, what, process=None):
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, f"ended before {what}: {process.communicate()[1]}"
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.03)


def interrupt_after(out, kind, how, *arguments):
    """Run until one more event of a kind is there, stop the program, and see that nothing of it lives on."""
    before = count(out, kind)
    process = mnas("search", *arguments, "--out", out)
    try:
        wait_for(lambda: count(out, kind) > before, f"another {kind!r}", process)
        below = descendants(process.pid)
        process.send_signal(signal.SIGKILL) if how == "kill" else os.killpg(process.pid, signal.SIGINT)
        status, _, stderr = finish(process)
    finally:
        process.kill()
        process.communicate()
    wait_for(lambda: not any(map(is_alive, below)), f"the end of {below}")
    assert below, "no worker process was seen"
    return status, stderr


@pytest.fixture(scope="module")
def undisturbed(after_lut, tmp_path_factory):
    """An output folder of a study that ran in one go, on one worker."""
    out = Path(shutil.copytree(after_lut, tmp_path_factory.mktemp("undisturbed") / "out"))
    status, stdout, stderr = finish(mnas("search", *_STUDY, "--workers", "1", "--out", out, "--format", "json"))
    assert status == 0, stderr
    assert json.loads(stdout)["status"] == "finished"
    return out


def what_a_study_promises(out):
    """Everything of a study but times, dates and what was measured after the search."""
    with open_store(out, must_exist=True) as store:
        result = load_result(store, "")
        events = store.query("SELECT kind, key, payload_json FROM event WHERE study_id = ?", (result.study_id,))
    found = {"status": result.status, "candidates": [one.to_json() for one in result.candidates]}
    for event in events:
        if event["kind"] in ("goal", "lut", "generation", "finalists", "trained", "tested", "exported"):
            found[event["kind"], event["key"]] = json.loads(event["payload_json"])
    for value in [*found["candidates"], *found.values()]:
        if isinstance(value, dict):
            value.pop("cost_s", None)
    left_out = ("measured_ms", "interval_ms", "reward", "recommended", "ties_with", "same_latency_as")
    left_out += ("objectives", "device_ms")
    members = json.loads((out / "front.json").read_text(encoding="utf-8"))["members"]
    found["front"] = [{key: value for key, value in one.items() if key not in left_out} for one in members]
    for model in sorted((out / "exports").glob("*/*")):
        if not model.name.startswith("card."):
            found[f"{model.parent.name}/{model.name}"] = hashlib.sha256(model.read_bytes()).hexdigest()
    return found


def test_killed_three_times_it_comes_to_the_same(undisturbed, copy_after_lut):
    """During candidates' training, during finalists' training and after; a Ctrl-C between; on other workers."""
    out = copy_after_lut("killed")
    status, _ = interrupt_after(out, "evaluated", "kill", *_STUDY, "--workers", "2")
    assert status == -signal.SIGKILL and count(out, "finalists") == 0
    status, stderr = interrupt_after(out, "evaluated", "Ctrl-C", "--resume", "--workers", "2")
    assert status == 130 and "Traceback" not in stderr
    assert "interrupted" in stderr.splitlines()[-1] and "--resume" in stderr.splitlines()[-1]
    status, _ = interrupt_after(out, "trained", "kill", *_STUDY, "--resume", "--workers", "2")
    assert status == -signal.SIGKILL and count(out, "exported") == 0
    status, _ = interrupt_after(out, "exported", "kill", "--resume", "--workers", "2")
    assert status == -signal.SIGKILL and count(out, "tested") == 0
    assert not (out / "front.json").exists()
    for half_written in (out / ".front.json.ab12cd34", next((out / "exports").iterdir()) / ".model.onnx.ab12cd34"):
        half_written.write_bytes(b"half")
    status, _, stderr = finish(mnas("search", "--resume", "--workers", "2", "--out", out))
    assert status == 0, stderr
    assert what_a_study_promises(out) == what_a_study_promises(undisturbed)
    assert {path.name for path in out.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_a_finished_study_leaves_no_work_behind_and_is_not_resumed(undisturbed):
    assert {path.name for path in undisturbed.iterdir()} >= {"store.sqlite3", "front.json", "exports", "reports"}
    assert not (undisturbed / "work").exists()
    status, _, stderr = finish(mnas("search", "--resume", "--out", undisturbed))
    assert status == 6 and "STU01" in stderr and "Traceback" not in stderr
    with open_store(undisturbed, must_exist=True) as store:
        study_id = load_result(store, "").study_id
    status, _, stderr = finish(mnas("search", "--resume", study_id, "--budget", "50", "--out", undisturbed))
    assert status == 6 and "STU06" in stderr


def error_by_the_card(folder, dataset, preprocess):
    """The test error of model.onnx on images that were prepared as card.json says, by onnxruntime alone."""
    import onnxruntime

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    indices = dataset.indices("test")
    pixels = preprocess(dataset.images_u8[indices].float(), card["preprocessing"])
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    outputs = [session.run(None, {given.name: image[None]})[0][0] for image in pixels.numpy()]
    found = [card["class_labels"][i] for i in np.argmax(outputs, axis=1)]
    truth = [dataset.class_names[i] for i in dataset.labels[indices].tolist()]
    return float(np.mean([a != b for a, b in zip(found, truth, strict=True)])), card


def as_the_card_says(pixels, card):
    assert (card["layout"]["onnx"], card["scale"], card["resize"]) == ("NCHW", "pixels / 255", "bilinear, antialiased")
    assert card["channels"] == pixels.shape[1]
    sized = torch.nn.functional.interpolate(pixels / 255, (card["px"],) * 2, mode="bilinear", antialias=True)
    return (sized - torch.tensor(card["mean"]).view(-1, 1, 1)) / torch.tensor(card["std"]).view(-1, 1, 1)


def upside_down(pixels, card):
    return as_the_card_says(255 - pixels, card)


def test_the_exported_model_and_its_card_reproduce_the_reported_test_error(undisturbed):
    dataset = open_dataset("digits")
    folders = sorted((undisturbed / "exports").iterdir())
    assert len(folders) == 2
    for folder in folders:
        error, card = error_by_the_card(folder, dataset, as_the_card_says)
        (own,) = [row for row in card["accuracy"] if row["note"] == "the exported weights"]
        assert (own["split"], own["images"]) == ("test", dataset.size("test"))
        assert error == pytest.approx(1 - own["top1"], abs=1.01 / own["images"])
        assert error < 0.2, "these networks have learnt something"
        assert error_by_the_card(folder, dataset, upside_down)[0] > error + 0.2, "preprocessing matters"


def test_an_export_folder_is_complete(undisturbed):
    front = json.loads((undisturbed / "front.json").read_text(encoding="utf-8"))
    for member in front["members"]:
        folder = undisturbed / member["export"]
        assert folder.name == member["arch_id"][:12]
        names = {"architecture.json", "weights.pt", "model.onnx", "model.tflite", "card.json", "card.md"}
        assert {path.name for path in folder.iterdir()} == names
        architecture = Architecture.from_json(json.loads((folder / "architecture.json").read_text(encoding="utf-8")))
        assert architecture.arch_id == member["arch_id"]
        weights = torch.load(folder / "weights.pt", weights_only=True)
        build_module(architecture).load_state_dict(weights)
        assert (folder / "model.tflite").read_bytes()[4:8] == b"TFL3"
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        assert (card["arch_id"], card["dtype"]) == (member["arch_id"], "float32")
        assert card["latency"]["measured_ms"] == member["measured_ms"]
        assert card["latency"]["predicted_ms"] == member["predicted_ms"]
        assert len(card["latency"]["device_key"]) == 64
        assert card["params"] == sum(value.numel() for name, value in weights.items() if "num_" not in name) - sum(
            value.numel() for name, value in weights.items() if "running_" in name
        )
        text = (folder / "card.md").read_text(encoding="utf-8")
        assert member["arch_id"][:12] in text and f"{member['measured_ms']:.4f} ms" in text


def test_the_store_is_small_and_the_report_is_there(undisturbed):
    (report,) = (undisturbed / "reports").glob("study*.html")  # beside the page of the table
    assert 10_000 < report.stat().st_size < 1_000_000
    with open_store(undisturbed, must_exist=True) as store:
        largest = store.query("SELECT max(length(payload_json)) AS n FROM event WHERE kind = 'evaluated'")[0]["n"]
    assert 0 < largest <= 4096
