"""The text form of an architecture: an exact round trip, and the place of whatever is wrong."""

import re
from dataclasses import fields, replace

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from network_cases import architectures, blocks, tampered, told

from mnas.architecture import Architecture, Block, Stage
from mnas.archstring import MOST_CHARACTERS, block_text, from_text, to_text
from mnas.errors import ArchitectureError
from mnas.limits import MOST_BLOCKS
from mnas.named_networks import NAMED_NETWORKS, named_network

HEAD = "head: pool o4 | linear o10"
WORDS = re.compile(r"\S+")


def text_of(*parts):
    return "\n".join(("input 3x8x8 classes 10", *parts))


def stem_block(words):
    return from_text(text_of(f"stem: {words}", HEAD)).stem[0]


@fuzzed
@given(architectures())
def test_text_round_trip_is_exact(architecture):
    text = to_text(architecture)
    assert from_text(text) == architecture
    assert from_text(text.replace("\n", " ; ")) == architecture
    assert from_text(text.replace(" | ", " |\n   ").replace(" ", " \t").replace("\n", " # k3\r\n")) == architecture
    assert to_text(from_text(text)) == text


@given(architectures(), architectures())
def test_texts_are_equal_exactly_when_the_architectures_are(first, second):
    assert (to_text(first) == to_text(second)) == (first == second)


@given(blocks(), st.randoms())
def test_words_of_a_block_come_in_any_order(block, random):
    op, *words = block_text(block).split()
    random.shuffle(words)
    assert stem_block(" ".join([op, *words])) == block


def test_every_field_of_a_block_has_a_word_of_its_own():
    plain = Block(op="mbconv", out_channels=40, mid_channels=72, se_channels=24, se_gate="sigmoid", skip=True)
    others = {
        "op": "conv",
        "out_channels": 41,
        "kernel_size": 5,
        "stride": 2,
        "dilation": 2,
        "groups": 2,
        "mid_channels": 73,
        "se_channels": 25,
        "se_gate": "hsigmoid",
        "se_activation": "relu",
        "activation": "hswish",
        "norm": "none",
        "skip": False,
        "padding": "none",
        "out_activation": "relu6",
        "shortcut": "pool",
        "always_expands": True,
    }
    assert set(others) == {field.name for field in fields(Block)}
    changed = [replace(plain, **{name: value}) for name, value in others.items()]
    texts = [block_text(block) for block in (plain, *changed)]
    assert len(set(texts)) == len(texts)
    assert [stem_block(text) for text in texts] == [plain, *changed]


def test_the_text_is_short_and_readable():
    small = named_network("mobilenetv3-small")
    assert to_text(small).splitlines() == [
        "input 3x224x224 classes 1000",
        "stem: conv k3 s2 o16 hswish",
        "stage: mbconv k3 s2 m16 se8:hsigmoid:relu o16 relu",
        "stage: mbconv k3 s2 m72 o24 relu | mbconv k3 m88 o24 relu skip",
        "stage: mbconv k5 s2 m96 se24:hsigmoid:relu o40 hswish | mbconv k5 m240 se64:hsigmoid:relu o40 hswish skip x2",
        "stage: mbconv k5 m120 se32:hsigmoid:relu o48 hswish | mbconv k5 m144 se40:hsigmoid:relu o48 hswish skip",
        "stage: mbconv k5 s2 m288 se72:hsigmoid:relu o96 hswish | "
        "mbconv k5 m576 se144:hsigmoid:relu o96 hswish skip x2",
        "head: conv o576 hswish | pool o576 | linear o1024 hswish | linear o1000",
    ]


@pytest.mark.parametrize("name", NAMED_NETWORKS)
def test_named_networks_survive_their_text(name):
    network = named_network(name)
    read = from_text(to_text(network))
    assert read == network
    assert read.arch_id == network.arch_id


