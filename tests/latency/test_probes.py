"""Probes: they fit, they are shared, and the differences that are taken of them add up to whole networks."""

from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, cut

from latency.key import segment_from_json, segment_key, segment_to_json
from latency.plan import LutPlan, LutSettings, far_apart
from latency.probes import EDGE_CHANNELS, probes_of, write_network, write_probe
from mnas.errors import LutError
from mnas.jsonio import sha256_json
from mnas.layers import layers_of
from mnas.named_networks import NAMED_NETWORKS, named_network
from mnas.segments import segments_of
from mnas.spaces import mobilenetv3
from mnas.spaces.presets import open_space
from mnas.spaces.staged import StagedSpace

FORMATS = ("onnx", "tflite")
seeds = st.integers(0, 2**32)


def drawn(name, seed):
    space = PRESETS[name]
    return space.decode(space.sample(np.random.default_rng(seed)))


networks = st.one_of(
    st.builds(drawn, st.sampled_from(sorted(PRESETS)), seeds),
    st.builds(named_network, st.sampled_from(sorted(NAMED_NETWORKS)), st.sampled_from((65, 96))),
)


def latency_ms(layers, seed, overhead_ms):
    """A latency with no structure but that it adds up: every kind of layer costs whatever its hash says."""
    kinds = ([layer.op, layer.in_shapes_chw, layer.out_shape_chw, *_details(layer)] for layer in layers)
    return overhead_ms + fsum(int(sha256_json([seed, *kind])[:8], 16) / 2**32 for kind in kinds)


def _details(layer):
    return layer.kernel_size, layer.stride, layer.groups, layer.has_bias, layer.activation


def entry_ms(segment, mode, seed, overhead_ms):
    parts = probes_of(segment, mode)
    main, *edges = (latency_ms(probe.layers(), seed, overhead_ms) for probe in (parts.main, *parts.edges))
    return main - sum(edges) / 2


@settings(max_examples=60)
@given(networks, seeds, st.sampled_from((0.0, 3.0)))
def test_entries_of_an_additive_device_sum_to_the_network_with_its_overhead_once(network, seed, overhead_ms):
    segments = segments_of(network)
    whole = latency_ms(layers_of(network), seed, overhead_ms)
    assert sum(entry_ms(one, "accurate", seed, overhead_ms) for one in segments) == pytest.approx(whole, abs=1e-9)
    alone = sum(entry_ms(one, "fast", seed, overhead_ms) for one in segments)
    assert alone == pytest.approx(whole + overhead_ms * (len(segments) - 1), abs=1e-9)


@settings(max_examples=40)
@given(networks)
def test_an_accurate_probe_embeds_its_segment_in_its_place(network):
    for segment in segments_of(network):
        parts = probes_of(segment, "accurate")
        main = parts.main.layers()  # raises when the shapes do not fit
        own = layers_of(network)
        inner = parts.main.blocks[segment.role != "stem" : len(parts.main.blocks) - (segment.role != "head")]
        assert inner == segment.blocks
        assert parts.main.in_shape_chw[1:] == segment.in_shape_chw[1:]
        if segment.role != "stem":
            assert parts.main.in_shape_chw[0] == EDGE_CHANNELS
            assert main[0].out_shape_chw == segment.in_shape_chw
        if segment.role != "head":
            assert main[-1].in_shapes_chw[0] in {layer.out_shape_chw for layer in own}
            assert main[-1].out_shape_chw[0] == EDGE_CHANNELS
        assert len(parts.edges) == (2 if segment.role == "block" else 1)
        for edge in parts.edges:
            first, last = edge.layers()
            assert first.in_shapes_chw[0] == last.out_shape_chw
            assert first.out_shape_chw in (segment.in_shape_chw, main[-1].in_shapes_chw[0])


def test_a_fast_probe_is_the_segment_alone():
    for segment in segments_of(named_network("mobilenetv3-small", 96)):
        parts = probes_of(segment, "fast")
        assert (parts.main.blocks, parts.main.in_shape_chw, parts.edges) == (segment.blocks, segment.in_shape_chw, ())


