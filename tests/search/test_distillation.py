"""Learning from a teacher, and MnasNet's recipe: what they change, that nothing else does, and what is refused."""

import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import TrainingError
from mnas.export.folder import export_folder, write_models
from mnas.spaces.presets import open_space
from search.accuracy.jobs import TrainingJob, run_training
from search.data.registry import open_dataset
from search.finalists import parity_images
from search.supernet.run import SupernetRequest, train_supernet
from search.supernet.schedule import supernet_schedule
from search.training.distillation import Teacher, distillation_loss
from search.training.schedule import TrainingSchedule, mnasnet_recipe, schedule_for
from search.training.teacher import open_teacher
from search.training.trainer import evaluate, train_network
from search.training.weights_file import load_weights

SHORT = TrainingSchedule(256, 2, 32, lr=0.1, bn_images=128)
TAUGHT = replace(SHORT, distill=0.7, temperature=2.0)
SPACE = open_space("mobilenetv3", "digits")


def network():
    return SPACE.decode(SPACE.extremes()[0])


@pytest.fixture(scope="module")
def digits():
    return open_dataset("digits")


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """The export folder of a network that knows digits."""
    architecture = SPACE.decode(SPACE.extremes()[0])
    module = train_network(architecture, digits, replace(SHORT, train_images=0, epochs=12), 1).module
    exports = tmp_path_factory.mktemp("teacher")
    write_models(exports, architecture, module, parity_images(digits, architecture), "train-x")
    return export_folder(exports, architecture.arch_id)


def weights_of(trained):
    return torch.cat([tensor.flatten().float() for tensor in trained.module.state_dict().values()])


def test_a_teacher_is_the_same_network_as_weights_and_as_onnx_file(trained, digits):
    own, file = open_teacher(str(trained), digits), open_teacher(str(trained / "model.onnx"), digits)
    images = torch.randn(5, 1, own.px, own.px, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own.outputs(images), file.outputs(images), rtol=1e-4, atol=1e-4)
    assert own.px == file.px and own.fingerprint != file.fingerprint
    assert own.outputs(torch.randn(3, 1, 2 * own.px, 2 * own.px)).shape == (3, 10)


def test_a_network_without_labels_learns_from_its_teacher_alone(trained, digits):
    """With the teacher's word alone, the labels do not matter; and the network comes to agree with it."""
    teacher = open_teacher(str(trained), digits)
    schedule = replace(SHORT, train_images=0, epochs=6, distill=1.0, temperature=2.0)
    blind = replace(digits, labels=torch.zeros_like(digits.labels))
    one = train_network(network(), blind, schedule, 1, teacher=teacher)
    other = train_network(network(), digits, schedule, 1, teacher=teacher)
    assert torch.equal(weights_of(one), weights_of(other))
    px = network().input_shape_chw[1]
    assert evaluate(one.module, digits, "val", px).error < 0.3


def test_without_a_share_a_teacher_changes_nothing_and_with_one_it_does(trained, digits):
    teacher = open_teacher(str(trained), digits)
    plain = weights_of(train_network(network(), digits, SHORT, 1))
    assert torch.equal(plain, weights_of(train_network(network(), digits, SHORT, 1, teacher=teacher)))
    assert not torch.equal(plain, weights_of(train_network(network(), digits, TAUGHT, 1, teacher=teacher)))


def test_a_job_names_its_teacher(trained, tmp_path):
    job = TrainingJob(network().to_json(), "digits", None, TAUGHT, 1, keep_weights_path=str(tmp_path / "w.pt"))
    alone = run_training(replace(job, schedule=SHORT))
    taught = run_training(replace(job, teacher=str(trained)))
    assert alone.is_ok and taught.is_ok and alone.train_loss != taught.train_loss
    load_weights(network(), tmp_path / "w.pt")


