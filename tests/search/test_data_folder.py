"""Folders of images: what is read, what is left out, what is refused, and what is kept for the next time."""

import os
import shutil
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_folders import CLASSES, make_folder, pattern
from PIL import Image

from mnas.errors import DataError
from search.data import image_folder, picture
from search.data.batches import SplitImages
from search.data.dataset import SPLITS, tensors
from search.data.folder_listing import list_folder
from search.data.image_cache import ImageCache
from search.data.image_folder import open_image_folder, scan_folder
from search.data.picture import read_picture
from search.data.registry import DataShape, data_shape, open_dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnas" / "datasets" / "folders"


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "pets")


def contents(dataset, split):
    return {dataset.images_u8[i].numpy().tobytes() for i in dataset.indices(split)}


def test_a_folder_is_a_data_set_with_its_classes_and_pixels(folder):
    dataset = open_dataset(str(folder))
    assert dataset.name == "pets" and dataset.class_names == CLASSES
    assert tuple(dataset.images_u8.shape) == (120, 3, 16, 16)
    assert sum(dataset.size(split) for split in SPLITS) == 120
    for place in (0, 41, 119):
        label, number = divmod(place, 40)
        assert np.array_equal(dataset.images_u8[place].numpy(), pattern(label, number).transpose(2, 0, 1))
        assert int(dataset.labels[place]) == label
    assert dataset.facts["modes"] == {"RGB": 120} and dataset.facts["sizes"] == {"16x16": 120}


def test_the_second_opening_decodes_nothing_and_gives_the_same(folder, monkeypatch):
    first = open_image_folder(folder)

    def never(*_):
        raise AssertionError("an image was decoded again")

    monkeypatch.setattr(image_folder, "read_picture", never)
    again = open_image_folder(folder)
    assert again.fingerprint == first.fingerprint and again.facts == first.facts
    assert torch.equal(again.images_u8, first.images_u8) and (again.mean, again.std) == (first.mean, first.std)
    with pytest.raises(AssertionError, match="decoded again"):
        open_image_folder(folder, 8)


def test_a_damaged_cache_is_made_anew(folder, own_cache):
    first = open_image_folder(folder)
    (kept,) = own_cache.glob("*.npy")
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(data)
    assert open_image_folder(folder).fingerprint == first.fingerprint
    kept.write_bytes(kept.read_bytes()[:-100])
    assert open_image_folder(folder).fingerprint == first.fingerprint
    next(own_cache.glob("*.json")).write_text("[]")
    assert open_image_folder(folder).fingerprint == first.fingerprint
    assert not list(own_cache.glob(".*"))


def test_a_changed_file_is_other_data_and_a_moved_folder_is_not(folder, tmp_path):
    before = open_image_folder(folder).fingerprint
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert open_image_folder(moved).fingerprint == before
    target = folder / CLASSES[0] / "000.png"
    about = target.stat()
    Image.fromarray(pattern(2, 77)).save(target)
    os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert open_image_folder(folder).fingerprint != before
    assert open_image_folder(moved).fingerprint == before


def test_what_cannot_be_written_is_told(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"DAT09.*XDG_CACHE_HOME"):
        open_image_folder(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"DAT09.*are free"):
        open_image_folder(folder, cache=ImageCache(tmp_path / "small"))


MODES = ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA", "YCbCr", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_and_size_is_read(tmp_path, mode):
    grey = np.linspace(0, 255, 30 * 50).reshape(30, 50).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    assert image.mode == mode
    path = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.tif" if mode == "LA" else "x.png")
    image.save(path)
    for channels in (1, 3):
        found = read_picture(path, 8, channels)
        assert found.shape == (channels, 8, 8) and found.dtype == np.uint8
        wanted = np.asarray(Image.fromarray(grey).resize((8, 8), Image.Resampling.BILINEAR))
        assert np.abs(found.mean(0) - wanted).max() < (70 if mode in ("1", "P") else 12)


