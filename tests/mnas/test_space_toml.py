"""Spaces of one's own from TOML files: exact, strict, bounded, and every fault told with its place."""

import os
import re
import tomllib
from itertools import product
from pathlib import Path

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from network_cases import tampered

from mnas.cli import main
from mnas.errors import SpaceError
from mnas.layers import layers_of
from mnas.segments import segments_of
from mnas.spaces.checked import MOST_CELLS, cells_of, checked_space
from mnas.spaces.definition import BlockTemplate, SpaceDefinition, SqueezeDefinition, StageDefinition
from mnas.spaces.presets import FAMILIES, chosen_space, open_space
from mnas.spaces.toml_file import (
    definition_from_json,
    definition_to_json,
    own_definition,
    read_space,
    space_to_toml,
)
from mnas.toml_text import MOST_BYTES

EXAMPLES = Path(__file__).parents[2] / "docs" / "spaces"
TINY = (EXAMPLES / "tiny.toml").read_text(encoding="utf-8")
PRESETS = [(family, preset) for family, presets in FAMILIES.items() for preset in presets]
ONE_STAGE = """
schema = "mnas.space/1"
name = "one"
classes = 10
divisor = 1
resolutions_px = [16, 8]
[[stem]]
op = "conv"
channels = 8
[[stages]]
channels = 16
ops = ["mbconv", "shufflev1"]
depths = [1, 2]
groups = [1, 2]
[[head]]
op = "pool"
[[head]]
op = "linear"
"""


def changed(*changes, text=TINY):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.fixture
def read(tmp_path):
    """Read the text of a file."""

    def read(text):
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        return read_space(path)

    return read


@pytest.fixture
def refused(read):
    """Return the message of the error that a text gives."""

    def refused(text, code="SPC04"):
        with pytest.raises(SpaceError) as caught:
            read(text)
        assert caught.value.code == code
        return str(caught.value)

    return refused


def test_the_examples_are_read_and_say_what_a_file_may_hold():
    spaces = [read_space(path) for path in sorted(EXAMPLES.glob("*.toml"))]
    assert [(space.name, space.size()) for space in spaces] == [("user/edge", 27648), ("user/tiny", 320)]
    text = (EXAMPLES / "edge.toml").read_text(encoding="utf-8")
    for model in (SpaceDefinition, SqueezeDefinition, BlockTemplate, StageDefinition):
        assert [name for name in model.model_fields if not re.search(rf"\b{name}\b", text)] == []


def test_a_tiny_space_is_what_trying_every_genome_finds():
    space = read_space(EXAMPLES / "tiny.toml")
    found = {}
    for genome in product(*map(range, space.cardinalities)):
        architecture = space.decode(genome)
        found.setdefault(architecture, []).append(genome)
        assert space.decode(space.encode(architecture)) == architecture
    assert len(found) == space.size() < len(list(product(*map(range, space.cardinalities))))
    assert {space.unrank(number) for number in range(space.size())} == {min(genomes) for genomes in found.values()}
    reached = {segment for architecture in found for segment in segments_of(architecture)}
    assert set(space.segments()) == reached
    assert all(layers_of(architecture)[-1].out_shape_chw == (10, 1, 1) for architecture in found)
    stages = [len(place.segments) for place in space.places()[1:-1]]
    assert sum(stages) == sum(cells_of(space.definition))


@pytest.mark.parametrize(("family", "preset"), PRESETS)
def test_every_preset_survives_its_file(family, preset):
    definition = FAMILIES[family][preset]
    read = definition_from_json(tomllib.loads(space_to_toml(definition)))
    assert read == definition.model_copy(update={"name": f"user/{preset}"})
    assert definition_from_json(definition_to_json(read)) == read
    cells = sum(len(place.segments) for place in open_space(family, preset).places()[1:-1])
    assert cells == sum(cells_of(definition)) <= MOST_CELLS / 40


