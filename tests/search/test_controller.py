"""The controller of MnasNet: what it draws, what it says of what it drew, and which choices it has."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnas.spaces.presets import open_space
from search.algorithms.controller import Controller
from search.algorithms.open_choices import OpenChoices
from search.algorithms.rollout import Rollout, draw_rollout
from search.testing import tiny_space

CARDINALITIES = st.lists(st.integers(1, 5), min_size=1, max_size=7)


class FlatSpace:
    """Every genome is a network of its own."""

    def __init__(self, cardinalities):
        self.cardinalities = tuple(cardinalities)

    def canonical(self, genome):
        return tuple(genome)


class FoldedSpace(FlatSpace):
    """Where the first gene is 0 the last one does nothing; choices 1 and 2 of the middle one are the same."""

    def __init__(self):
        super().__init__((2, 4, 3))

    def canonical(self, genome):
        first, middle, last = genome
        return (first, 1 if middle == 2 else middle, last if first else 0)


def controller(cardinalities, seed=0, *, is_fresh=False):
    made = Controller(cardinalities, 16, torch.Generator().manual_seed(seed))
    if not is_fresh:
        generator = torch.Generator().manual_seed(seed + 1)
        for parameter in (made.head, made.head_bias, made.value):
            torch.nn.init.normal_(parameter, generator=generator)
    return made


def drawn(space, made, count, seed=0):
    rng = np.random.default_rng(seed)
    return draw_rollout(made, count, OpenChoices(space, rng), rng)


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, st.integers(0, 99))
def test_step_by_step_and_teacher_forcing_say_the_same(cardinalities, seed):
    made, state, tokens = controller(cardinalities, seed), None, None
    rollout = drawn(FlatSpace(cardinalities), made, 5, seed)
    at_once = made(rollout.tokens, rollout.is_open)
    for gene in range(len(cardinalities)):
        held, state = made.step(gene, tokens, rollout.is_open[:, gene], state)
        tokens = rollout.tokens[:, gene]
        assert torch.allclose(held.of(tokens), at_once.of(rollout.tokens)[:, gene], rtol=0, atol=1e-12)
        assert torch.allclose(held.values, at_once.values[:, gene], rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(CARDINALITIES, st.integers(0, 99))
def test_probabilities_of_all_sequences_add_up_to_one(cardinalities, seed):
    cardinalities = cardinalities[:4]
    tokens = torch.tensor(list(itertools.product(*map(range, cardinalities))))
    is_open = torch.zeros(len(tokens), len(cardinalities), max(cardinalities), dtype=torch.bool)
    for gene, choices in enumerate(cardinalities):
        is_open[:, gene, :choices] = True
    held = controller(cardinalities, seed)(tokens, is_open)
    assert held.of(tokens).sum(-1).exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert bool((held.entropy() >= 0).all()) and bool(held.entropy().isfinite().all())


def test_it_draws_what_it_says():
    made, count = controller((3, 2), 4), 6000
    rollout = drawn(FlatSpace((3, 2)), made, count)
    seen = Counter(rollout.genomes())
    for genome, times in seen.items():
        row = rollout.genomes().index(genome)
        said = made(rollout.tokens, rollout.is_open).of(rollout.tokens)[row].sum().exp().item()
        assert times / count == pytest.approx(said, abs=4 * (said * (1 - said) / count) ** 0.5)


def test_what_it_says_of_a_gene_moves_with_the_genes_before_and_no_others():
    made, is_open = controller((3, 3, 3)), torch.ones(2, 3, 3, dtype=torch.bool)
    held = made(torch.tensor([[0, 0, 0], [0, 1, 0]]), is_open).log_probs
    assert torch.equal(held[0, :2], held[1, :2])
    assert (held[0, 2] - held[1, 2]).abs().max() > 1e-3


@settings(deadline=None, max_examples=20)
@given(CARDINALITIES, st.integers(0, 99))
def test_a_fresh_one_is_uniform_over_the_open_choices(cardinalities, seed):
    made = controller(cardinalities, seed, is_fresh=True)
    rollout = drawn(FlatSpace(cardinalities), made, 4, seed)
    entropy = made(rollout.tokens, rollout.is_open).entropy()
    assert torch.allclose(entropy, torch.tensor(cardinalities).double().log().expand_as(entropy), atol=1e-12)


def test_making_one_and_drawing_leave_the_global_generators_alone():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    drawn(FlatSpace((3, 3)), controller((3, 3)), 8)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_its_weights_and_draws_belong_to_their_seeds():
    space = FlatSpace((3,) * 6)
    first, again, others = (
        drawn(space, controller((3,) * 6, seed), 10, stream).genomes() for seed, stream in ((1, 1), (1, 1), (1, 2))
    )
    assert first == again != others
    assert not torch.equal(controller((3, 3), 1).chosen, controller((3, 3), 2).chosen)


def test_choices_that_change_nothing_are_closed():
    for seed in range(20):
        found = OpenChoices(FoldedSpace(), np.random.default_rng(seed))
        assert found.after((0,)) == (True, True, False, True)
        assert found.after((0, 3)) == (True, False, False)
        assert found.after((1, 3)) == (True, True, True)
        # The first gene changes the network by itself; whether the last one counts hangs on it.
        assert found.after(()) == (True, True)


def test_closed_choices_are_never_drawn_and_have_no_say():
    rollout = drawn(FoldedSpace(), controller((2, 4, 3), 5), 200)
    genomes = rollout.genomes()
    assert {FoldedSpace().canonical(genome) for genome in genomes} == set(genomes)
    assert len(set(genomes)) == 12
    held = controller((2, 4, 3), 5)(rollout.tokens, rollout.is_open)
    dead = torch.tensor([genome[0] == 0 for genome in genomes])
    assert bool((held.of(rollout.tokens)[dead, 2] == 0).all()) and bool((held.entropy()[dead, 2] == 0).all())
    assert rollout.open_counts()[dead, 2].tolist() == [1] * int(dead.sum())


@pytest.mark.parametrize(
    "space",
    [open_space("mobilenetv3", "digits"), open_space("mnasnet", "imagenet"), tiny_space()],
    ids=["mobilenetv3", "mnasnet", "tiny"],
)
def test_on_real_spaces_genes_beyond_the_depth_are_closed(space):
    rollout = drawn(space, controller(space.cardinalities, is_fresh=True), 40)
    genomes = rollout.genomes()
    assert [space.canonical(genome) for genome in genomes] == genomes
    assert int((rollout.open_counts() > 1).sum()) < 40 * sum(choices > 1 for choices in space.cardinalities)


def test_every_network_of_a_space_can_be_drawn():
    space = tiny_space()
    made, rng, found = controller(space.cardinalities, is_fresh=True), np.random.default_rng(0), set()
    for _ in range(20):
        found |= {space.canonical(genome) for genome in draw_rollout(made, 40, OpenChoices(space, rng), rng).genomes()}
    assert len(found) == space.size()


def test_rows_and_joining_are_each_others_inverse():
    rollout = drawn(FlatSpace((3, 2)), controller((3, 2)), 5)
    again = Rollout.joined([rollout.rows([i]) for i in range(5)])
    assert torch.equal(again.tokens, rollout.tokens) and torch.equal(again.is_open, rollout.is_open)
