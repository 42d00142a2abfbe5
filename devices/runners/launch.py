"""What one launch of a runner is asked to do, and what it said it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devices.measurement import Statistic
from mnas.errors import ConfigError

Extent = Literal["none", "full", "partial"]
PARTIAL_HINT = "; partial=allow in the device spec measures it all the same"
MAX_SECONDS = 86_400
"""Bound that is handed to the tools' own clocks: so large that the deadline of the launch is the only one that cuts."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What one launch shall do.

    Attributes:
        model_path: Of the model, on the device.
        runs: Timed inferences, at least 1.
        warmup: Inferences before them, at least 0.
        threads: Threads of the runtime, at least 1.
        delegate: ``xnnpack``, ``none``, ``gpu``, ``nnapi``, ``external:PATH`` (a path on the device), or "" for the
            runner's default.
        per_op: Profile the operators. A profiled launch is slower: its times are never a latency.
        output_path: Where the runner may write a file on the device; ``ortperf`` needs it, with no file there yet.
        allow_partial: Whether a model may run outside the delegate in parts.
        peak_memory: Whether a tool that needs a further thread for it shall watch its memory. Disturbs the times.

    Raises:
        ConfigError: ``RNR11``: a count is too small.
    """

    model_path: str
    runs: int
    warmup: int
    threads: int
    delegate: str
    per_op: bool = False
    output_path: str = ""
    allow_partial: bool = False
    peak_memory: bool = False

    def __post_init__(self) -> None:
        for name, least in (("runs", 1), ("warmup", 0), ("threads", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    "RNR11", f"{name} of a launch is too small", value=getattr(self, name), fix=f"give {least} or more"
                )


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """What one launch gave. With an error there are no samples, whatever the tool printed.

    Attributes:
        samples_ms: One aggregate of the launch, or every run in order.
        statistic: What a sample is.
        runs: Timed inferences that the tool counted.
        warmup_ms: Mean of the tool's warm-up, or every warm-up run in order.
        init_ms: Time until the model was ready; ``None`` where the tool does not tell.
        first_ms: The very first inference.
        peak_memory_bytes: As the tool tells it; the notes say how it was taken.
        p5_ms: The tool's own 5 % quantile.
        p95_ms: The tool's own 95 % quantile.
        min_ms: Fastest timed run.
        max_ms: Slowest timed run.
        std_ms: Population standard deviation; ``benchmark_model`` cuts it to whole microseconds.
        delegate: What ran the model: ``xnnpack``, ``gpu`` ...; ``none`` for the runtime's own kernels.
        delegation: How much of the graph the delegate took.
        partitions: Pieces of the graph that the delegate runs; ``None`` where the tool does not tell.
        error: "", or one line that says why the launch gave no number.
        notes: What one must know to read the numbers.
    """

    samples_ms: tuple[float, ...]
    statistic: Statistic
    runs: int
    warmup_ms: tuple[float, ...] = ()
    init_ms: float | None = None
    first_ms: float | None = None
    peak_memory_bytes: int | None = None
    p5_ms: float | None = None
    p95_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    std_ms: float | None = None
    delegate: str = "none"
    delegation: Extent = "none"
    partitions: int | None = None
    error: str = ""
    notes: tuple[str, ...] = ()


def failed_launch(
    error: str,
    *,
    statistic: Statistic = "launch_median",
    runs: int = 0,
    delegate: str = "none",
    delegation: Extent = "none",
    partitions: int | None = None,
    notes: tuple[str, ...] = (),
) -> LaunchResult:
    """Return the result of a launch that gave no number."""
    return LaunchResult(
        samples_ms=(),
        statistic=statistic,
        runs=runs,
        delegate=delegate,
        delegation=delegation,
        partitions=partitions,
        error=" ".join(error.split()),
        notes=notes,
    )