choices = st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True)
stages = st.builds(
    dict,
    channels=st.integers(1, 99),
    depths=choices,
    expands=choices,
    kernels=st.lists(st.sampled_from((1, 3, 5)), min_size=1, unique=True),
    se_ratios=st.lists(st.floats(0, 4), min_size=1, max_size=2, unique=True),
    activations=st.lists(st.sampled_from(("relu", "hswish")), min_size=1, unique=True),
    same_layers=st.booleans(),
)


@given(st.lists(stages, min_size=1, max_size=3), st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True))
def test_a_file_round_trip_is_exact(stages, name):
    head = [{"op": "pool"}, {"op": "linear"}]
    values = {"name": name, "schema": "mnas.space/1", "stem": [{"op": "conv", "channels": 8}], "head": head}
    definition = definition_from_json({**values, "stages": stages})
    assert definition.name == f"user/{name}"
    assert definition_from_json(tomllib.loads(space_to_toml(definition))) == definition
    assert definition_from_json(definition_to_json(definition)) == definition


def test_defaults_hold_where_a_stage_says_nothing(read):
    first, second = read(TINY).definition.stages
    assert (first.kernels, first.expands, first.depths) == ((3, 5), (2, 3), (1, 2))
    assert (second.kernels, second.expands, second.depths) == ((3, 5), (3,), (1,))


