"""A table of a user's own space carries the definition, so that whoever reads it knows what it covers."""

import json
from pathlib import Path

import pytest

from latency.builder import begin_table
from latency.coverage import coverage_of, covered_space
from latency.plan import LutPlan, LutSettings
from latency.testing import made_up_table
from mnas.spaces.presets import chosen_space, open_space
from mnas.spaces.toml_file import definition_to_json

TINY = str(Path(__file__).parents[2] / "docs" / "spaces" / "tiny.toml")


@pytest.fixture
def begun(store, additive_device):
    """Return a function that begins a table of a space and gives the settings that were kept."""

    def begun(space):
        begin_table(store, LutPlan(space, LutSettings()), additive_device().info, anew=True)
        return json.loads(store.query("SELECT settings_json FROM lut ORDER BY rowid DESC LIMIT 1")[0][0])

    return begun


@pytest.mark.parametrize("px", [(), (12,)])
def test_the_space_is_known_from_the_table_alone(begun, px):
    space = chosen_space(TINY, "", px)
    table = made_up_table(space)
    assert covered_space(table) is None
    table.settings = begun(space)
    known = covered_space(table)
    assert known.definition == space.definition
    assert coverage_of(table, known).missing == ()


def test_a_preset_is_known_by_its_name(begun):
    assert "space_definition" not in begun(open_space("mobilenetv3", "digits"))


@pytest.mark.parametrize("forged", [3, {}, [], {"schema": "mnas.space/1", "name": "tiny"}])
def test_a_definition_that_is_none_is_no_space(forged):
    table = made_up_table(chosen_space(TINY, ""))
    table.settings = {"space_definition": forged}
    assert covered_space(table) is None


def test_another_spaces_definition_is_not_taken():
    space = chosen_space(TINY, "")
    table = made_up_table(space)
    table.settings = {"space_definition": {**definition_to_json(space.definition), "name": "other"}}
    assert covered_space(table) is None
