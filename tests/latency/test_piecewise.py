"""Imported tables as estimators: the sum of their keys, and refusals that name what is missing."""

import re
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
from latency_foreign import OFA_CHOICES, OFA_KEYS, V2_KEYS, V2_TIMES, entry_text, ofa_network, table_text

from latency.exchange import foreign_device, import_table
from latency.importers.layout import OFA, key_of_segment
from latency.importers.yaml_table import read_yaml_table
from latency.pieces import pieces_of
from latency.table import LutEntry, load_table
from latency.testing import LatencyEstimatorConformance
from mnas.errors import LutError
from mnas.named_networks import mobilenetv2, mobilenetv3_large
from mnas.segments import segments_of
from mnas.spaces.presets import open_space
from search.testing import tiny_space

NOTE10_SUM_MS = 28.42086012468324
"""The 17 means of `OFA_KEYS` in the Note10's table at 224 px, added up as fractions."""


@pytest.fixture
def imported(store, tmp_path):
    """Return a function that imports a text as a table of a device that is known by words."""

    def read(text, layout="", name="table.yaml"):
        (tmp_path / name).write_text(text)
        return import_table(store, tmp_path / name, layout, foreign_device("Galaxy Note10"))

    return read


def test_the_note10s_table_gives_the_sum_that_was_worked_out_by_hand(store, test_data):
    path = test_data / "note10_lut" / "224_lookup_table.yaml"
    text = path.read_text()
    # Read by hand: the line after next below the key.
    means = [re.search(rf"^{re.escape(key)}:\n.*\n  mean: (.*)$", text, re.MULTILINE)[1] for key in OFA_KEYS]
    by_hand = float(sum(map(Fraction, means)))
    assert by_hand == pytest.approx(NOTE10_SUM_MS, abs=1e-12)
    table = import_table(store, path, "", foreign_device("Galaxy Note10"))
    assert len(table.entries) == text.count("mean:") == 96
    network = ofa_network(OFA_CHOICES)
    (estimate,) = table.estimate([network])
    assert abs(estimate.ms - NOTE10_SUM_MS) <= 1e-9
    assert abs(table.parts(network)[0] - NOTE10_SUM_MS) <= 1e-9
    # It moves with the network by what the two keys differ.
    other = ofa_network(((*OFA_CHOICES[0][:1], (7, 4)), *OFA_CHOICES[1:]))
    seven = OFA_KEYS[3].replace("kernel:5", "kernel:7")
    moved = Fraction(re.search(rf"^{re.escape(seven)}:\n.*\n  mean: (.*)$", text, re.MULTILINE)[1]) - Fraction(means[3])
    assert moved > 0
    assert abs(table.estimate([other])[0].ms - estimate.ms - float(moved)) <= 1e-9


def test_the_note10s_table_refuses_what_it_does_not_hold(store, test_data):
    path = test_data / "note10_lut" / "224_lookup_table.yaml"
    table = import_table(store, path, "", foreign_device("Galaxy Note10"))
    space = open_space("mobilenetv3", "imagenet", (224,))
    for network, keys in (
        (ofa_network(OFA_CHOICES, px=192), ["Conv-input:192x192x3-output:96x96x24"]),
        (ofa_network(((((3, 5),)), *OFA_CHOICES[1:])), [OFA_KEYS[2].replace("expand:72", "expand:120")]),
        (
            ofa_network(OFA_CHOICES, linear=1280),
            ["Conv_2-input:1x1x1152-output:1x1x1280", "Logits-input:1x1x1280-output:1000"],
        ),
        (mobilenetv3_large(), ["Conv-input:224x224x3-output:112x112x16"]),
        (space.decode(space.extremes()[1]), ["Conv_2-input:1x1x1152-output:1x1x1280"]),
    ):
        missing = table.missing(segments_of(network))
        assert set(keys) <= set(missing)
        with pytest.raises(LutError, match=rf"LUT02.*lacks {len(missing)} entries.*at 224 px.*as zero") as caught:
            table.estimate([network])
        assert missing[0] in str(caught.value)


def test_what_the_note10s_table_lacks_can_be_filled_in_and_is_counted(store, test_data):
    path = test_data / "note10_lut" / "224_lookup_table.yaml"
    table = import_table(store, path, "", foreign_device("Galaxy Note10"))
    known, other = ofa_network(OFA_CHOICES), ofa_network(OFA_CHOICES, linear=1280)
    first, second = table.estimate([known, other], missing="interpolate")
    assert (first.ms, first.source, first.interpolated) == (pytest.approx(NOTE10_SUM_MS, abs=1e-9), "lut", 0)
    # The narrower hidden layer is all that differs, and it sits in one segment, the head.
    assert (second.source, second.interpolated) == ("predicted", 1)
    assert 0.9 * first.ms < second.ms < first.ms
    assert table.joined(segments_of(other), "interpolate").origin == table.origin