@pytest.mark.parametrize("name", PRESETS)
def test_edges_are_shared(name):
    plan = LutPlan(PRESETS[name], LutSettings())
    parts = plan.segments.values()
    edges = {edge for one in parts for edge in one.edges}
    assert len(plan.probes) == len(set(plan.probes)) == len({one.main for one in parts} | edges)
    assert len(edges) < len(plan.segments) / 5
    shapes = {segment.in_shape_chw for segment in plan.segments if segment.role != "stem"}
    assert {edge.layers()[0].out_shape_chw for edge in edges} == shapes


@pytest.mark.parametrize("model_format", FORMATS)
def test_the_same_probe_gives_the_same_bytes(tmp_path, model_format):
    segment = segments_of(named_network("mobilenetv3-small", 96))[3]
    probe, network = probes_of(segment, "accurate").main, drawn("mobilenetv3/digits", 0)
    for number, write in enumerate((lambda to: write_probe(probe, to, model_format),) * 2):
        artifact = write(tmp_path / str(number))
        assert artifact.path.read_bytes() == (tmp_path / "0" / artifact.path.name).read_bytes()
    first, second = (write_network(network, tmp_path / name, model_format) for name in "ab")
    assert first.sha256 == second.sha256 != artifact.sha256
    assert first.arch_id == network.arch_id
    assert artifact.arch_id == ""


@settings(max_examples=20)
@given(networks)
def test_keys_of_segments(network):
    segments = set(segments_of(network))
    assert {segment_from_json(segment_to_json(segment)) for segment in segments} == segments
    assert len({segment_key(segment) for segment in segments}) == len(segments)


def test_a_plan_draws_distinct_networks_and_the_same_ones_again():
    space = open_space("mobilenetv3", "digits", (8,))
    plans = [LutPlan(space, LutSettings(calibration=7, validation=9, seed=seed)) for seed in (0, 0, 1)]
    purposes = list(plans[0].networks.values())
    assert purposes == ["calibration"] * 7 + ["validation"] * 9
    assert plans[0].networks == plans[1].networks != plans[2].networks
    assert all(space.canonical(genome) == genome for genome in plans[0].networks)


def test_a_space_too_small_for_its_validation_is_refused():
    tiny = StagedSpace(cut(mobilenetv3.DIGITS, {"depths": (1,)}, resolutions_px=(8,)))
    assert tiny.size() == 16
    assert len(LutPlan(tiny, LutSettings(calibration=4, validation=4)).networks) == 8
    with pytest.raises(LutError, match=r"LUT04.*16 found, 17 asked for.*ask for fewer"):
        LutPlan(tiny, LutSettings(calibration=8, validation=9)).networks  # noqa: B018


def test_the_identity_moves_with_everything_that_a_table_depends_on(additive_device):
    info = additive_device().info
    space = open_space("mobilenetv3", "digits", (8,))
    plans = [
        LutPlan(space, LutSettings()),
        LutPlan(open_space("mobilenetv3", "digits", (12,)), LutSettings()),
        LutPlan(space, LutSettings(mode="fast")),
        LutPlan(space, LutSettings(calibration=3)),
        LutPlan(space, LutSettings(seed=1)),
    ]
    assert len({plan.identity(info) for plan in plans}) == len(plans)
    assert plans[0].identity(info) == LutPlan(space, LutSettings()).identity(info)


def test_calibration_networks_lie_further_apart_than_drawn_ones(plan):
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(60, 2))
    design = lambda places: np.linalg.det(np.cov(cloud[places].T))  # noqa: E731
    chosen = far_apart(cloud, 8)
    assert len(set(chosen)) == 8
    assert all(design(chosen) > design(rng.permutation(60)[:8]) for _ in range(50))
    assert sorted(far_apart([[1.0, 2.0]] * 3, 3)) == [0, 1, 2], "points that are all alike are taken as they come"
    assert sorted(plan.networks.values()) == ["calibration"] * 5 + ["validation"] * 6
