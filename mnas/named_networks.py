"""Networks from papers, as architectures at ImageNet's 224 pixels and 1000 classes unless asked otherwise."""

from __future__ import annotations

from collections.abc import Callable

from mnas.architecture import Architecture
from mnas.errors import ArchitectureError
from mnas.networks import ALL_NETWORKS
from mnas.networks.mobilenetv2 import mobilenetv2
from mnas.networks.mobilenetv3 import mobilenetv3_large, mobilenetv3_small
from mnas.networks.named import NetworkFacts

__all__ = [
    "NAMED_NETWORKS",
    "NETWORK_FACTS",
    "mobilenetv2",
    "mobilenetv3_large",
    "mobilenetv3_small",
    "named_network",
]

NAMED_NETWORKS: dict[str, Callable[..., Architecture]] = {one.name: one.make for one in ALL_NETWORKS}
NETWORK_FACTS: dict[str, NetworkFacts] = {one.name: one.facts for one in ALL_NETWORKS}
"""What is reported of each named network, by the same names."""


def named_network(name: str, px: int = 224, classes: int = 1000) -> Architecture:
    """Return a named network.

    Raises:
        ArchitectureError: ``ARC03``: no network of that name.
    """
    if name not in NAMED_NETWORKS:
        raise ArchitectureError(
            "ARC03", "no network of that name", value=name, why=f"known are {', '.join(NAMED_NETWORKS)}", fix="use one"
        )
    return NAMED_NETWORKS[name](px, classes)
