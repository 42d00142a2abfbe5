"""A folder of calibration images: read as the card says, or refused with the file and the reason."""

import io
import os
import struct

import numpy as np
import pytest
import torch
from fuzzing import fuzzed
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnas.errors import DataError
from mnas.export.calibration_images import (
    HELD_OUT,
    LEAST_IMAGES,
    LEAST_TO_HOLD_OUT,
    read_calibration_images,
    read_image_set,
)
from mnas.preprocessing import Preprocessing

GREY = Preprocessing(12, 1, (0.3,), (0.2,))
COLOUR = Preprocessing(12, 3, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def pixels(seed, channels, px=12):
    shape = (px, px) if channels == 1 else (px, px, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def fill(folder, channels=1, count=LEAST_IMAGES, suffix=".png", px=12):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path, image = folder / f"{number:03}{suffix}", pixels(number, channels, px)
        if suffix == ".npy":
            np.save(path, image)
        else:
            Image.fromarray(image).save(path)
    return folder


def npy_bytes(descr="|u1", shape="(12, 12)", data=bytes(144)):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def whole_file(suffix):
    """The bytes of an image file."""
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, pixels(1, 1))
    else:
        Image.fromarray(pixels(1, 1)).save(buffer, format={".png": "PNG", ".jpg": "JPEG"}[suffix])
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".npy"])
@pytest.mark.parametrize("preprocessing", [GREY, COLOUR])
@pytest.mark.parametrize("px", [12, 20])
def test_images_are_prepared_as_said(tmp_path, suffix, preprocessing, px):
    channels = preprocessing.channels
    found = read_calibration_images(fill(tmp_path / "images", channels, suffix=suffix, px=px), preprocessing)
    assert (found.shape, found.dtype) == ((LEAST_IMAGES, channels, 12, 12), np.float32)
    for number, image in enumerate(found):
        chw = torch.from_numpy(pixels(number, channels, px).reshape(px, px, channels).transpose(2, 0, 1).copy())
        np.testing.assert_allclose(image, preprocessing.apply(chw[None])[0].numpy(), atol=1e-6)


def test_colours_become_grey_and_grey_becomes_colours(tmp_path):
    grey = read_calibration_images(fill(tmp_path / "colour", 3), GREY)
    assert grey.shape[1] == 1
    colour = read_calibration_images(fill(tmp_path / "grey", 1), COLOUR)
    back = colour * np.array(COLOUR.std)[:, None, None] + np.array(COLOUR.mean)[:, None, None]
    np.testing.assert_allclose(back[:, 0], back[:, 2], atol=1e-6)


def test_sixteen_bits_keep_their_shades(tmp_path):
    fill(tmp_path)
    for number in range(LEAST_IMAGES):
        Image.fromarray(pixels(number, 1).astype(np.uint16) * 257).save(tmp_path / f"{number:03}.png")
    found = read_calibration_images(tmp_path, GREY)
    np.testing.assert_allclose(found[3, 0] * 0.2 + 0.3, pixels(3, 1) / 255, atol=1e-5)


def test_floats_are_taken_as_they_are(tmp_path):
    for number in range(LEAST_IMAGES):
        np.save(tmp_path / f"{number}.npy", np.full((1, 12, 12), number, np.float32))
    assert read_calibration_images(tmp_path, GREY)[:, 0, 0, 0].tolist() == list(range(LEAST_IMAGES))


def test_a_limit_takes_from_every_folder(tmp_path):
    for name in "abcd":
        fill(tmp_path / name, count=20)
        for path in (tmp_path / name).iterdir():
            np.save(path.with_suffix(".npy"), np.full((1, 12, 12), ord(name), np.float32))
            path.unlink()
    found = read_calibration_images(tmp_path, GREY, limit=8)
    assert [chr(int(value)) for value in found[:, 0, 0, 0]] == list("aabbccdd")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("no image")
    with pytest.raises(DataError, match=r"DAT11.*no file ends in \.png"):
        read_calibration_images(tmp_path, GREY)
    with pytest.raises(DataError, match=r"DAT11.*it is no folder"):
        read_calibration_images(tmp_path / "missing", GREY)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"DAT13.*7 in "):
        read_calibration_images(fill(tmp_path, count=7), GREY)


def test_links_within_the_folder_are_images_and_links_to_folders_are_not_followed(tmp_path):
    folder = tmp_path / "images"
    kept, elsewhere = fill(folder / ".kept"), fill(tmp_path / "elsewhere", count=LEAST_IMAGES + 3)
    for path in sorted(kept.iterdir()):
        path.rename(path.with_suffix(".dat"))
        (folder / path.name).symlink_to(path.with_suffix(".dat"))
    (folder / "loop").symlink_to(folder)
    (folder / "more").symlink_to(elsewhere)
    expected = read_calibration_images(elsewhere, GREY, limit=99)[:LEAST_IMAGES]
    np.testing.assert_array_equal(read_calibration_images(folder, GREY), expected)
    (tmp_path / "alias").symlink_to(folder)
    np.testing.assert_array_equal(read_calibration_images(tmp_path / "alias", GREY), expected)


