"""Seeds that depend on what is being done, never on what was done before.

One study seed splits into named streams by hashing: ``derive_seed(7, "train", arch_id, fidelity, 0)``
is the same number in every process and in every order of work, which is what makes a resumed run
equal to an uninterrupted one.
"""

from __future__ import annotations

import numpy as np

from mnas.jsonio import sha256_json


def derive_seed(seed: int, *parts: str | int | float) -> int:
    """Return a seed in ``0 .. 2**63 - 1`` that is a pure function of its arguments.

    Args:
        seed: The study's seed.
        parts: What the randomness is for, e.g. ``("train", arch_id, fidelity, repeat)``.
    """
    return int(sha256_json([int(seed), *parts])[:16], 16) >> 1


def named_rng(seed: int, *parts: str | int | float) -> np.random.Generator:
    """Return a numpy generator on its own stream, named by ``parts``."""
    return np.random.default_rng(derive_seed(seed, *parts))
