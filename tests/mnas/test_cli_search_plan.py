"""``mnas search --plan``: it tells what the estimator that was named does, and what it cannot tell."""

import json

import pytest
from picture_folders import make_folder

from mnas.cli import main
from search.data.registry import open_dataset, train_images


@pytest.fixture
def planned(capsys, tmp_path):
    """Return a function that plans a search on digits and gives its document, or what was refused."""
    path = tmp_path / "supernet.pt"
    path.write_bytes(b"")

    def plan(*words, budget="1000"):
        words = [word.replace("SUPERNET", f"supernet:{path}") for word in words]
        status = main(
            ["search", "--data", "digits", "--workers", "1", "--budget", budget, *words, "--plan", "--format", "json"]
        )
        said = capsys.readouterr()
        return json.loads(said.out) if status == 0 else said.err

    return plan


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("proxy", "trained with sgd-0x12-"),
        ("curves", "sgd-0x12-2b06f504 at most"),
        ("halving", "of 8: 8 with sgd-338x4-"),
        ("halving-async", "2 with sgd-0x4-"),
        ("zero-cost:synflow", "scored untrained on 32 images"),
        ("SUPERNET", "inherited weights on 5,000 images"),
    ],
)
def test_the_plan_is_of_the_estimator_that_was_named(planned, name, says):
    document, full = planned("--accuracy", name), planned()
    assert says in document["accuracy"] and document["estimated_of"] == "candidates and finalists"
    is_trained = "sgd" in says
    assert (document["schedule"] is not None) == is_trained
    assert (document["estimated_minutes"] < full["estimated_minutes"]) == (name not in ("proxy", "curves"))


def test_what_a_command_takes_is_not_made_up(planned):
    document = planned("--accuracy-cmd", "python train.py {architecture}")
    assert "not estimated" in document["accuracy"] and document["estimated_of"] == "finalists alone"
    assert (
        document["estimated_minutes"]
        == planned("--accuracy-cmd", "python {architecture}", budget="5")["estimated_minutes"]
    )


def test_a_part_of_all_images_is_a_part_of_them(planned):
    assert planned("--proxy-fraction", "0.5")["schedule"].startswith("sgd-507x12-")
    assert planned("--proxy-fraction", "0.5")["estimated_minutes"] < planned()["estimated_minutes"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--accuracy", "magic"], "CFG52"),
        (["--accuracy", "zero-cost:magic"], "CFG53"),
        (["--accuracy-cmd", "x"], "CFG51"),
    ],
)
def test_an_estimator_that_is_none_is_refused(planned, words, code):
    assert code in planned(*words)


def test_images_are_counted_without_reading_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert train_images("digits") == open_dataset("digits").size("train")
    pets = make_folder(tmp_path / "pets", count=100)
    assert train_images(str(pets)) == 180 and not (tmp_path / "cache").exists()
    assert open_dataset(str(pets)).size("train") == pytest.approx(180, rel=0.15)
    make_folder(tmp_path / "parted" / "train", count=40)
    make_folder(tmp_path / "parted" / "test", count=5)
    assert train_images(str(tmp_path / "parted")) == 70