@pytest.mark.parametrize("target", ["../elsewhere/000.png", "{tmp_path}/elsewhere/000.png", "more/000.png"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path, target):
    folder, elsewhere = fill(tmp_path / "images"), fill(tmp_path / "elsewhere")
    (folder / "more").symlink_to(elsewhere)
    (folder / "odd.png").symlink_to(target.format(tmp_path=tmp_path))
    for read in (read_calibration_images, read_image_set):
        with pytest.raises(DataError, match=r"DAT08.*odd\.png.*leads out of"):
            read(folder, GREY)


def test_what_is_called_an_image_and_is_no_file_is_told(tmp_path):
    fill(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"DAT12.*pipe\.png.*it is no file"):
        read_calibration_images(tmp_path, GREY)
    (tmp_path / "gone.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(DataError, match=r"DAT12.*gone\.png.*a link to nothing"):
        read_calibration_images(tmp_path, GREY)


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("hostile"), count=LEAST_IMAGES - 1)


@settings(max_examples=40)
@given(suffix=st.sampled_from((".png", ".jpg", ".npy")), data=st.data())
def test_half_a_file_is_refused_by_name(hostile_folder, suffix, data):
    whole, path = whole_file(suffix), hostile_folder / f"odd{suffix}"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) // 2))])
    with pytest.raises(DataError, match=rf"DAT12.*odd\{suffix}"):
        read_calibration_images(hostile_folder, GREY)
    path.unlink()


@fuzzed
@given(
    suffix=st.sampled_from((".png", ".jpg", ".npy")),
    start=st.integers(0, 300),
    length=st.integers(0, 300),
    data=st.binary(max_size=300),
    is_cut=st.booleans(),
)
def test_a_damaged_file_is_an_image_or_refused_by_name(hostile_folder, suffix, start, length, data, is_cut):
    whole = whole_file(suffix)
    path = hostile_folder / f"odd{suffix}"
    path.write_bytes(whole[:start] + data + (b"" if is_cut else whole[start + length :]))
    try:
        found = read_calibration_images(hostile_folder, GREY)
        assert found.shape == (LEAST_IMAGES, 1, 12, 12) and np.isfinite(found).all()
    except DataError as error:
        assert error.code == "DAT12" and path.name in str(error)
    finally:
        path.unlink()


@fuzzed
@given(
    descr=st.sampled_from(("|u1", "<f4", ">f8", "<f2", "|O", "|V0", "<U1", "|b1", "<c8", "<M8[s]")),
    shape=st.lists(st.integers(-2, 2**70), max_size=6).map(tuple) | st.sampled_from([(12, 12), (1, 12, 12), (0,), ()]),
    size=st.integers(0, 600),
)
def test_no_header_of_an_array_crashes(hostile_folder, descr, shape, size):
    path = hostile_folder / "odd.npy"
    path.write_bytes(npy_bytes(descr, shape, bytes(size)))
    try:
        found = read_calibration_images(hostile_folder, GREY)
        assert found.shape == (LEAST_IMAGES, 1, 12, 12) and np.isfinite(found).all()
    except DataError as error:
        assert error.code == "DAT12"
    finally:
        path.unlink()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((12, 12, 3), np.uint8),
        np.zeros((3, 12, 12), np.float32),
        np.full((1, 12, 12), np.nan, np.float32),
        np.zeros((12, 12), np.int32),
        np.zeros((0, 12), np.uint8),
        np.zeros(5, np.uint8),
        np.array(["a"]),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, values):
    np.save(fill(tmp_path) / "odd.npy", values)
    with pytest.raises(DataError, match=r"DAT12.*odd\.npy"):
        read_calibration_images(tmp_path, GREY)


