"""Sorting the inner channels of blocks by importance, before smaller expansions take the first of them.

Source: Cai et al. 2020 (arXiv 1908.09791), section 3.2, "elastic width": channels are ordered by the L1 norm of their
weights.
"""

from __future__ import annotations

import torch

from mnas.spaces.definition import StageDefinition, split_op
from search.supernet.elastic import ElasticConv
from search.supernet.network import Supernet

_OUT_OF = ("expand", "depthwise", "se_expand")
"""Layers whose outputs are a block's inner channels."""
_INTO = ("se_reduce", "project")
"""Layers that read them."""
_BY_CHANNEL = ("bias", "scale", "shift")
Order = tuple[int, torch.Tensor]
"""A dimension, and the new order of its entries."""


def sorting_of(supernet: Supernet) -> dict[str, Order]:
    """Return parameter -> how it is put in order so that every block's inner channels fall in importance.

    The largest network computes the same after it, but for rounding. A block that some choice does not expand is left
    as it is: its inner channels are its input's.
    """
    found: dict[str, Order] = {}
    for number, stage in enumerate(supernet.space.definition.stages):
        if not _always_expands(stage):
            continue
        for layer in range(max(stage.depths)):
            found |= _of_block(supernet, f"stage{number}_block{layer}_mbconv")
    return found


def _always_expands(stage: StageDefinition) -> bool:
    own = [split_op(op) for op in stage.ops]
    return all(min((expand,) if expand else stage.expands) > 1 for kind, expand in own if kind == "mbconv")


def _of_block(supernet: Supernet, block: str) -> dict[str, Order]:
    parts = {
        name: supernet.parts[f"{block}_{name}"] for name in (*_OUT_OF, *_INTO) if f"{block}_{name}" in supernet.parts
    }
    project = parts.get("project")
    if not isinstance(project, ElasticConv):
        return {}
    order = project.weight.detach().abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
    found: dict[str, Order] = {}
    for name, part in parts.items():
        found[f"parts.{block}_{name}.weight"] = (0 if name in _OUT_OF else 1, order)
        if name in _OUT_OF:
            own = [one for one in _BY_CHANNEL if getattr(part, one) is not None]
            found |= {f"parts.{block}_{name}.{one}": (0, order) for one in own}
    return found


@torch.no_grad()
def put_in_order(tensors: dict[str, torch.Tensor], sorting: dict[str, Order]) -> None:
    """Put parameters, or what goes with each of them such as its momentum, in a new order, in place."""
    for name, (dimension, order) in sorting.items():
        tensors[name].copy_(tensors[name].index_select(dimension, order.to(tensors[name].device)))
