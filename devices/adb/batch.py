"""What one batch on a phone consists of: launches of a runner, and what is watched while they run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

FILE_LIMIT_BYTES = 1 << 20
"""What is read of a launch's output, and of a file that it writes: far more than any runner has to say."""

STORAGE_LIMIT_BYTES = 256 << 20
"""What a launch may write into one file of any kind. Shared memory counts among them, e.g. that of NNAPI on newer
kernels, and caches of delegates: so it is much more than what is read. It is there for a runner that never stops
writing.
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a runner.

    Attributes:
        index: Which one of the batch, from 0.
        command: Argument list, as the runner's dialect wrote it.
        deadline_s: Whole seconds after which it is killed.
        output_files: Pattern of the shell for the files that the runner writes and that are wanted, or "".
    """

    index: int
    command: tuple[str, ...]
    deadline_s: int
    output_files: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the script reads between launches, and when it stops for it.

    Attributes:
        cap_files: Of the pinned cores: ``scaling_max_freq``, one for each clock.
        caps_khz: What those files said while the phone was cool; lower is a cap. As many as `cap_files`.
        clock_files: ``scaling_cur_freq`` of the same cores.
        zone: Type of one thermal zone that is read too, or "".
        reads_heat: The phone has a thermal service.
        heat_every_s: Whole seconds from one question to the thermal service to the next.
        stops: The script ends when the phone is hot or capped, so that it can cool down.
        insists: It ends too when the thermal service gives no answer; else what runs then counts and is marked.
    """

    cap_files: tuple[str, ...] = ()
    caps_khz: tuple[int, ...] = ()
    clock_files: tuple[str, ...] = ()
    zone: str = ""
    reads_heat: bool = False
    heat_every_s: int = 2
    stops: bool = True
    insists: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Launches that one shell makes, one after the other.

    Attributes:
        token: In the environment of every process of the batch (``MNAS_TOKEN``).
        folder: Of the batch on the phone; made and removed by its script.
        launches: In order.
        cpu_mask: Hexadecimal mask that the shell takes, or "" to stay as it is.
        watch: What is read between launches.
        library_path: Folder of shared libraries that the runner needs, or "".
        marker: Begins the script's own lines; drawn for each batch and not told to the runner.
        file_limit_bytes: What is read of one file. A launch that writes more counts as killed by SIGXFSZ.
    """

    token: str
    folder: str
    launches: tuple[Launch, ...]
    cpu_mask: str = ""
    watch: Watch = field(default_factory=Watch)
    library_path: str = ""
    marker: str = field(default_factory=lambda: f"@{secrets.token_hex(6)}")
    file_limit_bytes: int = FILE_LIMIT_BYTES
