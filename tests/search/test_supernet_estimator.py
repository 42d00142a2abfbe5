"""The supernet as an estimator: the contract, files that are wrong, and whether it tells networks apart."""

import pickle
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_folders import make_folder

from mnas.config import make_config
from mnas.errors import SpaceError, SupernetError, TrainingError
from mnas.spaces.presets import open_space
from search.accuracy.estimator import estimate_one, mark_of
from search.accuracy.registry import open_accuracy
from search.accuracy.setting import AccuracySetting, setting_of
from search.accuracy.testing import AccuracyEstimatorContract
from search.data.dataset import tensors
from search.data.registry import open_dataset
from search.executors.executor import InProcessExecutor
from search.resolve import resolve
from search.supernet import estimator as estimator_module
from search.supernet.checkpoint import read_checkpoint
from search.supernet.estimator import folded, open_supernet_estimator, run_inheritance
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import SupernetSchedule
from search.testing import KeptReporter
from search.training.schedule import schedule_for
from search.training.trainer import estimate_batch_norms, evaluate, reproducible

SPACE, DIGITS = open_space("mobilenetv3", "digits"), open_dataset("digits")
SETTING = AccuracySetting(
    SPACE, "digits", None, DIGITS.size("train"), schedule_for("digits", "proxy"), 7, fingerprint=DIGITS.fingerprint
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a supernet that has learned a little."""
    folder = tmp_path_factory.mktemp("supernet")
    train_supernet(SupernetRequest(SPACE, "digits", None, SupernetSchedule(4, batch_size=64), 2, folder))
    return folder


def networks():
    return tuple(SPACE.decode(genome) for genome in SPACE.extremes())


class TestSupernetEstimator(AccuracyEstimatorContract):
    @pytest.fixture(autouse=True)
    def _in(self, trained):
        self.folder = trained

    def estimator(self):
        return open_supernet_estimator(self.folder, SETTING)

    def architectures(self):
        return networks()

    def test_the_study_plays_no_part(self):
        other = replace(SETTING, study_seed=8)
        assert open_supernet_estimator(self.folder / "supernet.pt", other) == self.estimator()


def test_an_estimate_is_that_of_the_calibrated_network(trained):
    estimator = replace(open_supernet_estimator(trained, SETTING), eval_images=200, calibration_images=100)
    dataset = open_dataset("digits")
    for network in networks():
        estimate = estimate_one(estimator, network, InProcessExecutor())
        module = read_checkpoint(trained).supernet().extract(network)
        px = network.input_shape_chw[1]
        with reproducible():
            estimate_batch_norms(module, tensors(dataset, "train", px, 100)[0])
        found = evaluate(module, dataset, "rank-val", px, 200)
        assert estimate.images == found.images == 200
        assert estimate.loss == pytest.approx(found.loss, rel=1e-3)
        assert estimate.error == pytest.approx(found.error, abs=0.011)
    assert estimate.error < 0.5  # of ten classes


def test_calibration_and_images_are_part_of_the_fidelity(trained):
    estimator = open_supernet_estimator(trained, SETTING)
    others = [
        replace(estimator, calibration_images=100),
        replace(estimator, eval_images=9),
        replace(estimator, sha256="0"),
    ]
    assert len({one.fidelity for one in (estimator, *others)}) == 4
    assert read_checkpoint(trained).sha256[:12] in estimator.fidelity


def test_folding_changes_what_is_computed_by_rounding_alone(trained):
    module = read_checkpoint(trained).supernet().extract(networks()[1])
    images = torch.randn((5, *networks()[1].input_shape_chw), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = module(images), folded(module)(images)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())


def test_another_supernet_in_its_place_is_refused(trained, tmp_path):
    estimator = open_supernet_estimator(trained, SETTING)
    (job,) = replace(estimator, sha256="ff" * 32).jobs(networks()[0])
    with pytest.raises(SupernetError, match="SUP04"):
        job.run()
    outcome = InProcessExecutor().map_in_order([job])[0]
    with pytest.raises(TrainingError, match=r"TRN03.*SUP04"):
        estimator.estimate(networks()[0], [outcome])


def test_other_data_are_refused_before_anything_is_estimated_and_by_each_job(trained, tmp_path):
    other = replace(SETTING, fingerprint="0" * 64)
    with pytest.raises(SupernetError, match="SUP05"):
        open_supernet_estimator(trained, other)
    checkpoint = read_checkpoint(trained)
    replace(checkpoint, description=replace(checkpoint.description, fingerprint="0" * 64)).save(
        tmp_path / "supernet.pt"
    )
    (job,) = open_supernet_estimator(tmp_path, other).jobs(networks()[0])
    with pytest.raises(SupernetError, match="SUP05"):
        run_inheritance(job.arguments[0])


def test_a_search_in_another_space_is_refused_and_one_in_a_part_of_it_is_not(trained):
    for space in (open_space("mobilenetv3", "fashion"), open_space("mnasnet", "digits")):
        with pytest.raises(SupernetError, match=rf"SUP06.*networks of {space.name} are not in it"):
            open_supernet_estimator(trained, replace(SETTING, space=space))
    part = open_space("mobilenetv3", "digits", SPACE.definition.resolutions_px[:1])
    assert open_supernet_estimator(trained, replace(SETTING, space=part)).mark == ""


def test_a_supernet_that_is_half_trained_says_so(trained, tmp_path):
    checkpoint = read_checkpoint(trained)
    replace(checkpoint, step=checkpoint.steps // 4).save(tmp_path / "supernet.pt")
    assert "trained to 25% of its schedule" in mark_of(open_supernet_estimator(tmp_path, SETTING))
    assert mark_of(open_accuracy("proxy", SETTING)) == ""


def test_a_supernet_of_a_folder_of_images_is_known_by_their_content(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pets = str(make_folder(tmp_path / "pets"))
    space = open_space("mobilenetv3", "digits-3x3")
    train_supernet(SupernetRequest(space, pets, None, SupernetSchedule(1, batch_size=32), 2, tmp_path))
    moved = str(shutil.copytree(pets, tmp_path / "moved"))
    accuracy = f"supernet:{tmp_path}"
    for folder in (pets, moved):
        config = resolve(make_config({"data": folder, "accuracy": accuracy}), KeptReporter())
        dataset = open_dataset(config.data)
        estimator = open_accuracy(accuracy, setting_of(config, space, dataset))
        estimate = estimate_one(estimator, space.decode(space.extremes()[0]), InProcessExecutor())
        assert estimate.images == dataset.size("rank-val")
    with pytest.raises(SupernetError, match=r"SUP05.*digits \w{12}, trained on pets"):
        resolve(make_config({"data": "digits", "accuracy": accuracy}), KeptReporter())
    with pytest.raises(SupernetError, match="SUP06"):
        resolve(make_config({"data": pets, "accuracy": accuracy, "space": "mnasnet"}), KeptReporter())


def test_networks_outside_its_space_are_refused(trained):
    foreign = open_space("mobilenetv3", "fashion")
    (job,) = open_supernet_estimator(trained, SETTING).jobs(foreign.decode(foreign.extremes()[0]))
    with pytest.raises(SpaceError, match="SPC03"):
        job.run()


def test_weights_that_are_no_numbers_are_a_failed_candidate(trained, tmp_path):
    checkpoint = read_checkpoint(trained)
    weights = {name: torch.full_like(tensor, float("nan")) for name, tensor in checkpoint.weights.items()}
    replace(checkpoint, weights=weights).save(tmp_path / "supernet.pt")
    estimator = open_supernet_estimator(tmp_path, SETTING)
    with pytest.raises(TrainingError, match="TRN01"):
        estimate_one(estimator, networks()[0], InProcessExecutor())


def test_memory_that_is_too_small_is_a_failed_candidate(trained, monkeypatch):
    def hungry(*arguments):
        raise MemoryError

    monkeypatch.setattr(estimator_module, "estimate_batch_norms", hungry)
    with pytest.raises(TrainingError, match=r"TRN03.*TRN10"):
        estimate_one(open_supernet_estimator(trained, SETTING), networks()[0], InProcessExecutor())


def test_a_checkpoint_is_read_as_it_was_written_and_its_hash_is_of_the_weights(trained, tmp_path):
    checkpoint = read_checkpoint(trained)
    checkpoint.save(tmp_path / "again.pt")
    assert read_checkpoint(tmp_path / "again.pt").sha256 == checkpoint.sha256
    assert replace(checkpoint, momenta={}, step=1).sha256 == checkpoint.sha256
    name, tensor = next(iter(checkpoint.weights.items()))
    assert replace(checkpoint, weights={**checkpoint.weights, name: tensor + 1}).sha256 != checkpoint.sha256
    averaged = replace(checkpoint, averages={**checkpoint.weights, name: tensor + 1})
    assert averaged.sha256 != checkpoint.sha256
    assert torch.equal(averaged.supernet().state_dict()[name], tensor + 1)


@given(cut=st.floats(0, 0.999))
@settings(deadline=None)
def test_a_file_that_was_cut_off_is_refused(trained, tmp_path_factory, cut):
    data = (trained / "supernet.pt").read_bytes()
    path = tmp_path_factory.mktemp("cut") / "supernet.pt"
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(SupernetError, match="SUP01"):
        read_checkpoint(path)


class _Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize("content", [{"weights": _Evil()}, [1, 2], {"weights": {}}])
def test_files_of_something_else_are_refused_and_run_no_code(content, tmp_path, capsys):
    path = tmp_path / "supernet.pt"
    torch.save(content, path)
    with pytest.raises(SupernetError, match="SUP01"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(SupernetError, match="SUP01"):
        read_checkpoint(path)
    assert "ran" not in capsys.readouterr().out


def test_parts_that_are_no_tensors_and_compressed_parts_are_refused(trained, tmp_path):
    whole = torch.load(trained if trained.is_file() else trained / "supernet.pt", weights_only=True)
    path = tmp_path / "supernet.pt"
    for name, value in (("weights", [1, 2]), ("momenta", {"a": 3}), ("averages", None), ("step", "x"), ("history", 7)):
        torch.save({**whole, name: value}, path)
        with pytest.raises(SupernetError, match="SUP01"):
            read_checkpoint(path).is_finished  # noqa: B018
    torch.save(whole, path)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as sound, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sound.namelist():
            archive.writestr(part, sound.read(part))
    with pytest.raises(SupernetError, match=r"SUP01: .*compressed"):
        read_checkpoint(packed)


def test_weights_of_another_space_are_refused(trained, tmp_path):
    checkpoint = read_checkpoint(trained)
    other = open_space("mobilenetv3", "fashion").definition
    wrong = replace(checkpoint, description=replace(checkpoint.description, definition=other))
    with pytest.raises(SupernetError, match="SUP01"):
        wrong.supernet()


def test_inherited_losses_tell_networks_apart(trained):
    estimator, rng = open_supernet_estimator(trained, SETTING), np.random.default_rng(0)
    drawn = {SPACE.draw(rng) for _ in range(6)}
    losses = {estimate_one(estimator, SPACE.decode(one), InProcessExecutor()).loss for one in drawn}
    assert len(losses) == len(drawn)
