"""Estimators by name, and proxy training made cheaper or longer by the configuration."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from mnas.architecture import Architecture, Block
from mnas.config import make_config
from mnas.errors import ConfigError, TrainingError
from mnas.layers import layers_of
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.spaces.presets import open_space
from search.accuracy import registry
from search.accuracy.jobs import TrainingJob, run_training
from search.accuracy.proxy_schedule import with_fidelities
from search.accuracy.registry import accuracy_names, open_accuracy, require_accuracy
from search.accuracy.setting import AccuracySetting
from search.training.reduction import reduced
from search.training.schedule import SCHEDULES, TrainingSchedule, schedule_for

SPACE = open_space("mobilenetv3", "digits")
SHORT = TrainingSchedule(256, 2, 32, lr=0.1, bn_images=100)
TAIL = (Block("pool", 8), Block("linear", 10))
SETTING = AccuracySetting(SPACE, "digits", None, 1000, replace(SHORT, epochs=9), 7, "python {architecture}")


def network(seed=3):
    return SPACE.decode(SPACE.sample(np.random.default_rng(seed)))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("proxy", "proxy-training"),
        ("halving", "halving"),
        ("curves", "curve-stopping"),
        ("zero-cost:snip", "score:snip"),
        ("zero-cost:macs", "score:macs"),
        ("command", "command"),
    ],
)
def test_every_name_opens_its_estimator(name, source):
    assert open_accuracy(name, SETTING).name == source
    assert name.partition(":")[0] in accuracy_names()


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("nonsense", "CFG52", "zero-cost:NAME"),
        ("proxy:x", "CFG53", "written proxy"),
        ("zero-cost", "CFG53", "written zero-cost:NAME"),
        ("zero-cost:magic", "CFG53", "synflow"),
        ("supernet:/no/such/file", "CFG53", "there is no"),
        ("command", "CFG51", "stands in none"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name, code, says):
    with pytest.raises(ConfigError, match=f"{code}.*{says}"):
        require_accuracy(name)


def test_another_package_adds_an_estimator_and_cannot_take_a_name(monkeypatch):
    points = [
        EntryPoint("mine", "tests_estimator:make", registry.ENTRY_POINT_GROUP),
        EntryPoint("proxy", "tests_estimator:make", registry.ENTRY_POINT_GROUP),
    ]

    def found(group, name=None):
        return [one for one in points if name in (None, one.name)]

    made = []
    monkeypatch.setattr(registry, "entry_points", found)
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda setting, argument: made.append((self.name, argument)))
    open_accuracy("mine:a:b", SETTING)
    assert made == [("mine", "a:b")]
    assert open_accuracy("proxy", SETTING).name == "proxy-training"
    assert accuracy_names()[-1] == "mine" and accuracy_names().count("proxy") == 1


def test_a_command_needs_no_other_word_and_no_other_estimator_takes_one():
    assert make_config({"accuracy_cmd": "python train.py {architecture}"}).accuracy == "command"
    for keys in ({"accuracy": "command"}, {"accuracy": "proxy", "accuracy_cmd": "python {architecture}"}):
        with pytest.raises(ConfigError, match=r"CFG01.*accuracy_cmd"):
            make_config(keys)


FIDELITIES = {
    "fashion/proxy": "sgd-24000x1-aeeebb46",
    "fashion/final": "sgd-30000x2-b5db0f50",
    "fashion-small/proxy": "sgd-8000x1-5043615d",
    "fashion-small/final": "sgd-10000x2-8e6f7ff4",
    "digits/proxy": "sgd-0x12-2b06f504",
    "digits/final": "sgd-0x30-695d1850",
    "digits-small/proxy": "sgd-0x6-2ee58263",
    "digits-small/final": "sgd-0x15-be64d834",
}
"""Of the schedules before they had a resolution and a width: studies and seeds rest on these texts."""


def test_fidelities_stay_what_they_were():
    seen = {f"{data}/{purpose}": one.fidelity for data, pair in SCHEDULES.items() for purpose, one in pair.items()}
    assert {name: seen[name] for name in FIDELITIES} == FIDELITIES


def test_a_configuration_that_asks_for_nothing_changes_nothing():
    base = schedule_for("digits", "proxy")
    assert with_fidelities(base, make_config({}), 1000) == base


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        ({"proxy_preset": "mnasnet5"}, {"epochs": 5}),
        ({"proxy_preset": "mnasnet5", "proxy_epochs": 7}, {"epochs": 7}),
        ({"proxy_fraction": 0.25}, {"train_images": 250}),
        ({"proxy_resolution": 8}, {"resolution_px": 8}),
        ({"proxy_width": 0.5}, {"width": 0.5}),
    ],
)
def test_each_fidelity_is_another_schedule(keys, changes):
    base = schedule_for("digits", "proxy")
    found = with_fidelities(base, make_config(keys), 1000)
    assert found == replace(base, **changes) and found.fidelity != base.fidelity


def test_reduced_networks_are_trained_in_the_place_of_whole_ones():
    whole = network()
    assert reduced(whole, SHORT) is whole
    small = reduced(whole, replace(SHORT, resolution_px=8, width=0.5))
    assert small.input_shape_chw == (1, 8, 8) and small.classes == 10
    assert [block.out_channels <= other.out_channels for block, other in zip(small.blocks, whole.blocks, strict=True)]
    assert sum(layer.macs for layer in layers_of(small)) < sum(layer.macs for layer in layers_of(whole)) / 2
    assert reduced(whole, replace(SHORT, resolution_px=500)) is whole
    jobs = [TrainingJob(whole.to_json(), "digits", None, replace(SHORT, width=width), 1) for width in (1.0, 0.5)]
    outcomes = [run_training(job) for job in jobs]
    assert jobs[0].seed != jobs[1].seed and outcomes[0].losses != outcomes[1].losses
    assert all(one.is_ok for one in outcomes)


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_named_networks_of_every_family_can_be_narrowed(name):
    whole = named_network(name, 64, 10)
    half = reduced(whole, replace(SHORT, width=0.5))
    assert half.classes == whole.classes
    assert sum(layer.params for layer in layers_of(half)) < sum(layer.params for layer in layers_of(whole))


def test_a_network_that_cannot_be_reduced_says_so():
    architecture = Architecture((1, 16, 16), 10, (), (), (Block("conv", 8, kernel_size=9, padding="none"), *TAIL))
    assert reduced(architecture, SHORT) is architecture
    with pytest.raises(TrainingError, match="TRN13"):
        reduced(architecture, replace(SHORT, resolution_px=8))
