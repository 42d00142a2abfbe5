"""Changes of training images: properties that hold for every draw, and the same draw for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from mnas.errors import ConfigError
from search.training.augmentation import Augmentation, Batch, cropped, mirrored, mixed, recoloured
from search.training.schedule import TrainingSchedule

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
seeds = st.integers(0, 2**32)


def batch_of(seed, count=6, channels=3, side=8):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand((count, channels, side, side), generator=generator)
    mean, std = (torch.tensor(one[:channels]).view(1, -1, 1, 1) for one in (MEAN, STD))
    images = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    return images, torch.arange(count) % 4


def source(seed):
    return torch.Generator().manual_seed(seed)


@given(seeds)
def test_mirroring_keeps_each_image_or_its_mirror(seed):
    images, _ = batch_of(seed, 32)
    found = mirrored(images, source(seed))
    kept = (found == images).flatten(1).all(1)
    turned = (found == images.flip(3)).flatten(1).all(1)
    assert (kept ^ turned).all() and 0 < int(kept.sum()) < 32


@given(seeds, st.integers(1, 3))
def test_a_crop_is_the_padded_image_seen_from_another_place(seed, padding):
    images, _ = batch_of(seed)
    found = cropped(images, padding, source(seed))
    wide = functional.pad(images, (padding,) * 4)
    assert found.shape == images.shape and found.is_contiguous(memory_format=torch.channels_last)
    for image, seen in zip(wide, found, strict=True):
        places = [
            torch.equal(image[:, top : top + 8, left : left + 8], seen)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert sum(places) == 1


def test_crops_come_from_every_place_about_equally_often():
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(4500, 1, 8, 8) + 1
    found = cropped(images, 1, source(0))
    corners = torch.unique(found[:, 0, 4, 4], return_counts=True)
    assert len(corners[0]) == 9 and int(corners[1].min()) > 400


@given(seeds, st.floats(0.01, 1.0), st.sampled_from([1, 3]))
def test_colours_stay_in_range_and_change_by_image(seed, strength, channels):
    images, _ = batch_of(seed, channels=channels)
    mean, std = MEAN[:channels], STD[:channels]
    found = recoloured(images, strength, mean, std, source(seed))
    shift, scale = (torch.tensor(one).view(1, -1, 1, 1) for one in (mean, std))
    pixels = found * scale + shift
    assert float(pixels.min()) > -1e-5 and float(pixels.max()) < 1 + 1e-5
    assert found.shape == images.shape and not torch.equal(found, images)


def test_no_strength_leaves_the_colours_as_they_are():
    images, _ = batch_of(0)
    assert torch.allclose(recoloured(images, 0.0, MEAN, STD, source(0)), images, atol=1e-5)


@given(seeds, st.floats(0.05, 4.0))
def test_mixing_is_between_two_images_and_their_labels(seed, alpha):
    images, labels = batch_of(seed)
    found = mixed(images, labels, alpha, source(seed))
    assert 0 <= found.share <= 1
    outputs = torch.randn((6, 4), generator=source(seed))
    soft = found.share * functional.one_hot(labels, 4) + (1 - found.share) * functional.one_hot(found.others, 4)
    assert torch.allclose(found.loss(outputs), functional.cross_entropy(outputs, soft), atol=1e-5)
    smoothed = functional.cross_entropy(outputs, soft, label_smoothing=0.1)
    assert torch.allclose(found.loss(outputs, 0.1), smoothed, atol=1e-5)
    assert torch.allclose(found.images.mean(), images.mean(), atol=1e-5)
    for image, mix in zip(images, found.images, strict=True):
        rest = (mix - found.share * image) / max(1 - found.share, 1e-9)
        if found.share < 0.9:
            assert min(float((rest - other).abs().max()) for other in images) < 1e-4


ALL = TrainingSchedule(0, 1, flip=True, crop=0.125, colour=0.3, mixup=0.2)


@given(seeds)
def test_the_same_seed_gives_the_same_batch_and_another_another(seed):
    images, labels = batch_of(seed)
    augmentation = Augmentation.of(ALL, MEAN, STD)
    first, again, other = (augmentation.apply(images, labels, source(s)) for s in (seed, seed, seed + 1))
    assert torch.equal(first.images, again.images) and torch.equal(first.others, again.others)
    assert first.share == again.share != other.share and not torch.equal(first.images, other.images)


def test_what_is_off_draws_nothing_and_returns_what_it_was_given():
    images, labels = batch_of(1)
    generator = source(5)
    before = generator.get_state()
    found = Augmentation.of(TrainingSchedule(0, 1), MEAN, STD).apply(images, labels, generator)
    assert found.images is images and found.share == 1 and torch.equal(generator.get_state(), before)
    assert Augmentation.of(replace(ALL, crop=0.01), MEAN, STD).crop * 8 < 0.5


@given(seeds, st.integers(1, 6))
def test_parts_of_a_batch_are_the_batch(seed, count):
    batch = mixed(*batch_of(seed), 0.5, source(seed))
    parts = batch.parts(count)
    assert len(parts) == count and torch.equal(torch.cat([part.images for part in parts]), batch.images)
    outputs = torch.randn((6, 4), generator=source(seed))
    losses = [
        part.loss(own) * len(own) / 6 for part, own in zip(parts, torch.tensor_split(outputs, count), strict=True)
    ]
    assert torch.allclose(torch.stack(losses).sum(), batch.loss(outputs), atol=1e-5)


@pytest.mark.parametrize("field", [{"crop": 0.6}, {"crop": -0.1}, {"colour": 1.5}, {"mixup": -1.0}, {"mixup": np.inf}])
def test_impossible_settings_are_refused(field):
    with pytest.raises(ConfigError, match="CFG01"):
        Augmentation.of(replace(ALL, **field), MEAN, STD)


def test_an_unmixed_batch_has_the_loss_of_its_labels():
    images, labels = batch_of(3)
    outputs = torch.randn((6, 4), generator=source(3))
    assert torch.equal(Batch(images, labels, labels).loss(outputs), functional.cross_entropy(outputs, labels))
