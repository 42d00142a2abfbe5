"""Reading a network from a name, a file or a text: what comes in is sound, and what is wrong is told with its place."""

import json
import os
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from network_cases import architectures, tampered, told

from mnas.architecture import Architecture, Block, Stage
from mnas.archstring import to_text
from mnas.errors import ArchitectureError
from mnas.export.source import find_source
from mnas.layers import layers_of
from mnas.limits import MOST_BLOCKS
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.reading import MOST_BYTES, architecture_from_json, read_architecture, read_writable, require_buildable
from mnas.spaces.presets import FAMILIES, open_space
from search.finishing.request import chosen_networks

JSON_PIECES = re.compile(r'"[^"]*"|[\w.]+|[][{},:]')
SMALL = named_network("mobilenetv3-small", 32, 10)


@cache
def space_of(family):
    return open_space(family, "digits")


sound = st.tuples(st.sampled_from(sorted(FAMILIES)), st.integers(0, 2**32)).map(
    lambda pair: space_of(pair[0]).decode(space_of(pair[0]).draw(np.random.default_rng(pair[1])))
)


def json_of(architecture):
    return json.dumps(architecture.to_json())


@given(sound)
def test_every_form_gives_the_same_network(tmp_path_factory, architecture):
    folder = tmp_path_factory.mktemp("forms")
    (folder / "architecture.json").write_text(json_of(architecture))
    (folder / "marked.JSON").write_text(json.dumps(architecture.to_json(), indent=2), encoding="utf-8-sig")
    (folder / "net.arch").write_text(to_text(architecture))
    (folder / "net.txt").write_text("# mine\n" + to_text(architecture), encoding="utf-8-sig", newline="\r\n")
    for path in folder.iterdir():
        assert read_architecture(path) == read_architecture(str(path)) == architecture
    text = to_text(architecture)
    assert read_architecture(text) == read_architecture(text.replace("\n", ";")) == architecture


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_a_name_takes_pixels_and_classes(name):
    assert read_architecture(name) == named_network(name)
    assert read_architecture(name, 64, 7) == named_network(name, 64, 7)


def test_a_file_keeps_its_own_pixels_and_classes(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json_of(SMALL))
    assert read_architecture(path, 32, 10) == SMALL
    for px, classes in ((64, None), (None, 1000)):
        with pytest.raises(ArchitectureError, match=r"ARC04.*(px 64|classes 1000) for .*small.json"):
            read_architecture(path, px, classes)
        with pytest.raises(ArchitectureError, match="ARC04"):
            read_architecture(to_text(SMALL), px, classes)


def test_files_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "binary.json").write_bytes(b"\x7fELF\xff\x00")
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "large.arch").write_bytes(b" " * (MOST_BYTES + 1))
    (tmp_path / "net.onnx").write_bytes(b"?")
    os.mkfifo(tmp_path / "pipe.txt")
    for name, why in (
        ("absent.json", "No such file"),
        ("absent.arch", "No such file"),
        ("folder.json", "no file"),
        ("pipe.txt", "no file"),
        ("binary.json", "byte 4 is 0xff"),
        ("empty.json", "line 1, column 1"),
        ("large.arch", "8,388,608 bytes"),
        ("net.onnx", ".json, .arch or .txt"),
        ("", ".json, .arch or .txt"),
        ("x" * 5000 + ".json", "File name too long"),
        ("null\0byte.json", "null"),
    ):
        with pytest.raises(ArchitectureError, match="ARC04") as caught:
            read_architecture(str(tmp_path / name))
        assert why in str(caught.value)
    with pytest.raises(ArchitectureError, match=r"ARC03.*mobilenetv7"):
        read_architecture("mobilenetv7")
    with pytest.raises(ArchitectureError, match=r"ARC01.*input_shape_chw"):
        read_architecture("mobilenetv2", 70_000)


