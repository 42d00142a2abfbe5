"""Bytes and counts by genome: to the digit those of each network, and the peak that of an oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_spaces import PRESETS, REDUCED, brute

from mnas.activation_peak import peak_activation_bytes
from mnas.architecture import Block
from mnas.errors import SpaceError
from mnas.export.file_size import check_size
from mnas.export.network import write_network
from mnas.genome_counts import GenomeCounts
from mnas.genome_figures import GenomeFigures, figure_of
from mnas.layers import layers_of, layers_of_blocks
from mnas.spaces.staged import StagedSpace
from mnas.stored_size import stored_bytes

NAMES = ("macs", "params", "size", "peak_memory")
FIGURES = {}


def figures_of(space_name, name, dtype="float32"):
    key = (space_name, name, dtype)
    if key not in FIGURES:
        space = PRESETS[space_name] if space_name in PRESETS else StagedSpace(REDUCED[space_name])
        FIGURES[key] = GenomeFigures(space, name, dtype)
    return FIGURES[key]


def oracle_peak(layers):
    """For each layer look at every tensor: it lives from the layer that makes it to the last that reads it."""
    numbers = {
        -1: int(np.prod(layers[0].in_shapes_chw[0])),
        **{one.index: np.prod(one.out_shape_chw) for one in layers},
    }
    peak = 0
    for now in layers:
        living = 0
        for tensor, size in numbers.items():
            readers = [one.index for one in layers if tensor in one.inputs]
            is_made = tensor <= now.index
            is_needed = tensor == now.index or any(reader >= now.index for reader in readers)
            living += int(size) if is_made and is_needed else 0
        peak = max(peak, living)
    return 4 * peak


@settings(max_examples=40)
@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 2**32), st.sampled_from(["float32", "int8"]))
def test_populations_have_the_figures_of_their_networks_one_by_one(name, seed, dtype):
    space = PRESETS[name]
    genomes = np.random.default_rng(seed).integers(0, space.cardinalities, (2, len(space.cardinalities)))
    layers = [layers_of(space.decode(tuple(map(int, genome)))) for genome in genomes]
    for figure in NAMES:
        own = [figure_of(figure, dtype)(one) for one in layers]
        assert figures_of(name, figure, dtype).values(genomes).tolist() == own
    assert [peak_activation_bytes(one) for one in layers] == [oracle_peak(one) for one in layers]


@pytest.mark.parametrize("name", REDUCED)
def test_bounds_hold_and_those_of_sums_are_reached(name):
    genomes = [genomes[0] for genomes in brute(name)[1].values()]
    for figure in NAMES:
        values = figures_of(name, figure).values(genomes)
        least, greatest = figures_of(name, figure).bounds()
        assert least <= values.min() and values.max() == greatest
        if figure != "peak_memory":
            assert least == values.min()


def test_macs_and_params_are_those_of_the_counts():
    space = PRESETS["mobilenetv3/digits"]
    genomes = [space.draw(np.random.default_rng(seed)) for seed in range(20)]
    counts = GenomeCounts(space)
    assert figures_of("mobilenetv3/digits", "macs").values(genomes).tolist() == counts.macs(genomes).tolist()
    assert figures_of("mobilenetv3/digits", "params").values(genomes).tolist() == counts.params(genomes).tolist()


def test_a_convolution_alone_by_hand():
    layers = layers_of_blocks((Block(op="conv", out_channels=4, kernel_size=3, stride=2),), (3, 8, 8))
    assert peak_activation_bytes(layers) == 4 * (3 * 8 * 8 + 4 * 4 * 4)
    assert stored_bytes(layers) == 4 * (4 * 3 * 9) + 4 * 4
    assert stored_bytes(layers, 1) == 4 * 3 * 9 + 4 * 4


def test_a_skip_keeps_the_blocks_input_alive():
    parts = {"op": "mbconv", "out_channels": 4, "mid_channels": 12}
    plain, skipping = (layers_of_blocks((Block(**parts, skip=skip),), (4, 6, 6)) for skip in (False, True))
    assert peak_activation_bytes(plain) == 4 * 36 * (12 + 12)
    assert peak_activation_bytes(skipping) == 4 * 36 * (4 + 12 + 12)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("model_format", ["onnx", "tflite"])
def test_the_size_is_that_of_a_file_but_for_names_and_shapes(tmp_path, model_format, dtype):
    space = PRESETS["mobilenetv3/digits"]
    architecture = space.decode(space.extremes()[1])
    layers, weight_bytes = layers_of(architecture), 4 if dtype == "float32" else 1
    size = stored_bytes(layers, weight_bytes)
    file = write_network(architecture, tmp_path, model_format, dtype)
    assert check_size(file.size_bytes, layers, {}, weight_bytes=weight_bytes).least_bytes == size
    assert size < file.size_bytes < size + 8192 + (1024 if dtype == "float32" else 4096) * len(layers)


def test_what_is_no_genome_is_refused():
    with pytest.raises(SpaceError, match="SPC02"):
        figures_of("mobilenetv3/digits", "size").values([[0, 0]])
    assert figures_of("mobilenetv3/digits", "size").values([]).shape == (0,)