def test_a_space_of_a_file_never_bears_the_name_of_a_preset(read, refused):
    assert read(changed(('"tiny"', '"mobilenetv3"'))).name == "user/mobilenetv3"
    for name in ('"mobilenetv3/digits"', '"user/"', '""', '"../x"', '"A"', '"a b"', "3", '"' + "x" * 80 + '"'):
        assert "name: " in refused(changed(('"tiny"', name)))
    assert own_definition(open_space("mnasnet", "digits")) is None
    assert own_definition(read(TINY)) == definition_to_json(read(TINY).definition)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([("kernels", "kernals")], "defaults.kernals: unknown key, did you mean kernels?"),
        ([("filters", "filter")], "stages[1].filter: unknown key, did you mean filters?"),
        ([("kernel_size", "kernelsize")], "stem[0].kernelsize: unknown key, did you mean kernel_size?"),
        ([("in_channels", "inchannels")], ": inchannels: unknown key, did you mean in_channels?"),
        ([('"tiny"', '"tiny"\nsize = 3')], "size: unknown key"),
        ([("[defaults]", "[se]\ngates = 1\n[defaults]")], "se.gates: unknown key, did you mean gate?"),
        ([("[defaults]", "[default]")], "default: unknown key, did you mean defaults?"),
        ([('name = "tiny"\n', "")], "name: it must be"),
        ([("mnas.space/1", "mnas.space/2")], "schema: it must be"),
        ([('schema = "mnas.space/1"', "")], "schema: it must be"),
        ([("channels = 8\nstride", "stride")], "stages[0].channels: it is missing"),
        ([("kernels = [3, 5]", "kernels = [4, 5]")], "odd"),
        ([("kernels = [3, 5]", "kernels = []")], "kernels is empty"),
        ([("kernels = [3, 5]", "kernels = 3")], "defaults.kernels: "),
        ([("kernels = [3, 5]", 'kernels = [3, "5"]')], "defaults.kernels[1]: "),
        ([("kernels = [3, 5]", "kernels = [3, true]")], "defaults.kernels[1]: "),
        ([("kernels = [3, 5]", "kernels = [3, 5.0]")], "defaults.kernels[1]: "),
        ([("kernels = [3, 5]", "kernels = [3, 1979-05-27]")], "defaults.kernels[1]: "),
        ([("kernels = [3, 5]", "kernels = [3, 3]")], "stages[0]: kernels holds a choice twice"),
        ([("kernels = [3, 5]", "kernels = [3, 33]")], "defaults.kernels[1]: "),
        ([("kernels = [3, 5]", "kernels = [3, 99999999999999999999999]")], "defaults.kernels[1]: "),
        ([("depths = [1, 2]", "depths = [0]")], "stages[0].depths[0]: "),
        ([("filters = [0.5, 1.0]", "filters = [nan]")], "stages[1].filters[0]: "),
        ([("filters = [0.5, 1.0]", "filters = [0.5, inf]")], "stages[1].filters[1]: "),
        ([('"sepconv"', '"sepconv3"')], "stages[1]: ops holds 'sepconv3'"),
        ([("[defaults]", "[[defaults]]")], "defaults: it must be a table"),
        ([("[[stages]]", "[stages]"), ("[[stages]]", "[stages.more]")], "stages: "),
        ([("resolutions_px = [8, 12]", "resolutions_px = []")], "resolutions_px is empty"),
        ([("resolutions_px = [8, 12]", "widths = [0.5, 1]")], "either widths or the stages' filters"),
        ([('op = "pool"', 'op = "relu"')], "head[0].op: "),
        ([('op = "linear"', 'op = "conv"\nchannels = 10')], "head must end in linear"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_its_place(refused, changes, says):
    message = refused(changed(*changes))
    assert says in message
    assert "own.toml" in message and message.isprintable()


def test_all_faults_are_told_at_once_and_each_once(refused):
    message = refused(
        changed(("kernels = [3, 5]", "kernels = [2.5]"), ("stride = 2", "strides = 2"), ("channels = 16", ""))
    )
    assert message.count("defaults.kernels[0]") == 1
    assert "stages[0].strides" in message and "stages[1].channels: it is missing" in message


def test_files_that_are_none_are_told(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\x7fELF\xff\x00")
    (tmp_path / "empty.toml").write_bytes(b"\n")
    (tmp_path / "large.toml").write_bytes(b"#" * (MOST_BYTES + 1))
    (tmp_path / "syntax.toml").write_text('schema = "mnas.space/1"\nname = \n')
    (tmp_path / "twice.toml").write_text("name = 1\nname = 2\n")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    (tmp_path / "dotted.toml").write_text('schema = "mnas.space/1"\nname = "a"\n' + ".".join("a" * 50_000) + " = 1\n")
    (tmp_path / "digits.toml").write_text("a = " + "9" * 5000)
    os.mkfifo(tmp_path / "pipe.toml")
    for name, why in (
        ("absent.toml", "No such file"),
        ("folder.toml", "no file"),
        ("pipe.toml", "no file"),
        ("binary.toml", "no text in UTF-8"),
        ("empty.toml", "it is empty"),
        ("large.toml", "larger than 262,144 bytes"),
        ("syntax.toml", "at line 2, column 8"),
        ("twice.toml", "at line 2"),
        ("deep.toml", "nested"),
        ("dotted.toml", "line 3 is nested too deeply"),
        ("digits.toml", "digits"),
        ("x" * 3000 + ".toml", "File name too long"),
    ):
        with pytest.raises(SpaceError, match="SPC04") as caught:
            read_space(tmp_path / name)
        assert why in str(caught.value), name
        assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("changes", "place", "says"),
    [
        (
            [("groups = [1, 2]", "groups = [1, 5]")],
            "stages[0]",
            "ops shufflev1, groups 5 in the first layer, fed 8x8x8",
        ),
        ([("channels = 16", "channels = 4")], "stages[0]", "ops shufflev1"),
        ([('"shufflev1"', '"shufflev2"'), ("channels = 16", "channels = 13")], "stages[0]", "ops shufflev2"),
        ([('"shufflev1"', '"fire"'), ("channels = 16", "channels = 1")], "stages[0]", "ops fire"),
        ([('op = "pool"\n[[head]]\n', "")], "head[0]", "1 x 1 pixels"),
        ([('op = "linear"', 'op = "flatten"')], "head[1]", "16 outputs"),
        ([('op = "conv"', 'op = "linear"')], "stem[0]", "1 x 1 pixels"),
        ([('op = "conv"', 'op = "conv"\nkernel_size = 9\npadding = "none"')], "stem[0]", "nothing would be left"),
        ([('op = "conv"', 'op = "conv"\nskip = true')], "stem[0]", "one shape"),
        ([('op = "conv"', 'op = "maxpool"')], "stem[0]", "keeps its channels"),
        ([("channels = 8", "channels = 65_536"), ("divisor = 1", "widths = [64.0]")], "stem", "1000000"),
        ([("channels = 16", "channels = 65_536"), ("groups", "expands = [16]\ngroups")], "stages[0]", "1000000"),
    ],
)
def test_a_choice_that_cannot_be_built_is_told_by_stage_and_choice(refused, changes, place, says):
    message = refused(changed(*changes, text=ONE_STAGE), "SPC10")
    assert f"what cannot be built, {place} " in message or f"what cannot be built, {place}:" in message
    assert says in message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([("depths = [1, 2]", "depths = [65_536, 1, 2, 3, 4, 5, 6, 7]")], "stages[0] most of all"),
        ([("depths = [1, 2]", "depths = [5000]")], "5,003 blocks"),
        ([("groups = [1, 2]", f"dilations = {list(range(1, 2001))}\nexpands = {list(range(1, 30))}")], "232,000 comb"),
        ([("depths = [1, 2]", "depths = [600]"), ("groups", "kernels = [1, 3, 5]\ngroups")], "too many networks"),
    ],
)
def test_what_could_not_be_held_is_refused_with_the_number(refused, changes, says):
    message = refused(changed(*changes, text=ONE_STAGE), "SPC11")
    assert says in message
    assert re.search(r"\d{3} (segments|blocks|combinations|digits)", message)