def test_the_largest_network_of_a_supernet_teaches(digits, tmp_path):
    schedule = replace(supernet_schedule("digits"), epochs=1, train_images=200)
    train_supernet(SupernetRequest(SPACE, "digits", None, schedule, 0, tmp_path))
    teacher = open_teacher(f"supernet:{tmp_path}", digits)
    assert teacher.outputs(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(TrainingError) as caught:
        open_teacher(f"supernet:{tmp_path}", replace(digits, fingerprint="0" * 64))
    assert caught.value.code == "TRN17"


@pytest.mark.parametrize("name", ["nothing", "mnasnet-b1", "no.onnx", "supernet:nowhere"])
def test_what_is_no_teacher_is_refused(name, digits):
    with pytest.raises(TrainingError) as caught:
        open_teacher(name, digits)
    assert caught.value.code == "TRN16" and name.removeprefix("supernet:") in str(caught.value)


class Code:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("dump", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
@pytest.mark.parametrize("place", ["", "weights.pt", "supernet:"])
def test_a_teacher_with_code_in_it_is_refused_and_runs_none(trained, digits, tmp_path, place, dump):
    folder = tmp_path / "teacher"
    shutil.copytree(trained, folder)
    state = {**torch.load(folder / "weights.pt", weights_only=True), "more": Code(tmp_path / "ran")}
    dump(state, folder / "weights.pt")
    dump(state, folder / "supernet.pt")
    name = f"supernet:{folder}" if place == "supernet:" else str(folder / place)
    with pytest.raises(TrainingError, match="TRN16"):
        open_teacher(name, digits)
    assert not (tmp_path / "ran").exists()


def test_a_broken_onnx_file_is_refused(digits, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07 no model")
    with pytest.raises(TrainingError) as caught:
        open_teacher(str(tmp_path / "broken.onnx"), digits)
    assert caught.value.code == "TRN16"


def endless():
    """A model that counts up to 2 ** 62."""
    floats, whole, flag = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    body = onnx.helper.make_graph(
        [node("Identity", ["go"], ["go_on"]), node("Add", ["sum", "sum"], ["next"])],
        "body",
        [value("i", whole, []), value("go", flag, []), value("sum", floats, [1, 1, 8, 8])],
        [value("go_on", flag, []), value("next", floats, [1, 1, 8, 8])],
    )
    graph = onnx.helper.make_graph(
        [node("Loop", ["most", "begin", "x"], ["y"], body=body)],
        "endless",
        [value("x", floats, [1, 1, 8, 8])],
        [value("y", floats, [1, 1, 8, 8])],
        [
            onnx.helper.make_tensor("most", whole, [], [2**62]),
            onnx.helper.make_tensor("begin", flag, [], [True]),
        ],
    )
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[opset]).SerializeToString()


def test_an_onnx_file_that_never_ends_is_refused(digits, tmp_path, monkeypatch):
    (tmp_path / "endless.onnx").write_bytes(endless())
    monkeypatch.setattr("search.training.teacher._TRIAL_S", 5.0)
    with pytest.raises(TrainingError, match=r"TRN16.*within 5 s"):
        open_teacher(str(tmp_path / "endless.onnx"), digits)


@pytest.mark.parametrize(
    ("script", "why"), [("import os; os.abort()", "died of it.*signal 6"), ("raise SystemExit(3)", "exit status 3")]
)
def test_an_onnx_file_that_ends_the_process_is_refused(trained, digits, tmp_path, monkeypatch, script, why):
    (tmp_path / "child.py").write_text(script)
    monkeypatch.setattr("search.training.onnx_child.__file__", str(tmp_path / "child.py"))
    with pytest.raises(TrainingError, match=rf"TRN16.*{why}"):
        open_teacher(str(trained / "model.onnx"), digits)


@pytest.mark.parametrize("suffix", ["", "model.onnx"])
def test_a_teacher_of_other_classes_is_refused(trained, digits, suffix):
    fewer = replace(digits, class_names=digits.class_names[:7])
    with pytest.raises(TrainingError) as caught:
        open_teacher(str(trained / suffix), fewer)
    assert caught.value.code == "TRN17"


OUTPUTS = st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4)


@given(st.lists(OUTPUTS, min_size=1, max_size=5), st.floats(0.5, 20))
def test_nothing_is_lost_on_outputs_that_are_the_teachers(rows, temperature):
    outputs = torch.tensor(rows)
    assert abs(float(distillation_loss(outputs, outputs + 3.0, temperature))) < 1e-3  # a shift is no difference
    assert float(distillation_loss(outputs, outputs.flip(1), temperature)) >= -1e-3


def test_the_loss_is_the_divergence_of_both_softmaxes():
    own, other = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([[0.0, 3.0, -1.0]])
    p, q = (torch.softmax(one / 4.0, 1) for one in (other, own))
    assert float(distillation_loss(own, other, 4.0)) == pytest.approx(16 * float((p * (p / q).log()).sum()), rel=1e-5)


def test_images_of_another_side_are_resized_for_the_teacher():
    seen = []
    teacher = Teacher("t", "0", 6, lambda images: seen.append(tuple(images.shape)) or images.mean((2, 3)))
    assert teacher.outputs(torch.ones(2, 3, 12, 12)).shape == (2, 3) and seen == [(2, 3, 6, 6)]


def test_mnasnets_recipe_has_the_papers_numbers():
    recipe = mnasnet_recipe(replace(schedule_for("fashion", "final"), epochs=350, batch_size=4096))
    steps = 350 * 100
    assert recipe.learning_rate(5 * 100, steps) == pytest.approx(0.256, rel=0.01)
    assert recipe.learning_rate(int(2.5 * 100), steps) == pytest.approx(0.128, rel=0.02)
    # 0.97 times after every 2.4 epochs
    rates = [recipe.learning_rate(int((5.5 + 2.4 * i) * 100), steps) for i in range(0, 140, 20)]
    np.testing.assert_allclose(rates, [0.256 * 0.97**i for i in range(0, 140, 20)], rtol=0.035)
    assert (recipe.optimiser, recipe.dropout, recipe.weight_decay) == ("rmsprop", 0.2, 1e-5)
    assert recipe.fidelity.startswith("rmsprop-")


def test_mnasnets_recipe_learns_digits_and_resumes_to_the_same_weights(digits, tmp_path):
    schedule = mnasnet_recipe(replace(SHORT, train_images=0, epochs=8))
    whole = train_network(network(), digits, schedule, 1)
    assert evaluate(whole.module, digits, "val", network().input_shape_chw[1]).error < 0.3

    class StopError(Exception):
        pass

    def stop(done, steps, module):
        if done > steps // 2:
            raise StopError
        return False

    before = torch.get_rng_state()
    with pytest.raises(StopError):
        train_network(network(), digits, schedule, 1, watch=stop, checkpoint_path=tmp_path / "part")
    again = train_network(network(), digits, schedule, 1, checkpoint_path=tmp_path / "part")
    assert torch.equal(weights_of(whole), weights_of(again))
    assert torch.equal(before, torch.get_rng_state())