def test_an_array_of_objects_runs_no_code(tmp_path):
    np.save(fill(tmp_path) / "odd.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"DAT12.*odd\.npy"):
        read_calibration_images(tmp_path, GREY)


def test_a_picture_runs_no_program(tmp_path, monkeypatch):
    tools, folder, ran = tmp_path / "tools", fill(tmp_path / "images"), tmp_path / "ran"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\necho ran >> {ran}\nexit 1\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    Image.new("RGB", (12, 12)).save(folder / "odd.png", format="EPS")
    with pytest.raises(DataError, match=r"DAT12.*odd\.png.*cannot identify"):
        read_calibration_images(folder, GREY)
    assert not ran.exists()
    with Image.open(folder / "odd.png") as picture, pytest.raises(Exception):  # noqa: B017
        picture.load()
    assert ran.exists()  # the trap is one


def test_a_bomb_of_pixels_is_not_decoded(tmp_path):
    Image.new("1", (8001, 8000)).save(fill(tmp_path) / "odd.png")
    with pytest.raises(DataError, match=r"DAT12.*odd\.png.*8001 x 8000 pixels are more than 64,000,000"):
        read_calibration_images(tmp_path, GREY)


def test_arrays_are_read_that_numpy_did_not_write(tmp_path):
    (fill(tmp_path) / "0.npy").write_bytes(npy_bytes(data=bytes(range(144))))
    found = read_calibration_images(tmp_path, GREY)
    np.testing.assert_allclose(found[0, 0].ravel() * 0.2 + 0.3, np.arange(144) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04" + bytes(60), "magic string is not correct"),
        (npy_bytes(shape="(1000000, 1000000)"), "more than 64,000,000 pixels"),
        (npy_bytes("<f8", "(1, 1000, 1000)"), "8,000,000 bytes of data, and 144 are there"),
        (npy_bytes(shape="(-12, -12)"), "is no image"),
        (npy_bytes(shape="(9223372036854775808, 2)"), "is no image"),
        (npy_bytes(shape="(" * 4000 + "1" + ")" * 4000), "ValueError"),
        (npy_bytes("|S0", "(100000000,)"), "pixels must be uint8"),
        (npy_bytes()[:6] + b"\x02" + npy_bytes()[7:], r"only version 1\.0"),
    ],
    ids=["zip", "a million megapixels", "more than there is", "negative", "overflow", "nested", "nothing", "version"],
)
def test_arrays_that_lie_are_refused_before_memory_is_asked_for(tmp_path, content, why):
    (fill(tmp_path) / "odd.npy").write_bytes(content)
    with pytest.raises(DataError, match=rf"DAT12.*odd\.npy.*{why}"):
        read_calibration_images(tmp_path, GREY)


def test_an_array_with_a_hole_is_not_read_whole(tmp_path):
    with (fill(tmp_path) / "odd.npy").open("wb") as file:
        file.write(npy_bytes(shape="(100000, 100000)", data=b""))
        file.truncate(file.tell() + 10**10)
    with pytest.raises(DataError, match=r"DAT12.*odd\.npy.*more than 64,000,000 pixels"):
        read_calibration_images(tmp_path, GREY)


def test_a_card_gives_the_preprocessing():
    card = {"px": 12, "channels": 3, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "layout": {"onnx": "NCHW"}}
    assert Preprocessing.from_json(card) == COLOUR


@pytest.mark.parametrize(
    "change", [{"px": None}, {"px": 0}, {"channels": 2}, {"mean": [0.5]}, {"std": [0.2, 0, 0.4]}, {"std": "abc"}]
)
def test_a_card_that_says_nothing_sensible_is_refused(change):
    card = {"px": 12, "channels": 3, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    with pytest.raises(DataError, match="DAT14"):
        Preprocessing.from_json(card | change)
    with pytest.raises(DataError, match="DAT14"):
        Preprocessing.from_json({name: value for name, value in card.items() if name not in change})


def fill_numbered(folder, count, start=0):
    """Images that are their own numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        np.save(folder / f"{number:04}.npy", np.full((1, 12, 12), number, np.float32))
    return folder


@settings(max_examples=20)
@given(count=st.integers(LEAST_IMAGES, 60), limit=st.integers(LEAST_TO_HOLD_OUT, 60))
def test_what_is_compared_on_has_not_calibrated(tmp_path_factory, count, limit):
    found = read_image_set(fill_numbered(tmp_path_factory.mktemp("set"), count), GREY, limit=limit)
    calibration, compared = ({int(one) for one in images[:, 0, 0, 0]} for images in (found.calibration, found.compared))
    assert found.is_held_out == (count >= LEAST_TO_HOLD_OUT) == calibration.isdisjoint(compared)
    assert LEAST_IMAGES <= len(calibration) <= limit + 1
    if found.is_held_out:
        assert len(compared) == (len(calibration) + len(compared)) // HELD_OUT >= 4
        assert len(calibration | compared) == min(count, limit + limit // 3)
    else:
        assert calibration == compared == set(range(count))


def test_folders_that_are_named_like_the_labels_give_classes(tmp_path):
    labels = ("T-shirt/top", "Bag", "ankle boot")
    for place, name in enumerate(("t-shirt_top", "Bag", "Ankle Boot")):
        fill_numbered(tmp_path / "val" / name, 8, start=100 * place)
    found = read_image_set(tmp_path, GREY, labels)
    assert found.labels.dtype == np.int64 and set(found.labels) == {0, 1, 2}
    np.testing.assert_array_equal(found.labels, found.compared[:, 0, 0, 0] // 100)
    assert read_image_set(tmp_path, GREY).labels is None
    assert read_image_set(tmp_path, GREY, ("bag", "Bag", "ankle boot")).labels is None
    assert read_image_set(tmp_path, GREY, labels[:2]).labels is None
    # The folder that was named is a folder of images, whatever it is called.
    assert read_image_set(tmp_path / "val" / "Bag", GREY, labels).labels is None
