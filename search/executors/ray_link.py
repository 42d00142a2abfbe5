"""The way to a Ray cluster, and what its nodes have. Ray is imported here alone, and only when it is asked for."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from mnas.errors import ClusterError, ConfigError

CONNECT_S = 5.0
_INSTALL = "pip install 'mnas[ray]' on every machine of the cluster"


def import_ray() -> Any:
    """Return the package ``ray``.

    Raises:
        ClusterError: ``CLU01``: it is not installed.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ClusterError(
            "CLU01", "Ray cannot be imported", value=str(error), why="it joins the machines of a cluster", fix=_INSTALL
        ) from error
    return ray


def parse_address(address: str) -> tuple[str, int] | None:
    """Return host and port of a cluster's head, or None for ``auto``: the cluster that this machine is part of.

    Raises:
        ConfigError: ``CFG60``: neither.
    """
    if address == "auto":
        return None
    host, _, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(
            "CFG60",
            "that is no address of a Ray cluster",
            value=address,
            why="the form is HOST:PORT, or auto for the cluster that this machine is part of",
            fix="give what ray start was given on the first machine, without ray://",
        )
    return host, int(port)


def connect(address: str) -> Any:
    """Join a running cluster as its driver and return the package ``ray``.

    The machine must run a node of the cluster itself (``ray start``); nothing is started here.

    Raises:
        ConfigError: ``CFG60``: not an address.
        ClusterError: ``CLU01`` Ray is not installed, ``CLU02`` nothing answers there, or this machine is no node of it,
            ``CLU04`` it runs another version of Ray or Python.
    """
    place = parse_address(address)
    ray = import_ray()
    if place is not None:
        _require_listener(address, place)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, logging_level="ERROR")
    except (RuntimeError, ConnectionError, TimeoutError, ValueError, OSError) as error:
        raise _refusal(address, " ".join(str(error).split())) from error
    return ray


def _require_listener(address: str, place: tuple[str, int]) -> None:
    try:
        socket.create_connection(place, CONNECT_S).close()
    except OSError as error:
        raise _refusal(address, str(error)) from error


def _refusal(address: str, why: str) -> ClusterError:
    if "Version mismatch" in why:
        return ClusterError(
            "CLU04",
            "the cluster runs another version of Ray or Python",
            value=address,
            why=why[:500],
            fix="use the same environment on every machine",
        )
    return ClusterError(
        "CLU02",
        "the Ray cluster cannot be joined",
        value=address,
        why=why[:500] or "nothing answers there",
        fix="start it, and a node on this machine: mnas worker shows how",
    )


def node_resources(ray: Any) -> dict[str, dict[str, float]]:
    """Return the resources of each living node, in total, by the node's address and id."""
    return {
        f"{node['NodeManagerAddress']} {node['NodeID'][:8]}": dict(node["Resources"])
        for node in ray.nodes()
        if node["Alive"]
    }


def lacking(nodes: Mapping[str, Mapping[str, float]], wanted: Mapping[str, float]) -> tuple[str, ...]:
    """Return the resources that keep every node from ever running a job; none when one node has all of them.

    Where each is there, but no node has all of them together, all are returned.

    Args:
        nodes: Node -> its resources in total.
        wanted: What the job takes.
    """
    asked = {name: amount for name, amount in wanted.items() if amount > 0}
    if any(all(has.get(name, 0) >= amount for name, amount in asked.items()) for has in nodes.values()):
        return ()
    nowhere = tuple(name for name, amount in asked.items() if all(has.get(name, 0) < amount for has in nodes.values()))
    return nowhere or tuple(asked)
