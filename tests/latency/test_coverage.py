"""What of a space a table covers; by stage and resolution the counts are those of the networks themselves."""

from collections import Counter

import numpy as np
import pytest

from latency.coverage import Place, coverage_of, stages_of
from latency.testing import made_up_table
from mnas.segments import segments_of
from mnas.spaces.presets import open_space


@pytest.mark.parametrize("preset", ["digits", "fashion", "imagenet"])
def test_every_segment_of_a_network_stands_in_a_stage_that_is_known(preset):
    space = open_space("mobilenetv3", preset)
    stages = stages_of(space)
    assert set(stages) == {Place.of(segment) for segment in space.segments()}
    rng = np.random.default_rng(3)
    for _ in range(20):
        architecture = space.decode(space.sample(rng))
        px = architecture.input_shape_chw[1]
        names = ["stem", *(f"stage{n}" for n, stage in enumerate(architecture.stages) for _ in stage.blocks), "head"]
        for name, segment in zip(names, segments_of(architecture), strict=True):
            assert (name, px) in stages[Place.of(segment)]


def test_a_whole_table_covers_its_space_and_a_lacking_one_says_where():
    space = open_space("mobilenetv3", "digits")
    whole = coverage_of(made_up_table(space), space)
    assert whole.present == whole.reached == 204 and whole.missing == () and whole.foreign == 0
    assert all(one.present == one.reached > 0 for one in whole.stages)
    names = Counter(one.stage for one in whole.stages)
    assert names == {"stem": 3, "stage0": 3, "stage1": 3, "head": 3}
    assert [one.stage for one in whole.stages][:4] == ["stem", "stage0", "stage1", "head"]

    table = made_up_table(space)
    gone = [segment for segment in table.entries if Place.of(segment).in_shape_chw == (16, 16, 16)]
    for segment in gone:
        del table.entries[segment]
    less = coverage_of(table, space)
    assert less.present == 204 - len(gone) and sorted(less.missing) == sorted(segment.label() for segment in gone)
    assert {(one.stage, one.resolution_px) for one in less.stages if one.present < one.reached} == {("stage0", 16)}


def test_entries_that_the_space_cannot_reach_are_counted():
    digits, small = open_space("mobilenetv3", "digits"), open_space("mobilenetv3", "digits", (8,))
    coverage = coverage_of(made_up_table(digits), small)
    assert coverage.reached == coverage.present == 68
    assert coverage.foreign == 204 - 68
    assert {one.resolution_px for one in coverage.stages} == {8}
