"""Runs in an environment of its own: the blocks of `_export_networks.py` and the whole network by litert-torch.

A request in JSON on stdin: ``repeats`` of a block, ``network_repeats``. The answer: milliseconds by label.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    """Convert and write each module again and again."""
    request = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = _durations(request)
    print(json.dumps(answer))


def _durations(request: dict[str, Any]) -> dict[str, float]:
    import litert_torch
    import torch
    from _export_networks import NETWORK, median_ms, network, representative_blocks

    from mnas.layers import layers_of, layers_of_blocks
    from mnas.modules import LayerModule

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.tflite")

        def convert(module: torch.nn.Module, shape: tuple[int, int, int]) -> None:
            litert_torch.convert(module, (torch.zeros(1, *shape),)).export(path)

        for block, shape in representative_blocks():
            module = LayerModule(layers_of_blocks((block,), shape)).eval()
            found[block.label()] = median_ms(lambda m=module, s=shape: convert(m, s), request["repeats"])
        whole = network()
        module = LayerModule(layers_of(whole)).eval()
        found[NETWORK] = median_ms(lambda: convert(module, whole.input_shape_chw), request["network_repeats"])
    return found


if __name__ == "__main__":
    main()
