"""Strategies for whatever people may hand in as a network: valid ones, and texts that were tampered with."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from mnas.architecture import ACTIVATIONS, OPS, PADDINGS, SHORTCUTS, Architecture, Block, Stage
from mnas.errors import MnasError

PLACE = re.compile(
    r"line \d+, column \d+|(stem|stages|head)(\[\d+\])*\b|(stem|stage\d+|head)\.block\d+|"
    r"the architecture has other keys|input_shape_chw|classes|schema|the whole"
)
"""What tells where in a network the fault is."""
sizes = st.integers(1, 64)


def told(error: MnasError) -> bool:
    """Whether an error says where the fault is, in a few printable characters of one line."""
    text = str(error)
    return bool(PLACE.search(text)) and len(text) < 2000 and text.isprintable()


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Any block that is one, every field at any value that it can have."""
    op = draw(st.sampled_from(OPS))
    se_channels = draw(st.integers(0, 8)) if op in ("conv", "sepconv", "mbconv", "ghost") else 0
    skip = draw(st.booleans())
    has_out = skip or op in ("sepconv", "mbconv", "ghost", "shufflev1")
    return Block(
        op=op,
        out_channels=draw(sizes),
        kernel_size=draw(st.sampled_from((1, 3, 5, 7, 999_999))),
        stride=draw(st.integers(1, 3)),
        dilation=draw(st.integers(1, 3)),
        groups=draw(st.integers(1, 4)),
        mid_channels=draw(st.sampled_from((1, 24, 1_000_000)) | sizes),
        se_channels=se_channels,
        se_gate=draw(st.sampled_from(("hsigmoid", "sigmoid"))) if se_channels else "none",
        se_activation=draw(st.sampled_from(ACTIVATIONS)),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        norm=draw(st.sampled_from(("none", "batch"))),
        skip=skip,
        padding=draw(st.sampled_from(PADDINGS)),
        out_activation=draw(st.sampled_from(ACTIVATIONS)) if has_out else "none",
        shortcut=draw(st.sampled_from(SHORTCUTS)) if skip else "identity",
        always_expands=op == "mbconv" and draw(st.booleans()),
    )


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Any architecture; its blocks need not fit together. Equal blocks follow each other often."""
    classes = draw(sizes)
    chain = st.lists(st.tuples(blocks(), st.integers(1, 3)), max_size=2).map(
        lambda pairs: tuple(block for block, times in pairs for _ in range(times))
    )
    return Architecture(
        input_shape_chw=draw(st.tuples(sizes, sizes, sizes)),
        classes=classes,
        stem=draw(chain),
        stages=tuple(map(Stage, draw(st.lists(chain, max_size=3)))),
        head=(*draw(chain), Block(op=draw(st.sampled_from(("linear", "flatten"))), out_channels=classes)),
    )


@st.composite
def tampered(draw: st.DrawFn, texts: st.SearchStrategy[str], pieces: re.Pattern[str]) -> str:
    """A text of which some pieces were deleted, doubled, swapped or replaced by others or by anything."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        spans = [found.span() for found in pieces.finditer(text)] or [(0, len(text))]
        start, stop = draw(st.sampled_from(spans))
        other = text[slice(*draw(st.sampled_from(spans)))]
        piece = text[start:stop]
        new = draw(
            st.sampled_from(("", f"{piece}{piece}", f"{piece} {piece}", other, f"{piece},{other}"))
            | st.sampled_from(
                ("0", "-1", "1e9", "NaN", "null", "true", "[]", "{}", '"', "|", ";", "\n", "#", "٣", "x9999")
            )
            | st.integers(0, 300).map(str)
            | st.text(max_size=5)
        )
        text = text[:start] + new + text[stop:]
    return text
