"""The page of a latency table: its numbers are the table's, hostile names stay text, nothing comes from outside."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from latency.calibration import Calibration
from latency.coverage import Place
from latency.table import LutEntry
from latency.testing import made_up_table
from latency.validation import Errors, Validation
from mnas.architecture import Block
from mnas.cli.lut_report import lut_page
from mnas.cli.number_format import significant
from mnas.counts import total_macs
from mnas.layers import layers_of
from mnas.segments import Segment, segments_of
from mnas.spaces.presets import open_space

HOSTILE = "<img src=http://evil.test/x onerror=alert(1)>\"'</script></svg>"
SPACE = open_space("mobilenetv3", "digits")
ERRORS = Errors(0.0123, 0.02, 0.9, 1.0, -0.004, 0.95, 0.97)
VALIDATION = Validation(4, ERRORS, replace(ERRORS, mape=0.11), replace(ERRORS, mape=0.22), ERRORS, 0.015)


def networks_of(table, count=8):
    rng, rows = np.random.default_rng(1), []
    for number in range(count):
        genome = SPACE.sample(rng)
        architecture = SPACE.decode(genome)
        sum_ms, params = table.parts(architecture)
        ms = 1.02 * table.calibration.apply(sum_ms, params)
        rows.append(
            {
                "arch_id": architecture.arch_id,
                "purpose": "validation" if number % 2 else "calibration",
                "genome_json": json.dumps(list(genome)),
                "macs": total_macs(layers_of(architecture)),
                "block_params": params,
                "sum_ms": sum_ms,
                "measured_ms": ms,
                "low_ms": 0.98 * ms,
                "high_ms": 1.02 * ms,
            }
        )
    return rows


SITTINGS = [{"started_at_utc": "2026-01-02T00:00:00+00:00", "nominals_json": '{"dense": 1.25}'}]
SHARED = {
    "verdict": "differ",
    "reasons": ["phone-b takes +6.0% against the others, 3% allowed"],
    "devices": [
        {
            "device_id": name,
            "visits": 100,
            "probes": 8,
            "ratio": ratio,
            "interval": [0.9, 1.1],
            "spread": 0.02,
            "level": 1.0,
        }
        for name, ratio in (("phone-a", 0.94), ("phone-b", 1.06))
    ],
}


@pytest.fixture
def table():
    return made_up_table(SPACE)


def text_of(html):
    return re.sub(r"<(script|style)>.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)


def test_a_page_shows_every_block_and_the_error_beside_the_baselines(table):
    table.validation = VALIDATION
    html = lut_page(table, networks_of(table), SITTINGS)
    cells = re.findall(r'class="cell"[^>]*>([^<]*)<', html)
    blocks = [segment for segment in table.entries if segment.role == "block"]
    assert len(cells) >= len(blocks), "a block that occurs at two resolutions stands in both maps"
    assert {significant(table.entries[segment].latency_ms) for segment in blocks} == set(cells)
    for px in (8, 12, 16):
        assert f"{px} px: milliseconds" in html
    text = text_of(html)
    for shown in ("1.23%", "11.00%", "22.00%", "plain sum", "MACs-linear", "204 of the 204", "nominal of dense"):
        assert shown in text, shown
    assert "UNVALIDATED" not in text and "SIMULATED" in text
    assert 'aria-label="Predicted against measured latency"' in html and 'aria-label="Residuals"' in html


def test_the_page_moves_with_the_table(table):
    before = lut_page(table, networks_of(table), SITTINGS)
    segment = next(one for one in table.entries if one.role == "block")
    table.entries[segment] = LutEntry(77.7, 77.0, 78.0, 10, "drifted")
    after = lut_page(table, networks_of(table), SITTINGS)
    assert ">77.7<" in after and ">77.7<" not in before
    assert "1 of 204 entries have a verdict other than ok" in text_of(after)
    assert "0 of 204 entries have a verdict other than ok" in text_of(before)


def test_what_is_wrong_stands_above_the_first_number(table):
    gone = next(iter(table.entries))
    del table.entries[gone]
    head = lut_page(table, [], [], SHARED).partition("<main>")[0]
    for words in ("UNVALIDATED", "Not complete", "203 of the 204", "phone-b takes +6.0% against the others"):
        assert words in head
    assert gone.label() in text_of(lut_page(table, [], []))


def test_hostile_names_stay_text(table):
    table.space, table.lut_id = HOSTILE, HOSTILE
    table.device = replace(table.device, model=HOSTILE, os_build=HOSTILE, device_id=HOSTILE)
    table.settings = {HOSTILE: HOSTILE, "protocol": {HOSTILE: HOSTILE}}
    shared = {**SHARED, "reasons": [HOSTILE], "devices": [{**SHARED["devices"][0], "device_id": HOSTILE}]}
    table.entries[Segment("block", (Block(op="conv", out_channels=3, activation="relu"),), (3, 5, 5))] = LutEntry(
        1.0, 0.9, 1.1, 3, HOSTILE
    )
    sittings = [{"started_at_utc": HOSTILE, "nominals_json": json.dumps({HOSTILE: 1.0})}]
    html = lut_page(
        table, [{**row, "arch_id": HOSTILE + row["arch_id"]} for row in networks_of(table)], sittings, shared
    )
    assert "<img" not in html and html.count("</script>") == 1
    assert "&lt;img" in html
    assert set(re.findall(r"https?://[^\"'\s<]*", html)) <= {"http://www.w3.org/2000/svg", "http://evil.test/x"}


def test_nothing_is_loaded_from_outside(table):
    html = lut_page(table, networks_of(table), SITTINGS, SHARED)
    assert set(re.findall(r"https?://[^\"'\s<]*", html)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme:dark" in html
    assert not re.search(r'(src|href)="(?!#)', html)


def test_a_table_of_an_unknown_space_has_a_page_too(table):
    table.space = "elsewhere/unheard of"
    html = lut_page(table, networks_of(table), [])
    assert "is not known here" in html and "Other places" in html
    assert len(re.findall(r'class="cell"', html)) == sum(segment.role == "block" for segment in table.entries)


def test_blocks_that_differ_by_little_never_share_a_cell(table):
    place = Place("block", (10, 4, 4), 10, 1, "relu")
    blocks = [
        Block(op="mbconv", kernel_size=3, mid_channels=mid, out_channels=10, activation="relu") for mid in (30, 31, 32)
    ]
    table.entries = {
        Segment("block", (block,), (10, 4, 4)): LutEntry(float(n), n - 0.1, n + 0.1, 3, "ok")
        for n, block in enumerate(blocks, 1)
    }
    assert {Place.of(segment) for segment in table.entries} == {place}
    html = lut_page(table, [], [])
    assert re.findall(r'class="cell"[^>]*>([^<]*)<', html) == ["1.00", "2.00", "3.00"]


def test_a_page_of_the_largest_space_stays_below_two_megabytes():
    space = open_space("mobilenetv3", "imagenet")
    table = made_up_table(space, Calibration("scale", 1.0, networks=3))
    html = lut_page(table, [], SITTINGS)
    assert len(html) < 2_000_000
    assert len(list(segments_of(space.decode(space.extremes()[1])))) > 20
