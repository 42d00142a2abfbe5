"""Splits: disjoint by content, independent of the file's order, duplicates together."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.errors import DataError
from search.data.dataset import SPLITS, SplitRule, make_dataset, tensors
from search.data.registry import open_dataset

RULE = SplitRule(rank_val=0.3, val=0.2, test=0.2)


def make(images, labels=None, rule=RULE, fixed_test=None):
    labels = np.zeros(len(images), dtype=np.int64) if labels is None else labels
    return make_dataset("made", images, labels, ("a", "b"), rule, fixed_test)


def images_of(seed, count, side=4):
    return np.random.default_rng(seed).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


def contents(dataset, split):
    return [dataset.images_u8[i].numpy().tobytes() for i in dataset.indices(split)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), copies=st.integers(1, 40))
def test_equal_images_fall_in_one_split(seed, copies):
    images = images_of(seed, 120)
    images = np.concatenate([images, images[:copies]])
    dataset = make(images)
    found = [set(contents(dataset, split)) for split in SPLITS]
    assert sum(dataset.size(split) for split in SPLITS) == len(images)
    for i, first in enumerate(found):
        for second in found[i + 1 :]:
            assert not first & second


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_splits_and_their_order_do_not_depend_on_the_files_order(seed):
    images = images_of(seed, 100)
    shuffled = images[np.random.default_rng(seed).permutation(100)]
    for split in SPLITS:
        assert contents(make(images), split) == contents(make(shuffled), split)


def test_a_training_sample_equal_to_a_test_sample_is_dropped():
    images = images_of(1, 60)
    images = np.concatenate([images, images[:5], images_of(2, 10)])
    fixed = np.arange(len(images)) >= 60
    dataset = make(images, rule=SplitRule(0.2, 0.2), fixed_test=fixed)
    assert sorted(dataset.indices("test").tolist()) == list(range(60, 75))
    others = [i for split in SPLITS[:3] for i in dataset.indices(split).tolist()]
    assert sorted(others) == list(range(5, 60))


def test_split_of_known_images_is_stable():
    dataset = make(images_of(7, 40))
    assert {split: dataset.size(split) for split in SPLITS} == {"train": 9, "rank-val": 14, "val": 9, "test": 8}
    assert dataset.indices("val").tolist() == [5, 36, 33, 3, 10, 22, 30, 14, 17]
    assert dataset.fingerprint.startswith("285df8e36203ad30")


def test_fingerprint_moves_with_images_and_labels():
    images, labels = images_of(3, 20), np.arange(20) % 2
    other = images.copy()
    other[0, 0, 0, 0] ^= 1
    found = {make(images, labels).fingerprint, make(other, labels).fingerprint, make(images, 1 - labels).fingerprint}
    assert len(found) == 3


def test_digits_have_four_disjoint_splits_with_every_class():
    dataset = open_dataset("digits")
    everything = torch.cat([dataset.indices(split) for split in SPLITS])
    assert sorted(everything.tolist()) == list(range(1797))
    for split in SPLITS:
        assert set(dataset.labels[dataset.indices(split)].tolist()) == set(range(10))
    assert dataset.size("train") > 900


def test_tensors_are_normalised_by_the_training_split_and_kept():
    dataset = open_dataset("digits")
    images, labels = tensors(dataset, "train", 8)
    assert images.dtype == torch.float32 and labels.dtype == torch.int64
    assert abs(float(images.mean())) < 1e-3 and abs(float(images.std()) - 1) < 1e-3
    assert tensors(dataset, "train", 8)[0] is images
    first, _ = tensors(dataset, "train", 8, 10)
    assert torch.equal(first, images[:10])


def test_resizing_keeps_the_mean_brightness():
    dataset = open_dataset("digits")
    small, large = tensors(dataset, "val", 8)[0], tensors(dataset, "val", 16)[0]
    assert large.shape == (dataset.size("val"), 1, 16, 16)
    assert torch.allclose(small.mean((1, 2, 3)), large.mean((1, 2, 3)), atol=0.05)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="DAT03"):
        open_dataset("digits").indices("validation")


@pytest.mark.parametrize("name", ["cifar", "", "imagenet"])
def test_an_unknown_data_set_is_refused_and_the_known_are_named(name):
    with pytest.raises(DataError, match=r"DAT04.*fashion, digits"):
        open_dataset(name)
