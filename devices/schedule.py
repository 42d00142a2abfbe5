"""Who is visited when: models in random order with reference networks among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from devices.protocol import ProtocolSettings


def model_rounds(sha256s: Sequence[str], rounds_wanted: Mapping[str, int] | int) -> dict[str, int]:
    """Return how many rounds each model takes part in; a model that the mapping does not name takes part in none."""
    if isinstance(rounds_wanted, int):
        return dict.fromkeys(sha256s, rounds_wanted)
    return {sha256: int(rounds_wanted.get(sha256, 0)) for sha256 in sha256s}


def plan_round(
    models: Sequence[str],
    references: Sequence[str],
    settings: ProtocolSettings,
    rng: np.random.Generator,
    *,
    model_visits: int = 1,
) -> list[tuple[str, bool]]:
    """Return the visits of one round as (sha256, is a reference).

    The round begins and ends with a reference; between two references lie at most ``reference_every`` models; each
    reference is visited ``reference_visits`` times or more, and the visits of any two differ by one at most.

    Args:
        models: Distinct models of this round.
        references: Distinct reference networks; without any, the round holds the models alone.
        settings: The protocol.
        rng: Draws the order. Models are sorted before they are drawn, so the order given does not matter.
        model_visits: How often each model is visited; all are visited once before one is visited again.
    """
    order: list[str] = []
    for _ in range(model_visits):
        turn = sorted(models)
        rng.shuffle(turn)
        order += turn
    if not references:
        return [(sha256, False) for sha256 in order]
    slots = max(
        settings.reference_visits * len(references),
        math.ceil(len(order) / settings.reference_every) + 1,
        2,
    )
    names: list[str] = []
    while len(names) < slots:
        turn = sorted(references)
        rng.shuffle(turn)
        names += turn
    cuts = np.linspace(0, len(order), slots).round().astype(int)
    visits = [(names[0], True)]
    for gap, name in enumerate(names[1:slots]):
        visits += [(sha256, False) for sha256 in order[cuts[gap] : cuts[gap + 1]]]
        visits.append((name, True))
    return visits
