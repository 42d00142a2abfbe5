"""Trainings that are interrupted, or short of memory: gone on with to the same bits, or in smaller parts."""

import hashlib
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from picture_folders import make_folder

from mnas.errors import TrainingError
from mnas.spaces.presets import open_space
from search.accuracy.jobs import TrainingJob, run_training
from search.data.registry import open_dataset
from search.training.memory import in_halves, is_out_of_memory, memory_told
from search.training.schedule import TrainingSchedule
from search.training.trainer import train_network

SHORT = TrainingSchedule(256, 4, 32, lr=0.1, bn_images=128)
FULL = replace(SHORT, ema_decay=0.9, flip=True, crop=0.125, colour=0.2, mixup=0.2)


def network(seed=3):
    space = open_space("mobilenetv3", "digits")
    return space.decode(space.sample(np.random.default_rng(seed)))


def digest_of(module):
    return {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in module.state_dict().items()}


class Interrupt:
    """Ends a training in the middle of an epoch, as Ctrl-C would."""

    def __init__(self, after):
        self.after = after

    def __call__(self, done, steps, module):
        if done == self.after:
            raise KeyboardInterrupt
        return False


@pytest.mark.parametrize("schedule", [SHORT, FULL], ids=["plain", "augmented"])
@pytest.mark.parametrize("stops", [[13], [8, 20], [3, 30], [9, 16, 25]], ids=str)
def test_an_interrupted_training_comes_to_the_same_weights_bit_for_bit(tmp_path, schedule, stops):
    dataset, path = open_dataset("digits"), tmp_path / "work" / "net.part"
    whole = train_network(network(), dataset, schedule, 5)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train_network(network(), dataset, schedule, 5, Interrupt(stop), path)
        assert path.is_file() == (stop > 8)
    again = train_network(network(), dataset, schedule, 5, None, path)
    assert digest_of(again.module) == digest_of(whole.module)
    assert again.train_loss == whole.train_loss and again.images_seen == whole.images_seen
    assert not path.exists()


def test_what_is_done_is_not_done_again(tmp_path):
    dataset, path, steps = open_dataset("digits"), tmp_path / "net.part", []
    with pytest.raises(KeyboardInterrupt):
        train_network(network(), dataset, SHORT, 5, Interrupt(20), path)

    def note(done, *_):
        steps.append(done)
        return False

    train_network(network(), dataset, SHORT, 5, note, path)
    assert steps == list(range(17, 33))


def interrupted(path, schedule=SHORT, seed=5):
    with pytest.raises(KeyboardInterrupt):
        train_network(network(), open_dataset("digits"), schedule, seed, Interrupt(20), path)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "net.part"
    interrupted(path)
    dataset = open_dataset("digits")
    for architecture, schedule, seed in (
        (network(4), SHORT, 5),
        (network(), replace(SHORT, lr=0.2), 5),
        (network(), SHORT, 6),
    ):
        with pytest.raises(TrainingError, match=r"TRN11.*another one"):
            train_network(architecture, dataset, schedule, seed, None, path)
    assert path.is_file()


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_a_damaged_checkpoint_costs_its_epochs_and_nothing_else(tmp_path, damage):
    path = tmp_path / "net.part"
    interrupted(path)
    if damage == "other":
        torch.save({"a": torch.zeros(3)}, path)
    else:
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"hello")
    dataset = open_dataset("digits")
    found = train_network(network(), dataset, SHORT, 5, None, path)
    assert digest_of(found.module) == digest_of(train_network(network(), dataset, SHORT, 5).module)


class Code:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def drop_a_weight(kept):
    del kept["module"][next(iter(kept["module"]))]


def widen_a_moment(kept):
    kept["optimiser"]["state"][0]["momentum_buffer"] = torch.zeros(3)


def settle_another_rate(kept):
    kept["optimiser"]["param_groups"][0]["momentum"] = "fast"