def test_a_fault_in_a_file_is_told_with_its_name(tmp_path):
    for name, text, place in (
        ("a.arch", to_text(SMALL).replace(" k3 ", " k4 ", 1), r"ARC05: a.arch: line 2, column 12"),
        ("b.json", json_of(SMALL).replace('"stride": 2', '"stride": 0', 1), r"ARC01: b.json: stem\[0\].stride"),
        ("c.json", json_of(SMALL)[:-1] + ",}", r"ARC04: c.json: it is no JSON.*line 1, column \d+"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ArchitectureError, match=place):
            read_architecture(tmp_path / name)


def faulty(change):
    value = SMALL.to_json()
    change(value)
    return json.dumps(value)


def put(*path):
    *path, last, new = path

    def change(value):
        for step in path:
            value = value[step]
        value[last] = new

    return change


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (put("stages", 2, 0, "kernel_size", 4), r"stages\[2\]\[0\]\.kernel_size is wrong \(saw: 4\): it must be odd"),
        (put("stages", 2, 0, "kernel_size", 3.0), r"stages\[2\]\[0\]\.kernel_size is wrong \(saw: 3\.0\)"),
        (put("stages", 2, 0, "kernel_size", "3"), r"stages\[2\]\[0\]\.kernel_size"),
        (put("stages", 2, 0, "stride", True), r"stages\[2\]\[0\]\.stride is wrong \(saw: True\)"),
        (put("stages", 2, 0, "stride", None), r"stages\[2\]\[0\]\.stride"),
        (put("stages", 2, 0, "stride", float("nan")), r"stages\[2\]\[0\]\.stride is wrong \(saw: nan\)"),
        (put("stages", 2, 0, "stride", float("inf")), r"stages\[2\]\[0\]\.stride"),
        (put("stages", 2, 0, "stride", 10**4000), r"stages\[2\]\[0\]\.stride is wrong \(saw: a number of 13288 bits\)"),
        (put("stages", 2, 0, "op", ["conv"]), r"stages\[2\]\[0\]\.op"),
        (put("stages", 2, 0, "op", "k\n\ud800"), r"stages\[2\]\[0\]\.op is wrong \(saw: 'k\\n\\ud800'\)"),
        (put("stages", 2, 0, "activation", {}), r"stages\[2\]\[0\]\.activation.*an object of 0 keys"),
        (put("stages", 2, 0, "skip", 0), r"stages\[2\]\[0\]\.skip is wrong \(saw: 0\)"),
        (put("stages", 2, 0, "padding", 1), r"stages\[2\]\[0\]\.padding"),
        (put("stages", 2, 0, "mid_channels", 0), r"stages\[2\]\[0\] contradicts itself: a mbconv has no mid_channels"),
        (put("stages", 2, 0, "Kernel", 1), r"stages\[2\]\[0\] has missing or unknown fields \(saw: unknown Kernel"),
        (put("stages", 2, 0, []), r"stages\[2\]\[0\] is not a block"),
        (put("stages", 2, {}), r"stages\[2\] is not a list"),
        (put("stages", 5), "stages is not a list"),
        (put("stem", None), "stem is not a list"),
        (put("head", []), "head does not end"),
        (put("classes", 1e1), "classes is not"),
        (put("classes", -(10**4000)), "classes is not"),
        (put("input_shape_chw", [3, True, 32]), r"input_shape_chw\[1\] is wrong"),
        (put("input_shape_chw", [3, 32]), "input_shape_chw is not three"),
        (put("input_shape_chw", [1] * 10**5), "input_shape_chw is not three.*a list of 100000"),
        (put("input_shape_chw", "3x32x32"), "input_shape_chw is not a list"),
        (put("extra", 1), "other keys.*unknown extra"),
        (put("schema", "mnas.front/1"), r"unknown schema.*mnas\.front/1.*mnas\.architecture/1"),
        (put("schema", ["mnas.architecture/1"]), "unknown schema"),
    ],
)
def test_the_place_of_a_fault_in_json_is_told(change, place):
    with pytest.raises(ArchitectureError, match=f"ARC01: .*{place}") as caught:
        architecture_from_json(faulty(change))
    assert told(caught.value)


def test_what_json_lets_pass_is_refused():
    text = json_of(SMALL)
    twice = text.replace('"op": "conv"', '"op": "conv", "op": "conv"', 1)
    with pytest.raises(ArchitectureError, match=r"ARC01: stem\[0\] has .*unknown op \(twice\)"):
        architecture_from_json(twice)
    with pytest.raises(ArchitectureError, match=r"ARC01: the architecture has other keys.*classes \(twice\)"):
        architecture_from_json(text[:-1] + ', "classes": 10}')
    for deep in ("[" * 10**6, '{"a":' * 10**6, text.replace('"mnas.architecture/1"', "[" * 10**5 + "]" * 10**5)):
        with pytest.raises(ArchitectureError, match=r"ARC0[14]: .*(nested too deeply|unknown schema|no JSON)"):
            architecture_from_json(deep)
    with pytest.raises(ArchitectureError, match=r"ARC04: .*too many digits"):
        architecture_from_json(text.replace('"stride": 2', '"stride": ' + "9" * 5000))
    for other in ("null", "[]", "3", '"text"', "NaN"):
        with pytest.raises(ArchitectureError, match="ARC01: the architecture has other keys"):
            architecture_from_json(other)


