"""The layers of named networks agree one by one with those of the same networks as others ran them on phones."""

import difflib
import json

import pytest

from mnas.layers import layers_of
from mnas.named_networks import named_network

# Names in the file -> ours. The file holds pytorchcv's networks as a TFLite delegate listed their operations.
NETWORKS = {
    "mobilenet_w1": "mobilenetv1",
    "mobilenetv2_w1": "mobilenetv2",
    "mobilenetv3_large_w1": "mobilenetv3-large",
    "mobilenetv3_small_w1": "mobilenetv3-small",
    "mnasnet_a1": "mnasnet-a1",
    "mnasnet_b1": "mnasnet-b1",
    "proxylessnas_mobile": "proxylessnas-mobile",
    "fbnet_cb": "fbnet-c",
    "spnasnet": "spnasnet",
    "squeezenet_v1_1": "squeezenet-1.1",
    "ghostnet": "ghostnet",
}


def conv(pixels, channels, out_pixels, out, kernel=1, stride=1):
    return ("conv", pixels, channels, out_pixels, out, kernel, stride)


def depthwise(pixels, channels, out_pixels, kernel, stride):
    return ("depthwise", pixels, channels, out_pixels, channels, kernel, stride)


def squeezes(channels, ours, theirs):
    """Both convolutions of a squeeze-and-excitation that differ in the squeezed channels."""
    return tuple((conv(1, channels, 1, width), conv(1, width, 1, channels)) for width in (ours, theirs))


# Where a network differs: our rows, the rows in the file, and why.
DIFFERENCES = {
    # The first block expands by 1: pytorchcv's variant without a suffix has a convolution for that, as the paper's
    # figure draws it; torchvision, the authors' code and pytorchcv's variant "b" have none.
    "mobilenetv2_w1": [((), (conv(112, 32, 112, 32),))],
    # Its last hidden layer has 1280 channels; table 2 of the paper and torchvision have 1024.
    "mobilenetv3_small_w1": [
        ((conv(1, 576, 1, 1024), conv(1, 1024, 1, 1000)), (conv(1, 576, 1, 1280), conv(1, 1280, 1, 1000)))
    ],
    # Squeezes of a quarter of the channels, rounded down; the authors round to a multiple of 4. Shortcuts of 3 x 3
    # everywhere; the authors' have the kernel of their block.
    "ghostnet": [
        squeezes(72, 20, 18),
        ((depthwise(56, 24, 28, 5, 2),), (depthwise(56, 24, 28, 3, 2),)),
        squeezes(120, 32, 30),
        ((depthwise(14, 112, 7, 5, 2),), (depthwise(14, 112, 7, 3, 2),)),
    ],
}


def our_row(layer):
    """One of our layers as operation, pixels and channels of input and output, kernel, stride; None if not compared."""
    channels, pixels, width = layer.in_shapes_chw[0]
    out, out_pixels, _ = layer.out_shape_chw
    assert pixels == width
    if layer.op == "conv" and layer.groups > 1:
        assert layer.groups == channels == out
        return depthwise(pixels, channels, out_pixels, layer.kernel_size, layer.stride)
    if layer.op == "conv":
        return conv(pixels, channels, out_pixels, out, layer.kernel_size, layer.stride)
    if layer.op == "linear":
        # The file has fully connected layers as such or as 1 x 1 convolutions of one pixel.
        return conv(1, channels, 1, out)
    if layer.op == "maxpool":
        return ("maxpool", pixels, channels, out_pixels, out, layer.kernel_size, layer.stride)
    return ("pool", pixels, channels) if layer.op == "pool" else None


def their_row(layer):
    """The same of a layer in the file, whose input counts the padding where that was an operation of its own."""
    op, pixels, channels = layer["op"], layer["in_px"], layer["in_channels"]
    out_pixels, out, kernel, stride = (layer[name] for name in ("out_px", "out_channels", "kernel", "stride"))
    match op:
        case "depthwise_conv_2d":
            assert out == 1  # a multiplier
            return depthwise(pixels - kernel + 1, channels, out_pixels, kernel, stride)
        case "conv_2d":
            is_padded = stride == 1 and kernel > 1
            return conv(pixels - (kernel - 1 if is_padded else 0), channels, out_pixels, out, kernel, stride)
        case "fully_connected":
            return conv(1, channels, 1, out)
        case "max_pool_2d":
            return ("maxpool", pixels, channels, out_pixels, channels, kernel, stride)
        case "mean" | "average_pool_2d":
            return ("pool", pixels, channels)
        case "concatenation":
            return None
        case _:
            raise AssertionError(f"an operation that this test does not know: {op}")


@pytest.fixture(scope="module")
def phone_networks(test_data):
    lines = (test_data / "phone_networks_s10_a03s.jsonl").read_text(encoding="utf-8").splitlines()
    return {network["network"]: network["layers"] for network in map(json.loads, lines)}


@pytest.mark.parametrize("theirs", NETWORKS)
def test_layers_agree_one_by_one(phone_networks, theirs):
    ours = [row for layer in layers_of(named_network(NETWORKS[theirs])) if (row := our_row(layer)) is not None]
    found = [row for layer in phone_networks[theirs] if (row := their_row(layer)) is not None]
    assert len(ours) > 20
    matched = difflib.SequenceMatcher(None, ours, found, autojunk=False)
    differences = [
        (tuple(ours[a:b]), tuple(found[c:d])) for kind, a, b, c, d in matched.get_opcodes() if kind != "equal"
    ]
    assert differences == DIFFERENCES.get(theirs, [])


def test_a_network_differs_from_another(phone_networks):
    ours = [our_row(layer) for layer in layers_of(named_network("mnasnet-a1"))]
    assert [row for row in ours if row] != [their_row(layer) for layer in phone_networks["mnasnet_b1"]]
