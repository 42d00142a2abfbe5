"""Scikit-learn's digits: 1,797 grey images of 8 x 8 pixels, embedded in the library.

Source: UCI "Optical Recognition of Handwritten Digits", by ``sklearn.datasets.load_digits``. Networks above a small
size all reach about 99 %, so the set shows that a run works; it cannot rank networks.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from search.data.dataset import Dataset, SplitRule, make_dataset

_RULE = SplitRule(rank_val=0.2, val=0.1, test=0.1)
_LEVELS = 16


def open_digits() -> Dataset:
    """Return the digits with all four splits, the test split too, chosen by hash."""
    bunch = load_digits()
    images = np.round(bunch.images * (255 / _LEVELS)).astype(np.uint8)[:, None]
    return make_dataset("digits", images, bunch.target.astype(np.int64), tuple("0123456789"), _RULE)
