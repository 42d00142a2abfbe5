"""A weights file: what was saved comes back bit for bit, as a network that computes the same, or not at all."""

import pytest
import torch

from mnas.errors import ExportError
from mnas.export.parity import settle_batch_norm
from mnas.export.weights_file import load_weights, read_weights, save_weights
from mnas.modules import build_module
from mnas.named_networks import named_network

NETWORK = named_network("mobilenetv3-small", 32, 5)


@pytest.fixture(scope="module")
def module():
    found = build_module(NETWORK, seed=4)
    settle_batch_norm(found, NETWORK.input_shape_chw, 4)
    return found.eval()


def test_weights_come_back_bit_for_bit(module, tmp_path):
    path = tmp_path / "new" / "folder" / "weights.pt"
    save_weights(module.to(memory_format=torch.channels_last), path)
    loaded = load_weights(NETWORK, path)
    assert not loaded.training
    expected = module.state_dict()
    found = loaded.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], value) and found[name].is_contiguous() for name, value in expected.items())
    images = torch.randn(2, *NETWORK.input_shape_chw, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = loaded(images)
        assert torch.equal(outputs, module.to(memory_format=torch.contiguous_format)(images))
    assert (outputs[0] - outputs[1]).abs().max() > 0


def test_a_file_that_cannot_be_replaced_stays_as_it_was(module, tmp_path):
    path = tmp_path / "weights.pt"
    save_weights(module, path)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_weights(None, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=r"weights\.pt"):
        save_weights(module, path / "below.pt")


def test_a_network_is_not_given_the_weights_of_another(module, tmp_path):
    save_weights(module, tmp_path / "weights.pt")
    other = named_network("mobilenetv3-small", 32, 6)
    with pytest.raises(ExportError, match=r"EXP10.*\(5, 1024\), not \(6, 1024\)"):
        load_weights(other, tmp_path / "weights.pt")
    with pytest.raises(ExportError, match=r"EXP09.*no such file"):
        read_weights(tmp_path / "absent.pt")
