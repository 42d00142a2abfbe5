"""Networks of papers as readable tables, one family a file; `mnas.named_networks` knows them by name."""

from __future__ import annotations

from mnas.networks import (
    efficientnet,
    fbnet,
    ghostnet,
    mnasnet,
    mobilenetv1,
    mobilenetv2,
    mobilenetv3,
    proxylessnas,
    shufflenetv2,
    spnasnet,
    squeezenet,
)
from mnas.networks.named import NamedNetwork

FAMILIES = (
    mobilenetv1,
    mobilenetv2,
    mobilenetv3,
    mnasnet,
    proxylessnas,
    fbnet,
    spnasnet,
    efficientnet,
    shufflenetv2,
    squeezenet,
    ghostnet,
)
ALL_NETWORKS: tuple[NamedNetwork, ...] = tuple(one for family in FAMILIES for one in family.NETWORKS)
