"""The space of a study: a user's own is kept with it, and a file that has changed is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from mnas.config import make_config
from mnas.errors import ConfigError, SpaceError
from mnas.spaces.toml_file import read_space
from search.resolve import resolve
from search.study_space import keep_space, study_space
from search.testing import KeptReporter

TINY = (Path(__file__).parents[2] / "docs" / "spaces" / "tiny.toml").read_text(encoding="utf-8")


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.toml").write_text(TINY)
    return tmp_path / "own.toml"


def begun(make_study, file):
    context = make_study(space=str(file), preset="")
    context = replace(context, space=study_space(context.log, context.config))
    keep_space(context)
    return context


def test_a_study_goes_on_in_the_space_that_it_began_with(make_study, file):
    context = begun(make_study, file)
    before = context.space.definition
    file.write_text("# another comment\n" + TINY.replace("expands = [2, 3]", "expands = [ 2,\n3 ]"))
    assert study_space(context.log, context.config).definition == before
    file.unlink()
    assert study_space(context.log, context.config).definition == before
    keep_space(context)
    assert [event["kind"] for event in context.log.history()].count("space") == 1


def test_a_file_that_has_changed_is_refused(make_study, file):
    context = begun(make_study, file)
    file.write_text(TINY.replace("expands = [2, 3]", "expands = [3, 2]"))
    with pytest.raises(ConfigError, match=r"CFG03: the file of the study's space has changed.*own.toml"):
        study_space(context.log, context.config)
    file.write_text("no TOML")
    with pytest.raises(SpaceError, match="SPC04"):
        study_space(context.log, context.config)
    file.write_text(TINY)
    assert study_space(context.log, context.config).definition == context.space.definition


def test_a_preset_needs_no_keeping(make_study):
    context = make_study()
    assert study_space(context.log, context.config).name == "mobilenetv3/digits"
    keep_space(context)
    assert context.log.payload("space") is None


def test_a_file_is_resolved_without_a_preset_and_must_fit_the_data(file):
    config = resolve(make_config({"data": "digits", "space": str(file)}), KeptReporter())
    assert (config.space, config.preset) == (str(file), "")
    assert read_space(file).definition.classes == 10
    file.write_text(TINY.replace("classes = 10", "classes = 9"))
    with pytest.raises(ConfigError, match=r"CFG06.*user/tiny.*set in_channels = 1 and classes = 10"):
        resolve(make_config({"data": "digits", "space": str(file)}), KeptReporter())
    with pytest.raises(SpaceError, match="SPC01"):
        resolve(make_config({"data": "digits", "space": str(file), "preset": "digits"}), KeptReporter())
