"""A study in this process on a real table: the order of its stages, what it leaves behind, and what stops it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mnas.cli.study_report import write_report
from mnas.cli.study_view import notes_of
from mnas.config import make_config
from mnas.errors import ConfigError, DataError, LutError, StudyError
from mnas.jsonio import canonical_json
from mnas.spaces.presets import open_space
from search.accuracy.jobs import EvaluationJob, TrainingJob, TrainingOutcome
from search.data.dataset import tensors
from search.data.registry import open_dataset
from search.events import EventLog
from search.finalists import parity_images
from search.resolve import resolve
from search.result import load_result
from search.study import Study, open_store
from search.study_space import study_space
from search.testing import KeptReporter, MadeUpTraining, ShortTraining
from search.top import top_networks, write_top

KEYS = {"data": "digits", "preset": "digits", "training": "small", "population": 4}
LUT = {"lut_rounds": 3, "lut_calibration": 3, "lut_validation": 3}


@pytest.fixture(scope="module")
def finished(after_lut, tmp_path_factory):
    """Output folder, result, executor and reporter of a study of 8 candidates and 3 finalists on 2 seeds."""
    out = Path(shutil.copytree(after_lut, tmp_path_factory.mktemp("study") / "out"))
    reporter = KeptReporter()
    with open_store(out) as store:
        config = make_config({**KEYS, **LUT, "budget": 8, "finalists": 3, "finalist_seeds": 2})
        study = Study.create(store, config)
        executor = ShortTraining(EventLog(store, study.study_id))
        result = study.run(out, executor, reporter)
    return out, result, executor, reporter


def history(out):
    with open_store(out, must_exist=True) as store:
        return EventLog(store, load_result(store, "").study_id).history()


@pytest.mark.slow
def test_the_stages_follow_one_another(finished):
    kinds = [event["kind"] for event in history(finished[0])]
    stages = "data notice lut goal accuracy sitting evaluated over".split()
    stages += "finalists trained exported measured recommended tested".split()
    named = ["over" if kind == "search over" else kind for kind in kinds if kind != "generation"]
    assert list(dict.fromkeys(named)) == stages
    numbers = {kind: kinds.count(kind) for kind in ("evaluated", "generation", "trained", "exported", "tested")}
    assert numbers == {"evaluated": 8, "generation": 2, "trained": 6, "exported": 3, "tested": 6}
    assert kinds[-6:] == ["tested"] * 6


@pytest.mark.slow
def test_the_best_of_a_finished_study_are_whole_exports(finished, tmp_path):
    out, result, *_ = finished
    with open_store(out, must_exist=True) as store:
        space = study_space(EventLog(store, result.study_id), result.config)
    top = top_networks(result, 5)
    write_top(result, top, space, out, tmp_path)
    files = {"architecture.json", "weights.pt", "model.onnx", "model.tflite", "card.json", "card.md"}
    for one in top:
        found = {path.name for path in (tmp_path / f"{one.rank}-{one.arch_id[:12]}").iterdir()}
        assert found == (files if one.export else {"architecture.json", "card.json", "card.md"})
    assert [one.split for one in top] == ["val"] * 3 + ["rank-val"] * 2
    assert any("changed their rank" in note for note in notes_of(result))


@pytest.mark.slow
def test_test_is_read_only_after_the_recommendation_stands(finished):
    _, _, executor, _ = finished
    trainings = [job for job, _ in executor.jobs if isinstance(job, TrainingJob)]
    evaluations = [(job, kinds) for job, kinds in executor.jobs if isinstance(job, EvaluationJob)]
    assert [job.evaluate_splits for job in trainings] == [("rank-val",)] * 8 + [("val",)] * 6
    assert [job.split for job, _ in evaluations] == ["test"] * 6
    assert all("recommended" in kinds for _, kinds in evaluations)
    assert len({job.seed for job in trainings}) == 14


@pytest.mark.slow
def test_members_carry_what_each_stage_found(finished):
    out, result, _, reporter = finished
    assert result.status == "finished" and len(result.members) == 3
    latencies = [member.candidate.predicted_ms for member in result.members]
    assert latencies == sorted(latencies)
    digits = open_dataset("digits")
    for member in result.members:
        assert len(member.val_errors) == len(member.test_errors) == 2
        assert (member.val_images, member.test_images) == (digits.size("val"), digits.size("test"))
        assert member.interval_ms[0] <= member.measured_ms <= member.interval_ms[1]
        assert 0.2 < member.measured_ms / member.candidate.predicted_ms < 5
    assert any(member.is_recommended for member in result.members)
    assert any("cannot rank" in warning for warning in reporter.warnings)
    assert any("cannot rank" in notice for notice in result.notices)
    with open_store(out, must_exist=True) as store:
        assert load_result(store, result.study_id[:6]) == load_result(store, "") == result


@pytest.mark.slow
def test_front_json_keeps_to_its_schema(finished):
    out, result, _, _ = finished
    front = json.loads((out / "front.json").read_text(encoding="utf-8"))
    assert front["schema"] == "mnas.front/1" and front == json.loads(json.dumps(result.front_json()))
    assert front["target_ms"] == result.goal.target_ms
    promised = {"arch_id", "predicted_ms", "measured_ms", "interval_ms", "val_error", "test_error"}
    promised |= {"accuracy_source", "export"}
    for member in front["members"]:
        assert promised <= set(member) and re.fullmatch("[0-9a-f]{64}", member["arch_id"])
        assert all(0 <= member[name] <= 1 for name in ("val_error", "test_error"))
        assert (out / member["export"] / "model.onnx").is_file()
        assert not Path(member["export"]).is_absolute()


@pytest.mark.slow
def test_the_report_is_one_small_page_that_needs_no_network(finished):
    out, result, _, _ = finished
    with open_store(out, must_exist=True) as store:
        page = write_report(store, result, out).read_text(encoding="utf-8")
    assert len(page.encode()) < 1_000_000
    assert re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", page) == []
    assert re.findall(r"<(?:link|iframe|img|object|embed)\b|@import|<script[^>]+src", page) == []
    drawn = set(re.findall(r'<svg[^>]*aria-label="([^"]*)"', page))
    assert {"Pareto front", "Latency by block on host:ort", "Residuals", "Speed over the rounds"} <= drawn
    assert all(member.arch_id[:12] in page for member in result.members)
    assert result.study_id in page and "cannot rank" in page


class Failing(ShortTraining):
    """One candidate diverges, and the final trainings of the fastest finalist as well; the messages are hostile."""

    def _run(self, job):
        (given,) = job.arguments
        is_first = not self.jobs
        outcome = super()._run(job)
        if is_first:
            return TrainingOutcome(seed=given.seed, error_message="<script>alert('&')</script>", diverged=True)
        if isinstance(given, TrainingJob) and given.keep_weights_path:
            fastest = self.log.payload("finalists")["members"][0]
            if fastest in given.keep_weights_path:
                return TrainingOutcome(seed=given.seed, error_message="no memory")
        return outcome


@pytest.mark.slow
def test_what_fails_is_named_and_left_out_and_the_page_escapes_it(copy_after_lut):
    out, reporter = copy_after_lut("failing"), KeptReporter()
    with open_store(out) as store:
        config = make_config({**KEYS, **LUT, "budget": 4, "finalists": 2, "finalist_seeds": 1})
        study = Study.create(store, config)
        result = study.run(out, Failing(EventLog(store, study.study_id)), reporter)
        page = write_report(store, result, out).read_text(encoding="utf-8")
    (failed,) = [candidate for candidate in result.candidates if candidate.status == "failed"]
    assert "<script>alert" in failed.reason
    lost, whole = result.members
    assert (lost.export, lost.val_errors, lost.test_errors, lost.measured_ms) == (None, (), (), None)
    assert whole.is_recommended and not lost.is_recommended
    assert (whole.export, len(whole.test_errors)) == (f"exports/{whole.arch_id[:12]}", 1)
    assert [path.name for path in (out / "exports").iterdir()] == [whole.arch_id[:12]]
    assert sum(lost.arch_id[:12] in warning for warning in reporter.warnings) == 1
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_a_table_of_another_space_stops_a_study_before_anything_is_trained(after_lut, copy_after_lut):
    out = copy_after_lut("foreign")
    with open_store(out) as store:
        config = make_config({**KEYS, "preset": "fashion", "lut": "lut1", "budget": 4})
        study, executor = Study.create(store, config), ShortTraining()
        with pytest.raises(LutError, match=r"LUT02.*mobilenetv3/fashion"):
            study.run(out, executor, KeptReporter())
        with pytest.raises(StudyError, match="STU01"):
            Study.resume(store, "", {}, KeptReporter())
    assert executor.jobs == []


def test_other_data_than_the_study_began_with_stop_it(store, begun, tmp_path):
    EventLog(store, begun.study_id).append("data", {"name": "digits", "fingerprint": "of before"})
    executor = ShortTraining()
    with pytest.raises(DataError, match=r"DAT05.*of before"):
        begun.run(tmp_path, executor, KeptReporter())
    assert executor.jobs == []


def test_images_of_the_export_gate_are_of_as_many_classes_as_they_can_be():
    digits, space = open_dataset("digits"), open_space("mobilenetv3", "digits")
    architecture = space.decode(space.extremes()[1])
    images = parity_images(digits, architecture)
    assert images.shape == (8, *architecture.input_shape_chw)
    of_val, labels = tensors(digits, "val", architecture.input_shape_chw[1])
    label_of = {image.contiguous().numpy().tobytes(): int(label) for image, label in zip(of_val, labels, strict=True)}
    assert len({label_of[image.tobytes()] for image in images}) == 8


@pytest.fixture
def begun(store):
    return Study.create(store, make_config({**KEYS, "budget": 8, "seed": 4}))


def test_resuming_takes_the_newest_unfinished_study(store, begun):
    newer = Study.create(store, begun.config)
    assert newer.study_id != begun.study_id
    assert Study.resume(store, "", {}, KeptReporter()).study_id == newer.study_id
    assert Study.resume(store, begun.study_id[:8], {}, KeptReporter()).study_id == begun.study_id
    store.execute("UPDATE study SET status = 'finished' WHERE study_id = ?", (newer.study_id,))
    assert Study.resume(store, "", {}, KeptReporter()) == begun


def test_resuming_what_is_not_there_or_finished_is_refused(store, begun):
    with pytest.raises(StudyError, match="STU01") as caught:
        Study.resume(store, "no-such-study", {}, KeptReporter())
    assert begun.study_id in str(caught.value)
    store.execute("UPDATE study SET status = 'finished'")
    with pytest.raises(StudyError, match="STU06"):
        Study.resume(store, begun.study_id, {}, KeptReporter())
    with pytest.raises(StudyError, match="STU01"):
        Study.resume(store, "", {}, KeptReporter())


def test_an_ambiguous_beginning_of_an_id_is_refused(store, begun):
    for _ in range(2):
        Study.create(store, begun.config)
    with pytest.raises(StudyError, match="STU01"):
        Study.resume(store, "study", {}, KeptReporter())


def test_only_budget_and_patience_may_change_on_resume(store, begun):
    for key, value in (("seed", 5), ("population", 8), ("target_ms", 0.2), ("training", "normal"), ("lut_rounds", 9)):
        with pytest.raises(ConfigError, match=f"CFG03.*{key}"):
            Study.resume(store, "", {key: value}, KeptReporter())
    same = Study.resume(store, "", {"seed": 4, "budget": 30, "patience": 2}, KeptReporter())
    assert same.config == begun.config.model_copy(update={"budget": 30, "patience": 2})
    assert load_result(store, "").config == begun.config, "it is kept once the study is driven, not before"


def test_resuming_after_an_update_warns(store, begun):
    quiet, loud = KeptReporter(), KeptReporter()
    Study.resume(store, "", {}, quiet)
    store.execute("UPDATE study SET versions_json = ?", (canonical_json({"torch": "0.1"}),))
    Study.resume(store, "", {}, loud)
    assert quiet.warnings == [] and "versions have changed" in loud.warnings[0]


def test_a_budget_that_comes_after_the_finalists_are_chosen_is_said_to_change_nothing(store, begun):
    EventLog(store, begun.study_id).append("finalists", {"members": []})
    reporter = KeptReporter()
    assert Study.resume(store, "", {"budget": 4}, reporter).config.budget == 4
    assert "finalists are chosen already" in reporter.warnings[0]


@pytest.mark.parametrize("budget", [4, 12])
def test_a_changed_budget_after_the_choice_keeps_the_finalists(after_lut, copy_after_lut, budget):
    class Stopping(MadeUpTraining):
        """Presses Ctrl-C when the first finalist is to be trained."""

        def _train(self, job):
            if job.keep_weights_path:
                raise KeyboardInterrupt
            return super()._train(job)

    out = copy_after_lut("choice")
    with open_store(out) as store:
        study = Study.create(store, make_config({**KEYS, **LUT, "budget": 8, "finalists": 2}))
        with pytest.raises(KeyboardInterrupt):
            study.run(out, Stopping(), KeptReporter())
        chosen = load_result(store, "").members
        executor = Stopping()
        with pytest.raises(KeyboardInterrupt):
            Study.resume(store, "", {"budget": budget}, KeptReporter()).run(out, executor, KeptReporter())
        assert executor.trained == [] and load_result(store, "").members == chosen


def test_auto_takes_the_digits_where_fashion_cannot_be_had_and_says_so(monkeypatch):
    def without_fashion(name, folder=None):
        if name == "fashion":
            raise DataError("DAT01", "not to be had")
        return open_dataset(name, folder)

    reporter = KeptReporter()
    monkeypatch.setattr("search.resolve.open_dataset", without_fashion)
    config = resolve(make_config({}), reporter)
    assert (config.data, config.preset) == ("digits", "digits")
    assert "digits take its place" in reporter.warnings[0]
    for asked in ({"data": "fashion"}, {"data_dir": "/nowhere"}):
        with pytest.raises(DataError, match="DAT01"):
            resolve(make_config(asked), reporter)


def test_networks_that_do_not_fit_the_data_are_refused():
    with pytest.raises(ConfigError, match=r"CFG06.*3 channels and 1000 classes"):
        resolve(make_config({"data": "digits", "preset": "imagenet"}), KeptReporter())


def test_resolving_keeps_what_was_named():
    config = make_config({"data": "digits", "preset": "fashion"})
    assert resolve(config, KeptReporter()) == config
    assert resolve(config.model_copy(update={"preset": "auto"}), KeptReporter()).preset == "digits"