def test_transparent_pixels_are_white_and_rotation_is_undone(tmp_path):
    clear = np.zeros((4, 4, 4), dtype=np.uint8)
    clear[:2, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    found = read_picture(tmp_path / "clear.png", 4, 3)
    assert (found[:, :2] == 0).all() and (found[:, 2:] == 255).all()
    half = np.zeros((8, 8), dtype=np.uint8)
    half[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(half).save(tmp_path / "turned.png", exif=exif)
    turned = read_picture(tmp_path / "turned.png", 8, 1)[0]
    assert (turned[:, 4:] == 255).all() and (turned[:, :4] == 0).all()


def test_grey_folders_have_one_channel_and_mixed_ones_three(tmp_path):
    grey = make_folder(tmp_path / "grey", mode="L")
    assert open_image_folder(grey).channels == 1
    Image.fromarray(pattern(0, 500)).save(grey / CLASSES[0] / "colour.png")
    dataset = open_image_folder(grey)
    assert dataset.channels == 3 and dataset.facts["modes"] == {"L": 120, "RGB": 1}
    assert data_shape(str(grey)) == DataShape.of(dataset) == DataShape(3, 3, 16)


def test_sizes_differ_and_the_side_can_be_named(tmp_path):
    folder = make_folder(tmp_path / "a", side=24)
    Image.fromarray(pattern(0, 900, 64)).save(folder / CLASSES[0] / "large.png")
    assert scan_folder(folder).px == 24
    assert tuple(open_dataset(f"{folder}@12").images_u8.shape) == (121, 3, 12, 12)
    images, labels = tensors(open_dataset(f"{folder}@12"), "train", 20)
    assert images.shape[1:] == (3, 20, 20) and len(images) == len(labels)


def damage(path, how):
    data = path.read_bytes()
    damaged = {"cut": data[: len(data) // 2], "empty": b"", "text": b"hello", "header": data[:20]}
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["cut", "empty", "text", "header"])
def test_one_corrupt_image_in_a_hundred_is_left_out_and_listed_and_two_are_refused(folder, how):
    damage(folder / CLASSES[1] / "003.png", how)
    dataset = open_image_folder(folder)
    assert list(dataset.facts["corrupt"]) == [f"{CLASSES[1]}/003.png"] and dataset.facts["files"] == 120
    assert len(dataset.labels) == 119 and int((dataset.labels == 1).sum()) == 39
    damage(folder / CLASSES[0] / "004.png", how)
    with pytest.raises(DataError, match=r"DAT07.*2 of 120.*004\.png"):
        open_image_folder(folder)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flipped_and_cut_bytes_never_raise_anything_but_the_reason(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(["png", "jpg", "gif", "bmp", "webp", "tif"]))
    path = tmp_path_factory.mktemp("fuzz") / f"x.{suffix}"
    Image.fromarray(pattern(1, 1)).save(path)
    whole = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        with picture.strict_pictures():
            assert read_picture(path, 8, 3).shape == (3, 8, 8)
    except DataError as error:
        assert error.code == "DAT12"


def test_a_decompression_bomb_is_not_unpacked(folder):
    Image.new("1", (9000, 9000)).save(folder / CLASSES[0] / "bomb.png")
    dataset = open_image_folder(folder)
    assert "9000 x 9000" in dataset.facts["corrupt"][f"{CLASSES[0]}/bomb.png"]
    Image.new("1", (14_000, 14_000)).save(folder / CLASSES[0] / "bomb.png")
    assert "DecompressionBomb" in open_image_folder(folder).facts["corrupt"][f"{CLASSES[0]}/bomb.png"]


def test_one_class_no_class_an_empty_class_and_no_folder_are_refused(tmp_path):
    for classes, why in (((), "0 class"), (("a",), "1 class")):
        root = tmp_path / str(len(classes))
        root.mkdir()
        with pytest.raises(DataError, match=f"DAT06.*{why}"):
            open_image_folder(make_folder(root, classes=classes))
    root = make_folder(tmp_path / "three")
    (root / "nothing").mkdir()
    with pytest.raises(DataError, match=r"DAT06.*nothing"):
        open_image_folder(root)
    with pytest.raises(DataError, match=r"DAT01.*No such file"):
        open_image_folder(tmp_path / "missing")
    with pytest.raises(DataError, match="DAT01"):
        open_image_folder(root / CLASSES[0] / "000.png")
    with pytest.raises(DataError, match=r"DAT06.*(falls into|training image)"):
        open_image_folder(make_folder(tmp_path / "tiny", count=1))


def test_links_out_of_the_folder_and_to_folders_are_refused(folder, tmp_path):
    outside = tmp_path / "secret.png"
    Image.fromarray(pattern(0, 1)).save(outside)
    link = folder / CLASSES[0] / "link.png"
    link.symlink_to(outside)
    with pytest.raises(DataError, match=r"DAT08.*link\.png.*leads out"):
        open_image_folder(folder)
    link.unlink()
    link.symlink_to(folder / CLASSES[0] / "gone.png")
    with pytest.raises(DataError, match=r"DAT08.*leads nowhere"):
        open_image_folder(folder)
    link.unlink()
    (folder / "more").symlink_to(folder / CLASSES[0])
    with pytest.raises(DataError, match=r"DAT08.*links to folders"):
        open_image_folder(folder)
    (folder / "more").unlink()
    link.symlink_to(folder / CLASSES[1] / "000.png")
    assert len(open_image_folder(folder).labels) == 121


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_is_named_like_an_image_hangs_nothing(folder):
    os.mkfifo(folder / CLASSES[0] / "pipe.png")
    with pytest.raises(DataError, match=r"DAT08.*no regular file"):
        open_image_folder(folder)


def test_class_names_are_composed_so_that_every_system_sees_the_same(tmp_path):
    first = make_folder(tmp_path / "composed", classes=("é", "b"))
    second = make_folder(tmp_path / "decomposed", classes=(unicodedata.normalize("NFD", "é"), "b"))
    names = [open_image_folder(one).class_names for one in (first, second)]
    assert names[0] == names[1] == ("b", "é")


def test_other_files_and_hidden_ones_are_passed_over(folder):
    (folder / ".DS_Store").write_text("x")
    (folder / "notes.txt").write_text("x")
    (folder / ".git").mkdir()
    (folder / CLASSES[0] / "labels.csv").write_text("x")
    (folder / CLASSES[0] / "._000.png").write_text("x")
    inner = folder / CLASSES[0] / "inner"
    inner.mkdir()
    Image.fromarray(pattern(0, 400)).save(inner / "deep.PNG")
    listing = list_folder(folder)
    assert listing.class_names == CLASSES and len(listing.images) == 121


@pytest.mark.parametrize("names", [("train", "val"), ("train", "test"), ("Train", "Validation")])
def test_what_the_folder_sets_apart_is_the_test_split(tmp_path, names):
    root = tmp_path / "parted"
    make_folder(root / names[0], count=30)
    make_folder(root / names[1], count=10)
    dataset = open_image_folder(root)
    # Of the 90 training images the 30 that the other part has, too, are dropped.
    assert dataset.size("test") == 30 and sum(dataset.size(split) for split in SPLITS) == 90
    found = [contents(dataset, split) for split in SPLITS]
    assert all(not one & other for i, one in enumerate(found) for other in found[i + 1 :])


def test_with_train_val_and_test_only_test_is_set_apart(tmp_path):
    for part, count in (("train", 30), ("val", 31), ("test", 5)):
        make_folder(tmp_path / "parted" / part, count=count)
    dataset = open_image_folder(tmp_path / "parted")
    assert dataset.size("test") == 15
    assert sum(dataset.size(split) for split in SPLITS[:3]) == 3 * (30 - 5) + 3 * (31 - 5)


def test_duplicates_fall_into_one_split_whatever_their_file(folder):
    for number in range(20):
        Image.fromarray(pattern(0, number)).save(folder / CLASSES[1] / f"again{number}.bmp")
    dataset = open_image_folder(folder)
    found = [contents(dataset, split) for split in SPLITS]
    assert len(dataset.labels) == 140 and len(set.union(*found)) == 120
    assert all(not one & other for i, one in enumerate(found) for other in found[i + 1 :])


@pytest.mark.parametrize("px", [16, 12, 20])
def test_batches_made_on_demand_are_those_in_memory(folder, px):
    dataset = open_image_folder(folder)
    whole, made = (SplitImages(dataset, "train", px, 40, most_bytes=limit) for limit in (1 << 30, 0))
    places = torch.tensor([5, 0, 39, 7])
    assert len(whole) == len(made) == 40 and torch.equal(whole.labels, made.labels)
    assert torch.equal(whole.take(places), made.take(places))
    assert torch.equal(torch.cat(list(whole.slices(16, 33))), torch.cat(list(made.slices(16, 33))))
    assert [len(one) for one in made.slices(16)] == [16, 16, 8]


def test_a_name_without_a_separator_is_no_folder_and_the_message_says_how(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DataError, match=r"DAT04.*\./pets"):
        open_dataset("pets")
    assert open_dataset("./pets").fingerprint == open_dataset(str(folder)).fingerprint