@pytest.mark.parametrize(("family", "preset"), [one for one in PRESETS if one[1] == "digits"])
def test_presets_pass_the_same_checks(family, preset):
    definition = FAMILIES[family][preset]
    assert checked_space(definition).size() == open_space(family, preset).size()


def is_read_or_told(path, text):
    path.write_text(text, encoding="utf-8")
    try:
        space = read_space(path)
    except SpaceError as error:
        assert error.code in ("SPC04", "SPC10", "SPC11")
        assert "own.toml" in str(error) or "user/" in str(error)
        assert re.search(r"\w+(\[\d+\])*[:. ]|line \d+|the whole", str(error)) and len(str(error)) < 2000
        return
    assert definition_from_json(tomllib.loads(space_to_toml(space.definition))) == space.definition
    assert layers_of(space.decode(space.extremes()[1]))


@fuzzed
@given(tampered(st.sampled_from((TINY, ONE_STAGE)), re.compile(r"[\w.]+|\[+|\]+|[=,]|\"[^\"]*\"|\n")))
def test_a_file_that_was_tampered_with_is_read_or_told(tmp_path_factory, text):
    is_read_or_told(tmp_path_factory.getbasetemp() / "own.toml", text)


@fuzzed
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_or_told(tmp_path_factory, text):
    is_read_or_told(tmp_path_factory.getbasetemp() / "own.toml", 'schema = "mnas.space/1"\n' + text)


def test_a_file_is_chosen_by_its_path_and_has_no_presets(tmp_path):
    tiny = str(EXAMPLES / "tiny.toml")
    assert chosen_space(tiny, "").name == "user/tiny"
    assert chosen_space(tiny, "", (12,)).size() == 160
    assert chosen_space("mnasnet", "digits").name == "mnasnet/digits"
    for space, preset, px in ((tiny, "digits", ()), (tiny, "", (16,)), ("darts", "digits", ()), ("user", "tiny", ())):
        with pytest.raises(SpaceError, match="SPC01"):
            chosen_space(space, preset, px)


def test_commands_take_a_file_for_a_space(tmp_path, capsys):
    tiny, bad = EXAMPLES / "tiny.toml", tmp_path / "bad.toml"
    bad.write_text(changed(("kernels", "kernals")))
    out = ["--out", str(tmp_path / "out"), "--plan"]
    assert main(["lut", "build", "--space", str(tiny), "--calibration", "4", *out]) == 0
    assert main(["search", "--space", str(tiny), "--data", "digits", *out]) == 0
    assert "320" in capsys.readouterr().out
    for arguments in (["lut", "build"], ["search", "--data", "digits"]):
        assert main([*arguments, "--space", str(bad), *out]) == 2
        assert "SPC04: bad.toml" in (message := capsys.readouterr().err) and "defaults.kernals" in message
        assert main([*arguments, "--space", str(tiny), "--preset", "digits", *out]) == 2
        assert "SPC01" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
