"""Training: equal bit for bit anywhere, sensible on digits, loud when it diverges."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnas.errors import ConfigError, TrainingError
from mnas.jsonio import canonical_json
from mnas.spaces.presets import open_space
from search.accuracy.jobs import TrainingJob, run_training, training_outcome
from search.data.registry import open_dataset
from search.executors.processes import ProcessExecutor
from search.training.schedule import PURPOSES, SCHEDULES, TrainingSchedule, schedule_for
from search.training.trainer import evaluate, reproducible, train_network
from search.training.weights_file import load_weights, save_weights

SHORT = TrainingSchedule(256, 2, 32, lr=0.1, bn_images=128, flip=True)


def network(seed=3):
    space = open_space("mobilenetv3", "digits")
    return space.decode(space.sample(np.random.default_rng(seed)))


def digest_of(module):
    tensors = {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in module.state_dict().items()}
    return hashlib.sha256(canonical_json(tensors).encode()).hexdigest()


def train_digest(seed, schedule=SHORT):
    trained = train_network(network(), open_dataset("digits"), schedule, seed)
    return digest_of(trained.module), trained.train_loss


def training_job(path, study_seed):
    return TrainingJob(network().to_json(), "digits", None, SHORT, study_seed, keep_weights_path=str(path))


def test_two_processes_train_equal_networks_bit_for_bit(tmp_path):
    jobs = [training_job(tmp_path / f"{i}.pt", seed) for i, seed in enumerate((5, 6, 5))]
    with ProcessExecutor(2) as executor:
        elsewhere = executor.map_in_order([job.as_job() for job in jobs])
    here = run_training(training_job(tmp_path / "here.pt", 5))
    outcomes = [training_outcome(job, outcome) for job, outcome in zip(jobs, elsewhere, strict=True)]
    assert [one.error_message for one in outcomes] == ["", "", ""]
    first, other, again = (replace(one, cost_s=0) for one in outcomes)
    assert first == again == replace(here, cost_s=0)
    assert first.train_loss != other.train_loss
    digests = [digest_of(load_weights(network(), tmp_path / f"{name}.pt")) for name in ("here", 0, 1, 2)]
    assert digests[0] == digests[1] == digests[3] != digests[2]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_thread_count_outside_does_not_matter(ema_decay):
    schedule = replace(SHORT, ema_decay=ema_decay)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(train_digest(1, schedule))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert found[0] == found[1]


def test_settings_come_back_after_an_error():
    threads = torch.get_num_threads()
    with pytest.raises(KeyError), reproducible():
        assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
        raise KeyError
    assert torch.get_num_threads() == threads and not torch.are_deterministic_algorithms_enabled()


def test_digits_are_learnt_to_95_percent_by_the_proxy_schedule():
    dataset, schedule = open_dataset("digits"), schedule_for("digits", "proxy")
    space = open_space("mobilenetv3", "digits")
    for genome in space.extremes():
        architecture = space.decode(genome)
        trained = train_network(architecture, dataset, schedule, 0)
        found = evaluate(trained.module, dataset, "rank-val", architecture.input_shape_chw[1])
        assert found.error <= 0.05, genome
        assert found.images == dataset.size("rank-val")
        assert trained.cost_s > 0


def test_evaluation_counts_what_the_network_says():
    dataset, architecture = open_dataset("digits"), network()
    px = architecture.input_shape_chw[1]

    class Always(torch.nn.Module):
        def forward(self, images):
            outputs = torch.zeros(len(images), 10)
            outputs[:, 4] = 1.0
            return outputs

    labels = dataset.labels[dataset.indices("val", 50)]
    found = evaluate(Always(), dataset, "val", px, 50)
    assert found.error == pytest.approx(float((labels != 4).float().mean()))
    assert found.images == 50


def test_a_diverging_training_is_an_error():
    with pytest.raises(TrainingError, match=r"TRN01.*learning rate of 1e\+30"):
        train_network(network(), open_dataset("digits"), replace(SHORT, lr=1e30), 0)


def test_evaluating_nan_weights_is_an_error():
    dataset = open_dataset("digits")
    module = train_network(network(), dataset, SHORT, 0).module
    with torch.no_grad():
        next(module.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="TRN01"):
        evaluate(module, dataset, "val", network().input_shape_chw[1])


def test_a_network_for_other_images_is_refused():
    space = open_space("mobilenetv3", "imagenet")
    with pytest.raises(TrainingError, match="TRN02"):
        train_network(space.decode(space.extremes()[0]), open_dataset("digits"), SHORT, 0)


def test_weights_come_back_from_the_disk(tmp_path):
    dataset, architecture = open_dataset("digits"), network()
    module = train_network(architecture, dataset, SHORT, 0).module
    path = tmp_path / "kept" / "weights.pt"
    save_weights(module, path)
    again = load_weights(architecture, path)
    assert digest_of(again) == digest_of(module)
    px = architecture.input_shape_chw[1]
    assert evaluate(again, dataset, "test", px) == evaluate(module, dataset, "test", px)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="TRN04"):
        load_weights(architecture, path)


def test_weights_of_another_network_are_refused(tmp_path):
    space = open_space("mobilenetv3", "digits")
    smallest, largest = (space.decode(genome) for genome in space.extremes())
    save_weights(train_network(smallest, open_dataset("digits"), SHORT, 0).module, tmp_path / "w.pt")
    with pytest.raises(TrainingError, match="TRN04"):
        load_weights(largest, tmp_path / "w.pt")


def test_the_learning_rate_climbs_to_its_peak_and_falls_to_nothing():
    rates = [SHORT.learning_rate(step, 100) for step in range(100)]
    peak = rates.index(max(rates))
    assert 15 <= peak <= 25 and max(rates) == pytest.approx(SHORT.lr, rel=0.02)
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.01 * SHORT.lr


def test_fidelity_moves_with_every_field():
    changed = [
        replace(SHORT, **{name: not value if isinstance(value, bool) else value + type(value)(1)})
        for name, value in SHORT.to_json().items()
    ]
    assert len({SHORT.fidelity, *(one.fidelity for one in changed)}) == len(changed) + 1
    assert replace(SHORT).fidelity == SHORT.fidelity


def test_fields_that_came_later_leave_the_keys_of_earlier_trainings_as_they_were():
    assert schedule_for("fashion", "proxy").fidelity == "sgd-24000x1-aeeebb46"
    assert schedule_for("digits", "final", is_small=True).fidelity == "sgd-0x15-be64d834"


def test_every_schedule_has_both_purposes_and_final_sees_more_images():
    dataset_sizes = {"fashion": 34_893, "digits": 1_014, "cifar10": 35_000, "cifar100": 35_000, "folder": 1}
    for name, both in SCHEDULES.items():
        assert set(both) == set(PURPOSES)
        whole = dataset_sizes[name.removesuffix("-small")]
        seen = {purpose: (one.train_images or whole) * one.epochs for purpose, one in both.items()}
        assert seen["final"] > seen["proxy"]
        assert both["proxy"] == schedule_for(name.removesuffix("-small"), "proxy", is_small=name.endswith("-small"))
    with pytest.raises(ConfigError, match="fashion"):
        schedule_for("imagenet", "proxy")
