"""mnas data check, and mnas search on images of one's own: what is told, and what is refused with which exit status."""

import json

import pytest
from picture_folders import CLASSES, make_folder, pattern
from PIL import Image

from mnas.cli import main
from mnas.config import make_config, merge_for_resume
from mnas.data_names import canonical_data, folder_and_px, is_image_folder
from mnas.errors import ConfigError, SpaceError
from mnas.spaces.presets import FAMILIES, fitted_preset, open_space
from search.data.registry import open_dataset
from search.resolve import resolve
from search.testing import KeptReporter


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "digits")


def test_check_tells_splits_files_and_fitting_spaces(folder, capsys):
    (folder / CLASSES[0] / "bad.png").write_bytes(b"no image")
    Image.fromarray(pattern(1, 99)).convert("CMYK").save(folder / CLASSES[1] / "print.jpg")
    assert main(["data", "check", str(folder), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["channels"], found["px"], found["classes"]) == (121, 3, 16, list(CLASSES))
    assert sum(count for split in found["splits"].values() for count in split.values()) == 121
    assert found["files"]["modes"] == {"CMYK": 1, "RGB": 120} and found["files"]["files"] == 122
    assert list(found["files"]["corrupt"]) == [f"{CLASSES[0]}/bad.png"]
    assert len(found["fingerprint"]) == 64
    for one in found["spaces"]:
        smallest = open_space(one["space"], one["preset"])
        architecture = smallest.decode(smallest.extremes()[0])
        assert (architecture.input_shape_chw[0], architecture.classes) == (3, 3)
    assert main(["data", "check", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "bad.png" in text and "CMYK 1, RGB 120" in text and "Äpfel" in text and "standard error" in text


def test_check_of_a_folder_needs_no_separator_and_takes_a_side(folder, capsys, monkeypatch):
    monkeypatch.chdir(make_folder(folder.parent / "here" / "pets").parent)
    assert main(["data", "check", "pets@8", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["px"] == 8


def test_many_classes_are_told_by_their_fewest_and_most(tmp_path, capsys):
    root = make_folder(tmp_path / "many", count=40, classes=tuple(f"c{i:02}" for i in range(15)))
    assert main(["data", "check", str(root), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert list(rows[0]) == ["split", "images", "fewest", "most"] and rows[0]["fewest"] <= rows[0]["most"]


def test_what_cannot_be_used_exits_6_and_wrong_words_2(folder, tmp_path, capsys):
    one = make_folder(tmp_path / "one", classes=("a",))
    for words, status, code in (
        ([str(one)], 6, "DAT06"),
        (["./nowhere"], 6, "DAT01"),
        (["nothing"], 6, "DAT04"),
        (["cifar10", "--data-dir", str(one)], 6, "DAT01"),
        ([str(folder), "--data-dir", str(one)], 2, "CFG01"),
    ):
        assert main(["data", "check", *words]) == status
        told = capsys.readouterr()
        assert code in told.err and told.out == "" and "Traceback" not in told.err


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_finds_a_preset_with_its_channels_and_classes(folder, family):
    config = resolve(make_config({"data": str(folder), "space": family}), KeptReporter())
    space = open_space(family, config.preset)
    architecture = space.decode(space.extremes()[1])
    assert (architecture.input_shape_chw[0], architecture.classes) == (3, 3)
    assert config.data == str(folder) and "-3x3" in config.preset


def test_a_preset_or_file_that_does_not_fit_says_what_would(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"CFG06.*--preset \S+-3x3"):
        resolve(make_config({"data": str(folder), "preset": "fashion"}), KeptReporter())
    own = tmp_path / "own.toml"
    own.write_text(
        'schema = "mnas.space/1"\nname = "own"\nin_channels = 1\nclasses = 3\nresolutions_px = [16]\n'
        'stem = [{op = "conv", channels = 8, kernel_size = 3}]\nstages = [{channels = 8}]\n'
        'head = [{op = "pool"}, {op = "linear"}]\n'
    )
    with pytest.raises(ConfigError, match=r"CFG06.*in_channels = 3 and classes = 3"):
        resolve(make_config({"data": str(folder), "space": str(own)}), KeptReporter())
    own.write_text(own.read_text().replace("in_channels = 1", "in_channels = 3"))
    assert resolve(make_config({"data": str(folder), "space": str(own)}), KeptReporter()).preset == ""


def test_cifar_and_the_rest_find_their_presets():
    assert fitted_preset("mobilenetv3", "cifar10", 3, 10, 32) == "cifar10"
    assert fitted_preset("mobilenetv3", "cifar100", 3, 100, 32) == "cifar10-3x100"
    assert fitted_preset("mobilenetv3", "fashion", 1, 10, 28) == "fashion"
    assert fitted_preset("mnasnet", "cifar10", 3, 10, 32) == "fashion-3x10"
    assert fitted_preset("mobilenetv3", "/pets", 3, 37, 256) == "imagenet-3x37"
    assert fitted_preset("mobilenetv3", "/digits", 1, 10, 8) == "digits"
    assert open_space("mobilenetv3", "fashion-wide-3x7").name == "mobilenetv3/fashion-wide-3x7"
    for preset in ("cifar10-2x10", "cifar10-3x0", "nothing-3x10", "cifar10-3x"):
        with pytest.raises(SpaceError, match="SPC01"):
            open_space("mobilenetv3", preset)


def test_a_plan_of_a_search_on_a_folder_decodes_nothing(folder, tmp_path, capsys):
    words = ["search", "--data", f"{folder}@12", "--plan", "--format", "json", "--training", "small"]
    assert main(words) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["preset"] == "digits-3x3" and config["data"] == f"{folder}@12"
    assert not (tmp_path / "cache" / "mnas" / "datasets").exists()


def test_a_folder_is_the_same_data_however_it_is_written(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    stored = make_config({"data": str(folder)})
    assert make_config({"data": "./digits"}) == stored == make_config({"data": f"{folder}/"})
    assert merge_for_resume(stored, {"data": "./digits"}) == stored
    with pytest.raises(ConfigError, match="CFG03"):
        merge_for_resume(stored, {"data": "./digits@8"})
    with pytest.raises(ConfigError, match=r"CFG01.*data_dir"):
        make_config({"data": "./digits", "data_dir": "x"})
    assert make_config({"data": "fashion-mnist"}).data == "fashion"


def test_names_are_told_from_folders():
    assert [is_image_folder(name) for name in ("fashion", "./x", "/a/b", "~/x", "..", "")] == [
        False,
        *[True] * 4,
        False,
    ]
    assert canonical_data("CIFAR-10") == "CIFAR-10" and canonical_data("cifar-10") == "cifar10"
    assert folder_and_px("/a/b@64")[1] == 64 and folder_and_px("/a/b")[1] == 0 and folder_and_px("/a/b@x")[1] == 0


def test_a_folder_called_like_a_data_set_of_ours_is_not_taken_for_it(folder):
    assert open_dataset(str(folder)).name == "digits" and open_dataset(str(folder)).channels == 3
