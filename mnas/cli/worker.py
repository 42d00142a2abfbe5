"""``mnas worker``: how this machine becomes a node of a cluster."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mnas.cli.options import AdbOption, FileOption
from mnas.cli.output import say, write_result

if TYPE_CHECKING:
    from devices.adb.phones import Phone

_START_S = 15.0


def worker(
    head: Annotated[str, typer.Argument(help="HOST:PORT of the cluster's first machine; without, this is it.")] = "",
    cpus: Annotated[int | None, typer.Option("--cpus", min=0, help="CPUs for jobs (all); 0 to measure alone.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=0, help="GPUs for jobs (all).")] = None,
    ip: Annotated[str, typer.Option("--ip", help="Address of this machine that the others see.")] = "",
    adb: AdbOption = "",
    output: FileOption = None,
) -> None:
    """Print the command that makes this machine a node of a Ray cluster, with its phones as what jobs can need.

    Nothing is started. Phones go by their public names; no serial leaves this machine.
    """
    from mnas.cli.device_view import see_phones

    if head:
        from search.executors.ray_link import parse_address

        if parse_address(head) is None:
            raise typer.BadParameter("name the first machine as HOST:PORT", param_hint="HEAD")
    phones, notes = see_phones(adb, _START_S)
    for note in notes:
        say(f"note: {note}")
    names = phone_resources(phones)
    write_result(shlex.join(start_command(head, names, cpus, gpus, ip)) + "\n", output)


def phone_resources(phones: Sequence[Phone]) -> dict[str, int]:
    """Return the phones that can be measured on, now or when whoever uses them is done, by their public names."""
    from devices.adb.privacy import public_serial

    return {public_serial(phone.serialno): 1 for phone in phones if phone.facts is not None or phone.is_held}


def start_command(
    head: str, resources: dict[str, int], cpus: int | None = None, gpus: int | None = None, ip: str = ""
) -> list[str]:
    """Return the words of the command that starts a node.

    Args:
        head: ``HOST:PORT`` of the first machine, "" where this is it.
        resources: What jobs can need by name.
        cpus: CPUs for jobs; None lets Ray count them.
        gpus: GPUs for jobs; None lets Ray count them.
        ip: Address of this machine; "" lets Ray find it.
    """
    words = [
        "ray",
        "start",
        *([f"--address={head}"] if head else ["--head", "--port=6379", "--include-dashboard=false"]),
    ]
    words += [f"--node-ip-address={ip}"] if ip else []
    words += [] if cpus is None else [f"--num-cpus={cpus}"]
    words += [] if gpus is None else [f"--num-gpus={gpus}"]
    words += [f"--resources={json.dumps(resources)}"] if resources else []
    return [*words, "--disable-usage-stats"]
