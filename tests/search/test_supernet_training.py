"""Training of supernets: phases, resuming, several processes, and what goes wrong."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnas.counts import total_macs
from mnas.errors import ConfigError, MnasError, SupernetError, TrainingError
from mnas.spaces.presets import open_space
from search.data.registry import open_dataset
from search.supernet.checkpoint import Description, read_checkpoint
from search.supernet.network import Supernet
from search.supernet.parallel import is_first, own_device
from search.supernet.phases import AXES, PROGRESSIVE, Phase, PhaseNetworks
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import SUPERNET_SCHEDULES, SupernetSchedule, supernet_schedule
from search.supernet.shapes import walk_of
from search.supernet.trainer import SupernetTrainer
from search.training.trainer import reproducible

SPACE = open_space("mobilenetv3", "digits")
SHORT = SupernetSchedule(2, batch_size=32, train_images=160)
VARIANTS = {
    "sandwich": SHORT,
    "single path": replace(SHORT, rule="single-path"),
    "averaged, mirrored": replace(SHORT, ema_decay=0.9, flip=True),
    "accumulated": replace(SHORT, batch_size=16, accumulate=2),
    "progressive": replace(SHORT, phases=PROGRESSIVE, label_smoothing=0.1),
}


def trainer_of(schedule, checkpoint=None, seed=3):
    dataset = open_dataset("digits")
    description = Description(SPACE.definition, "digits", dataset.fingerprint, schedule, seed)
    return SupernetTrainer(description, dataset, checkpoint=checkpoint)


def request_of(out, schedule=SHORT, **fields):
    return SupernetRequest(SPACE, "digits", None, schedule, 3, out, **fields)


def assert_equal(one, other):
    for name in ("weights", "momenta", "averages"):
        for key, tensor in getattr(one, name).items():
            assert torch.equal(tensor, getattr(other, name)[key]), key
    assert (one.step, one.history, one.sha256) == (other.step, other.history, other.sha256)


@pytest.mark.parametrize("name", VARIANTS)
def test_training_interrupted_anywhere_comes_to_the_same_weights(name, tmp_path):
    schedule = VARIANTS[name]
    with reproducible():
        whole = trainer_of(schedule)
        whole.run(lambda: False)
        assert whole.step == whole.steps == 10
        path, checkpoint = tmp_path / "supernet.pt", None
        for _ in range(12):
            part = trainer_of(schedule, checkpoint)
            ends = iter([False, False, True])
            part.run(lambda ends=ends: next(ends))
            part.checkpoint().save(path)
            checkpoint = read_checkpoint(path)
    assert checkpoint is not None and checkpoint.is_finished
    assert_equal(whole.checkpoint(), checkpoint)
    assert bool(checkpoint.averages) == (schedule.ema_decay > 0)


def test_it_learns_and_another_seed_learns_otherwise():
    schedule = replace(SHORT, epochs=8, train_images=640)
    with reproducible():
        one, other = trainer_of(schedule), trainer_of(schedule, seed=4)
        one.run(lambda: False)
        other.run(lambda: False)
    losses = [mean for _, _, mean in one.history]
    assert np.mean(losses[-20:]) < 0.7 * np.mean(losses[:20])
    assert one.checkpoint().sha256 != other.checkpoint().sha256


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert own_device("cuda") == "cuda" and is_first()
    assert [own_device("cuda", rank, 3) for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:2"]
    for device in ("cpu", "cuda:2"):
        assert own_device(device, 1, 3) == device
    # The second of two machines with two GPUs each, as torchrun tells it.
    for rank, local in (("2", "0"), ("3", "1")):
        for name, value in (("WORLD_SIZE", "4"), ("RANK", rank), ("LOCAL_RANK", local)):
            monkeypatch.setenv(name, value)
        assert own_device("cuda") == own_device("cuda", int(rank), 4) == f"cuda:{local}" and not is_first()


def test_more_processes_than_gpus_are_refused_before_any_starts(tmp_path):
    processes = torch.cuda.device_count() + 1
    with pytest.raises(TrainingError, match=rf"TRN12.*torch sees {processes - 1} CUDA devices"):
        train_supernet(request_of(tmp_path, processes=processes, device="cuda"))


@pytest.mark.slow
def test_two_processes_come_to_what_one_does_with_batches_accumulated(tmp_path):
    # Random networks are drawn anew for each batch, yet are the same in each process: only the ends can agree.
    ends = replace(SHORT, random_networks=0)
    alone = train_supernet(request_of(tmp_path / "alone", replace(ends, accumulate=2)))
    together = train_supernet(request_of(tmp_path / "together", ends, processes=2))
    assert together.is_finished and together.step == alone.step == 4
    fresh = trainer_of(ends).checkpoint().weights
    for name, tensor in alone.weights.items():
        torch.testing.assert_close(together.weights[name], tensor, rtol=1e-3, atol=1e-4)
    assert any(not torch.allclose(fresh[name], tensor, atol=1e-2) for name, tensor in alone.weights.items())


@pytest.mark.slow
def test_two_processes_interrupted_come_to_the_same_weights(tmp_path):
    whole = train_supernet(request_of(tmp_path / "whole", processes=2))
    part = train_supernet(request_of(tmp_path / "parts", processes=2, minutes=1e-9))
    assert 0 < part.step < part.steps
    for _ in range(part.steps):
        if part.is_finished:
            break
        part = train_supernet(request_of(tmp_path / "parts", processes=2, minutes=1e-9, is_resumed=True))
    assert_equal(whole, part)
    with pytest.raises(SupernetError, match=r"SUP02.*processes"):
        train_supernet(request_of(tmp_path / "whole", is_resumed=True))


def test_a_run_says_what_it_cannot_do(tmp_path):
    request = request_of(tmp_path)
    with pytest.raises(SupernetError, match="SUP01"):
        train_supernet(replace(request, is_resumed=True))
    done = train_supernet(request)
    with pytest.raises(SupernetError, match="SUP03"):
        train_supernet(request)
    with pytest.raises(SupernetError, match=r"SUP02.*schedule \(lr\)"):
        train_supernet(replace(request, is_resumed=True, schedule=replace(SHORT, lr=0.2)))
    with pytest.raises(SupernetError, match=r"SUP02.*seed"):
        train_supernet(replace(request, is_resumed=True, seed=9))
    assert_equal(train_supernet(replace(request, is_resumed=True)), done)
    with pytest.raises(ConfigError, match="CFG45"):
        train_supernet(replace(request, out=tmp_path / "x", schedule=replace(SHORT, batch_size=161)))
    with pytest.raises(ConfigError, match="CFG45"):
        train_supernet(replace(request, out=tmp_path / "x", schedule=replace(SHORT, amp=True)))
    with pytest.raises(ConfigError, match="CFG45"):
        train_supernet(replace(request, out=tmp_path / "x", minutes=0))


def hungry(monkeypatch, most):
    """Leave memory for so many images at a time."""
    forward = Supernet.forward

    def limited(self, images, architecture):
        if len(images) > most:
            raise MemoryError
        return forward(self, images, architecture)

    monkeypatch.setattr(Supernet, "forward", limited)


@pytest.mark.parametrize("schedule", [SHORT, replace(SHORT, batch_size=16, accumulate=2, flip=True)])
def test_batches_are_halved_until_memory_is_enough_and_that_is_said(tmp_path, monkeypatch, schedule):
    hungry(monkeypatch, 10)
    said = []
    found = train_supernet(request_of(tmp_path, schedule), warn=said.append)
    parts = 4 if schedule.batch_size == 32 else 2
    assert found.is_finished and said == [f"memory is too small for whole batches: they are computed in {parts} parts"]
    assert all(np.isfinite(row[2]) for row in found.history)


def test_parts_of_a_batch_have_the_gradients_of_their_mean(monkeypatch):
    """Of a sandwich that is its largest network alone, on norms that do not look at the batch."""
    gradients = []
    with reproducible():
        for most in (32, 8):
            hungry(monkeypatch, most)
            trainer = trainer_of(replace(SHORT, rule="single-path", phases=(Phase(1.0, ()),)))
            trainer.network.eval()
            loss, _ = trainer._gradients()
            gradients.append((float(loss), {n: p.grad.clone() for n, p in trainer.network.named_parameters()
                                            if p.grad is not None}))  # fmt: skip
    (one, whole), (other, parts) = gradients
    assert other == pytest.approx(one, rel=1e-5) and whole.keys() == parts.keys() and whole
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5)


def test_a_step_without_memory_for_one_image_stops_it(tmp_path, monkeypatch):
    hungry(monkeypatch, 0)
    with pytest.raises(TrainingError, match="TRN10"):
        train_supernet(request_of(tmp_path))


def test_a_loss_that_is_no_number_stops_it(tmp_path):
    with pytest.raises(TrainingError, match="TRN01"):
        train_supernet(request_of(tmp_path, replace(SHORT, lr=1e30, clip_norm=0)))
    assert not (tmp_path / "supernet.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "code"),
    [(replace(SHORT, lr=1e30, clip_norm=0), "TRN01"), (replace(SHORT, batch_size=81), "CFG45")],
)
def test_what_is_wrong_in_every_process_is_said_once(tmp_path, capfd, schedule, code):
    with pytest.raises(MnasError, match=code):
        train_supernet(request_of(tmp_path, schedule, processes=2))
    assert "Error" not in capfd.readouterr().err


@given(st.integers(0, 2**32), st.sets(st.sampled_from(AXES)))
def test_networks_of_a_phase_differ_from_the_largest_in_elastic_axes_alone(seed, elastic):
    networks = PhaseNetworks(SPACE, Phase(1.0, tuple(elastic)))
    rng = np.random.default_rng(seed)
    largest, *others = networks.sandwich(rng, 3)
    assert largest == SPACE.decode(SPACE.extremes()[1])
    macs = [total_macs(walk_of(one).layers) for one in (largest, *others)]
    assert max(macs) == macs[0] and (len(macs) == 1 or min(macs) == macs[1])
    full = SPACE.canonical(SPACE.extremes()[1])
    for one in others:
        genome = SPACE.encode(one)
        depths = {
            name.partition(".")[0]: gene
            for name, gene in zip(SPACE.gene_names, genome, strict=True)
            if ".depth" in name
        }
        for name, gene, expected in zip(SPACE.gene_names, genome, full, strict=True):
            is_absent = ".block1." in name and depths[name.partition(".")[0]] == 0
            assert gene == expected or name.rpartition(".")[2] in elastic or is_absent


def test_phases_take_their_shares_of_the_steps_in_order():
    schedule = replace(SHORT, phases=PROGRESSIVE)
    seen = [schedule.phase_at(step, 10) for step in range(10)]
    assert seen == [phase for phase in PROGRESSIVE for _ in range(round(10 * phase.share))]
    assert all(set(one.elastic) < set(other.elastic) for one, other in pairwise(PROGRESSIVE))


@pytest.mark.parametrize(
    "fields",
    [
        *({"rule": "greedy"}, {"epochs": 0}, {"batch_size": 0}, {"phases": (Phase(0.5),)}),
        *({"lr": 0.0}, {"lr": float("nan")}, {"clip_norm": -1.0}, {"ema_decay": 1.0}),
    ],
)
def test_schedules_that_are_none_are_refused(fields):
    with pytest.raises(ConfigError, match="CFG01"):
        replace(SHORT, **fields)
    with pytest.raises(ConfigError, match="CFG01"):
        Phase(1.0, ("colour",))


@pytest.mark.parametrize("name", [*SUPERNET_SCHEDULES, "another"])
def test_schedules_are_read_as_they_are_written(name):
    for progressive in (False, True):
        schedule = supernet_schedule(name, epochs=3, progressive=progressive)
        assert SupernetSchedule.from_json(schedule.to_json()) == schedule
        assert schedule.epochs == 3
        rates = [schedule.learning_rate(step, 50) for step in range(50)]
        assert 0 < min(rates) and max(rates) <= schedule.lr and rates[-1] < 0.01 * schedule.lr < rates[0]