CHANGES = {
    "a weight": drop_a_weight,
    "weights": lambda kept: kept.update(module=[1, 2]),
    "a moment": widen_a_moment,
    "settings": settle_another_rate,
    "no optimiser": lambda kept: kept.update(optimiser={}),
    "averages": lambda kept: kept["averages"].pop(),
    "epochs": lambda kept: kept.update(epochs_done=99),
    "no epochs": lambda kept: kept.update(epochs_done="two"),
    "generator": lambda kept: kept.update(generator=torch.zeros_like(kept["generator"])),
    "rule": lambda kept: kept.update(rule=torch.ones(2)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_checkpoint_with_parts_of_other_kinds_costs_its_epochs_and_nothing_else(tmp_path, change):
    path, dataset = tmp_path / "net.part", open_dataset("digits")
    schedule = replace(SHORT, ema_decay=0.9)
    interrupted(path, schedule)
    kept = torch.load(path, weights_only=True)
    change(kept)
    torch.save(kept, path)
    steps = []
    train_network(network(), dataset, schedule, 5, lambda done, *_: bool(steps.append(done)), path)
    assert steps == list(range(1, 33))


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    path = tmp_path / "net.part"
    interrupted(path)
    kept = torch.load(path, weights_only=True)
    torch.save({**kept, "averages": [Code(tmp_path / "ran")]}, path)
    train_network(network(), open_dataset("digits"), SHORT, 5, None, path)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_holds_no_code(tmp_path):
    path = tmp_path / "net.part"
    interrupted(path, FULL)
    assert torch.load(path, weights_only=True)["epochs_done"] == 2


def test_a_job_goes_on_from_its_checkpoint(tmp_path):
    path = tmp_path / "net.part"
    job = TrainingJob(network().to_json(), "digits", None, SHORT, 5, checkpoint_path=str(path))
    whole = run_training(replace(job, checkpoint_path=None))
    interrupted(path, seed=job.seed)
    found = run_training(job)
    assert (found.errors, found.losses, found.note) == (whole.errors, whole.losses, "") and not path.exists()


class Hungry(torch.nn.Module):
    """Has memory for so many images at a time."""

    most = 10

    def __init__(self, inner, kind):
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, images):
        if self.training and len(images) > self.most:
            raise self.kind("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return self.inner(images)


def hungry_networks(monkeypatch, kind=MemoryError):
    """Make training build networks of `Hungry`."""
    from search.training import trainer

    build = trainer.build_module
    monkeypatch.setattr(trainer, "build_module", lambda *a, **k: Hungry(build(*a, **k), kind))


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError])
def test_batches_are_halved_until_memory_is_enough_and_that_is_said(monkeypatch, kind):
    hungry_networks(monkeypatch, kind)
    schedule = replace(SHORT, bn_images=0)
    found = train_network(network(), open_dataset("digits"), schedule, 5)
    assert found.batch_parts == 4 and found.images_seen == 4 * 256 and np.isfinite(found.train_loss)
    monkeypatch.setattr(Hungry, "most", 0)
    outcome = run_training(TrainingJob(network().to_json(), "digits", None, schedule, 5))
    assert "TRN10" in outcome.error_message and not outcome.diverged
    monkeypatch.setattr(Hungry, "most", 31)
    outcome = run_training(TrainingJob(network().to_json(), "digits", None, schedule, 5))
    assert outcome.is_ok and outcome.note == "memory was too small for batches of 32: they were computed 16 at a time"


def test_norms_are_estimated_on_as_many_images_as_memory_holds(monkeypatch):
    hungry_networks(monkeypatch)
    monkeypatch.setattr(Hungry, "most", 100)
    schedule = replace(SHORT, bn_images=2000)
    outcome = run_training(TrainingJob(network().to_json(), "digits", None, schedule, 5))
    assert outcome.is_ok
    assert outcome.note == "memory was too small for batches of 500: batch norms were estimated on 62 at a time"
    watched = run_training(TrainingJob(network().to_json(), "digits", None, schedule, 5, curve_points=2))
    assert watched.errors == outcome.errors and len(watched.curve) == 2
    monkeypatch.setattr(Hungry, "most", 10)
    outcome = run_training(TrainingJob(network().to_json(), "digits", None, schedule, 5))
    assert outcome.is_ok and outcome.note.endswith("computed 8 at a time, and for batches of 500: batch norms were "
                                                   "estimated on 7 at a time")  # fmt: skip


@given(st.integers(1, 40), st.integers(1, 40))
def test_halves_of_a_batch_come_to_the_batch(count, most):
    seen = []

    def double(batch):
        if len(batch) > most:
            raise MemoryError
        seen.append(len(batch))
        return 2 * batch

    batch = torch.arange(count)
    assert torch.equal(in_halves(double, batch), 2 * batch)
    assert sum(seen) == count and max(seen) <= most


def test_what_one_image_has_no_memory_for_fails():
    def refuse(batch):
        raise MemoryError

    with pytest.raises(TrainingError, match="TRN10"), memory_told("x"):
        in_halves(refuse, torch.zeros(7))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes do not match")) and not is_out_of_memory(OSError("no memory"))
    with pytest.raises(RuntimeError, match="shapes"), memory_told("x"):
        raise RuntimeError("shapes do not match")
    with pytest.raises(TrainingError, match="TRN10"), memory_told("x"):
        raise MemoryError


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits on the address space are Linux's")
def test_a_process_that_really_runs_out_of_memory_halves_its_batches():
    assert resource.RLIMIT_AS
    program = f"""
import resource, sys
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from dataclasses import replace
from mnas.spaces.presets import open_space
from search.data.registry import open_dataset
from search.training.schedule import TrainingSchedule
from search.training.trainer import train_network
space = open_space("mobilenetv3", "digits")
largest = space.decode(space.extremes()[1])
dataset = open_dataset("digits")
schedule = TrainingSchedule(512, 1, 8, lr=0.01, bn_images=0)
train_network(largest, dataset, replace(schedule, train_images=16), 0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 160 * 2**20,) * 2)
print(train_network(largest, dataset, replace(schedule, batch_size=512), 0).batch_parts)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) in {2**power for power in range(1, 10)}


def test_a_gpu_that_is_not_here_is_refused():
    if torch.cuda.is_available():
        pytest.skip("SKIPPED: there is a CUDA device here")
    for device in ("cuda", "cuda:1", "tpu"):
        with pytest.raises(TrainingError, match="TRN12"):
            train_network(network(), open_dataset("digits"), replace(SHORT, device=device), 0)


def test_a_folder_of_images_is_learnt(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = str(make_folder(tmp_path / "stripes", count=80))
    space = open_space("mobilenetv3", "cifar10-3x3")
    smallest = space.decode(space.extremes()[0])
    # A mirrored stripe of one class is another's.
    schedule = replace(FULL, train_images=0, epochs=20, lr=0.05, mixup=0.0, flip=False, crop=0.0)
    job = TrainingJob(smallest.to_json(), name, None, schedule, 0)
    outcome = run_training(job)
    assert outcome.is_ok and outcome.errors["rank-val"] < 0.2