def test_genomes_are_looked_up_like_networks(imported):
    """A space of one resolution and two widths, every key of which the table is given."""
    space = tiny_space()
    pieces = {piece for segment in space.segments() for piece in pieces_of(segment, Expressible())}
    keys = [key_of_segment(piece, OFA) for piece in pieces]
    table = imported("".join(entry_text(key, 1 + i / 7) for i, key in enumerate(filter(None, keys))))
    missing = [piece for piece in pieces if key_of_segment(piece, OFA) is None]
    table.entries |= {piece: LutEntry(0.5, 0.4, 0.6, 3, "imported") for piece in missing}
    rng = np.random.default_rng(0)
    genomes = [space.sample(rng) for _ in range(20)]
    singly = [one.ms for one in table.estimate([space.decode(genome) for genome in genomes])]
    np.testing.assert_allclose(table.estimate_genomes(space, genomes), singly)
    assert len(set(singly)) > 5


class Expressible:
    def __contains__(self, segment):
        return len(segment.blocks) == 1


def test_repeated_layers_count_as_often_as_they_are_there(imported):
    means = [1 + 2.0**-i for i in range(len(V2_KEYS))]
    text = "".join(entry_text(key, mean, 0.01, name="var") for key, mean in zip(V2_KEYS, means, strict=True))
    table = imported(text)
    (estimate,) = table.estimate([mobilenetv2()])
    assert estimate.ms == pytest.approx(sum(n * mean for n, mean in zip(V2_TIMES, means, strict=True)), abs=1e-12)
    assert table.space == "ProxylessNAS at 224 px"
    with pytest.raises(LutError, match=r"LUT02.*input:192x192x3"):
        table.estimate([mobilenetv2(192)])


def test_the_interval_of_an_entry_is_that_of_its_mean(imported):
    for name, spread in (("std", 0.2), ("var", 0.04)):
        _, entries = read_yaml_table(entry_text(OFA_KEYS[3], 1.5, spread, 16, name).encode())
        (entry,) = entries.values()
        assert (entry.latency_ms, entry.samples, entry.verdict) == (1.5, 16, "imported")
        assert entry.high_ms - 1.5 == pytest.approx(1.96 * 0.2 / 4) == 1.5 - entry.low_ms
    table = imported(table_text(OFA_KEYS))
    whole = table.joined(segments_of(ofa_network(OFA_CHOICES)))
    head = next(entry for segment, entry in whole.entries.items() if segment.role == "head")
    assert head.latency_ms == 6.0
    assert head.high_ms - 6.0 == pytest.approx(sqrt(4) * 1.96 * 0.25 / 2)


BAD = {
    "mean: 1.5": ("mean: -1.5", "a latency that is none"),
    "mean: 1.5\n": ("mean: 0\n", "a latency that is none"),
    "std: 0.25": ("std: -1", "a spread that is none"),
    "std: 0.25\n": ("variance: 1\n", "other fields"),
    "  std: 0.25\n": ("", "other fields"),
    "count: 4": ("count: 0", "a count that is none"),
    "count: 4\n": ("count: 1.5\n", "a count that is none"),
    "  count: 4\n": ("  count: 4\n  p50: 3\n", "other fields"),
}


@pytest.mark.parametrize("before", BAD)
def test_an_entry_that_is_none_is_refused_with_its_key(before):
    after, what = BAD[before]
    text = entry_text(OFA_KEYS[3]) + entry_text(OFA_KEYS[4]).replace(before, after)
    with pytest.raises(LutError, match=f"LUT32.*{what}") as caught:
        read_yaml_table(text.encode())
    assert OFA_KEYS[4] in str(caught.value)


def test_two_keys_of_one_layer_and_tables_without_entries_are_refused():
    twice = entry_text(OFA_KEYS[3]) + entry_text(OFA_KEYS[3].replace("56x56x32", "056x56x32", 1))
    with pytest.raises(LutError, match="LUT32"):
        read_yaml_table(twice.encode())
    with pytest.raises(LutError, match=r"LUT32.*without entries"):
        read_yaml_table(b"{}", "ofa")


def test_a_table_comes_back_as_one_that_adds_up_pieces(imported, store):
    table = imported(table_text(OFA_KEYS))
    assert table.marks() == ["UNVALIDATED", "IMPORTED from table.yaml (ofa)"]
    assert table.device.kind == "imported" and table.device.model == "Galaxy Note10"
    assert load_table(store, table.lut_id).estimate([ofa_network(OFA_CHOICES)])[0].ms == 17 * 1.5


class TestImported(LatencyEstimatorConformance):
    @pytest.fixture(autouse=True)
    def _table(self, imported):
        self.table = imported("".join(entry_text(key, 1 + i) for i, key in enumerate(OFA_KEYS)))

    def estimator(self):
        return self.table

    def architectures(self):
        shorter = [((*OFA_CHOICES[i][:-1],) if i == stage else OFA_CHOICES[i] for i in range(5)) for stage in (0, 1)]
        return [ofa_network(choices) for choices in (OFA_CHOICES, *map(tuple, shorter))]