def test_an_empty_stage_and_no_stage_differ():
    empty = Architecture((1, 1, 1), 10, (), (Stage(()),), (Block(op="linear", out_channels=10),))
    assert from_text(to_text(empty)) == empty != replace(empty, stages=())
    assert from_text(to_text(replace(empty, stages=()))).stages == ()


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "expected input"),
        ("\n\n# a comment\nstem: conv o4", 4, 1, "expected input"),
        ("input", 1, 6, "such as 3x224x224"),
        ("input 3x8 classes 10", 1, 7, "such as 3x224x224"),
        ("input 3x8x0 classes 10", 1, 7, "a bad number"),
        ("input 3x8x70000 classes 10", 1, 7, "65,536"),
        ("input 3x8x8", 1, 12, "expected classes"),
        ("input 3x8x8 classes ten", 1, 21, "a bad number"),
        ("input 3x8x8 classes 10 px", 1, 24, "a word too many"),
        (text_of("stem: conv o4"), 2, 14, "expected stage: or head:"),
        (text_of(HEAD, HEAD), 3, 1, "behind the head"),
        (text_of("stem: conv o4", "stem: conv o4", HEAD), 3, 1, "there twice"),
        (text_of("stage: conv o4", "stem: conv o4", HEAD), 3, 1, "out of order"),
        (text_of("stem:conv o4", HEAD), 2, 1, "expected stem:"),
        (text_of("stem: conv5 o4", HEAD), 2, 7, "one of conv, sepconv"),
        (text_of("stem: conv k3", HEAD), 2, 14, "without out_channels"),
        (text_of("stem: conv o4 |", HEAD), 3, 1, "not a block"),
        (text_of("stem: | conv o4", HEAD), 2, 7, "not a block"),
        (text_of("stem: conv o4 k3 k3", HEAD), 2, 18, "kernel_size is there twice"),
        (text_of("stem: conv o4 relu relu6", HEAD), 2, 20, "activation is there twice"),
        (text_of("stem: conv o4 skip skip:pool", HEAD), 2, 20, "skip is there twice"),
        (text_of("stem: conv o4 kernel3", HEAD), 2, 15, "not a word of a block"),
        (text_of("stem: conv o4 hsvish", HEAD), 2, 15, "relu6, hswish"),
        (text_of("stem: conv o4 k4", HEAD), 2, 15, "odd"),
        (text_of("stem: conv o4 k", HEAD), 2, 15, "a bad number"),
        (text_of("stem: conv o4 k03", HEAD), 2, 15, "a bad number"),
        (text_of("stem: conv o4 k3.0", HEAD), 2, 15, "a bad number"),
        (text_of("stem: conv o4 k-3", HEAD), 2, 15, "a bad number"),
        (text_of("stem: conv o4 k٣", HEAD), 2, 15, "a bad number"),
        (text_of("stem: conv o1000001", HEAD), 2, 12, "1,000,000"),
        (text_of("stem: conv o4 s0", HEAD), 2, 15, "stride is wrong"),
        (text_of("stem: conv o4 se8:gelu", HEAD), 2, 15, "known are none, hsigmoid, sigmoid"),
        (text_of("stem: conv o4 se8", HEAD), 2, 7, "se_channels and se_gate disagree"),
        (text_of("stem: mbconv o4", HEAD), 2, 7, "no mid_channels"),
        (text_of("stem: conv o4 skip:side", HEAD), 2, 15, "identity, pool, conv"),
        (text_of("stem: conv o4 x2 k3", HEAD), 2, 18, "behind the repeat"),
        (text_of("stem: conv o4 x0", HEAD), 2, 15, "a bad number"),
        (text_of("stem: conv o4 x2 x2", HEAD), 2, 18, "behind the repeat"),
        (text_of("stem: conv\N{NO-BREAK SPACE}o4", HEAD), 2, 11, "no meaning"),
        (text_of("head: conv o10"), 2, 1, "must be linear"),
        (text_of("head: linear o9"), 2, 1, "another number of classes"),
    ],
)
def test_the_place_of_a_fault_is_told(text, line, column, says):
    with pytest.raises(ArchitectureError) as caught:
        from_text(text)
    assert caught.value.code == "ARC05"
    assert caught.value.what.startswith(f"line {line}, column {column}: ")
    assert says in str(caught.value)


def test_what_would_be_too_much_is_refused_where_it_becomes_so():
    most = from_text(text_of(f"stem: conv o4 x{MOST_BLOCKS - 2}", HEAD))
    assert len(most.blocks) == MOST_BLOCKS
    for text in (
        text_of(f"stem: conv o4 x{MOST_BLOCKS - 1}", HEAD),
        text_of(*["stage: conv o4 x4000"] * 1000, HEAD),
        text_of("stem: " + " | ".join(["conv o4"] * (MOST_BLOCKS + 1))),
    ):
        with pytest.raises(ArchitectureError, match=r"ARC05: line \d+, column \d+: \d+ blocks up to here"):
            from_text(text)
    with pytest.raises(ArchitectureError, match=r"ARC05: line 1, column \d+: a bad number"):
        from_text("input 3x8x8 classes " + "1" * 100_000)
    with pytest.raises(ArchitectureError, match=r"ARC05: line \d+, column 1: the text is too long"):
        from_text("\n" * (MOST_CHARACTERS + 1))


def is_read_or_told(text):
    try:
        architecture = from_text(text)
    except ArchitectureError as error:
        assert error.code == "ARC05"
        assert re.match(r"line \d+, column \d+: ", error.what)
        assert told(error)
        return
    assert from_text(to_text(architecture)) == architecture


@fuzzed
@given(st.text() | st.text("inputstemagehd:|x0123456789 \n;#oks"))
def test_any_text_is_read_or_told(text):
    is_read_or_told(text)


@fuzzed
@given(tampered(architectures().map(to_text), WORDS))
def test_a_text_that_was_tampered_with_is_read_or_told(text):
    is_read_or_told(text)


@given(architectures(), st.data())
def test_the_place_lies_where_a_word_was_spoilt(architecture, data):
    text = to_text(architecture)
    found = data.draw(st.sampled_from(list(WORDS.finditer(text))))
    line = text.count("\n", 0, found.start())
    column = found.start() - (text.rfind("\n", 0, found.start()) + 1)
    with pytest.raises(ArchitectureError, match=rf"ARC05: line {line + 1}, column {column + 1}: "):
        from_text(text[: found.start()] + "?" + text[found.end() :])