def deep_list(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_in_memory_may_be_as_deep_as_it_likes():
    for change in (
        put("classes", deep_list(10**5)),
        put("stem", 0, "op", deep_list(10**5)),
        put("schema", deep_list(9)),
    ):
        value = SMALL.to_json()
        change(value)
        with pytest.raises(ArchitectureError, match="ARC01") as caught:
            Architecture.from_json(value)
        assert told(caught.value)


def test_blocks_that_do_not_fit_are_found_while_reading():
    wide = replace(SMALL.stages[1].blocks[1], out_channels=32)
    broken = replace(SMALL, stages=(SMALL.stages[0], Stage((SMALL.stages[1].blocks[0], wide)), *SMALL.stages[2:]))
    for form in (to_text(broken), to_text(replace(SMALL, stem=(Block(op="conv", out_channels=9, groups=9),)))):
        with pytest.raises(ArchitectureError, match=r"ARC02: layer (stage1\.block1\.add|stem\.block0\.conv)"):
            read_architecture(form)
    with pytest.raises(ArchitectureError, match=r"ARC02: layer stage1\.block1\.add"):
        architecture_from_json(json_of(broken))


def test_absurd_networks_are_refused_before_memory_is():
    head = "head: pool o1000000 | linear o10"
    for text, code, place in (
        (f"input 3x8x8 classes 10\nstem: conv k3 o1000000 x2\n{head}", "ARC06", r"stem\.block1\.conv"),
        (f"input 3x65536x65536 classes 10\nstem: conv o1000000\n{head}", "ARC06", r"stem\.block0\.conv"),
        (f"input 3x8x8 classes 10\nstem: conv k999999 o1000000\n{head}", "ARC06", r"stem\.block0\.conv"),
        (f"input 3x8x8 classes 10\nstem: conv o1000000\n{head} x5000", "ARC05", "line 3"),
    ):
        with pytest.raises(ArchitectureError, match=f"{code}: .*{place}"):
            read_architecture(text)
    many = replace(SMALL, stem=(Block(op="maxpool", out_channels=3),) * MOST_BLOCKS)
    with pytest.raises(ArchitectureError, match=r"ARC06: .*blocks"):
        architecture_from_json(json_of(many))


def is_read_or_told(read, text):
    try:
        architecture = read(text)
    except ArchitectureError as error:
        assert error.code in ("ARC01", "ARC02", "ARC04", "ARC05", "ARC06")
        assert told(error)
        return
    assert Architecture.from_json(json.loads(json_of(architecture))) == architecture
    assert read_architecture(to_text(architecture)) == architecture
    assert layers_of(architecture)


@fuzzed
@given(
    st.text()
    | st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_any_json_is_read_or_told(text):
    is_read_or_told(architecture_from_json, text)


@fuzzed
@given(tampered((sound | architectures()).map(json_of), JSON_PIECES))
def test_json_that_was_tampered_with_is_read_or_told(text):
    is_read_or_told(architecture_from_json, text)


@fuzzed
@given(tampered(sound.map(to_text), re.compile(r"\S+")).map(lambda text: text + "\n"))
def test_a_text_that_was_tampered_with_is_sound_or_told(text):
    is_read_or_told(read_architecture, text)


def outcome(read, source):
    try:
        return read(source).arch_id
    except ArchitectureError as error:
        return error.code, error.what


@fuzzed
@given(tampered(sound.map(json_of), JSON_PIECES))
def test_what_exports_and_trains_reads_as_the_reader_does(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "tampered.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    expected = outcome(read_writable, path)
    assert outcome(lambda asked: find_source(asked, None, None, None).architecture, str(path)) == expected
    assert outcome(lambda asked: chosen_networks([asked], None, 10)[0].architecture, str(path)) == expected
    alone = outcome(read_architecture, path)
    assert alone == expected or expected[0] == "ARC06"


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just("conv"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@fuzzed
@given(sound, st.data())
def test_any_value_anywhere_in_an_architecture_is_read_or_told(architecture, data):
    value = architecture.to_json()
    place = value
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 3)) == 0:
            break
        place = place[key]
    place[key] = data.draw(anything)
    is_read_or_told(lambda found: require_buildable(Architecture.from_json(found)), value)
