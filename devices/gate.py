"""Gates on a latency: passed, failed beyond the interval, or not to be told with what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from devices.estimate import Estimate
from devices.run import GateResult, Outcome
from mnas.errors import ConfigError

DISTRUST = 1.5
"""How much farther the ends of an interval are taken that cannot be relied on: slow states here reach that far."""

RAW_WARNING = (
    "a gate on raw percentiles sees the state of the machine as well as the model: on shared machines it flakes;"
    " latency_ms is what is made to be compared"
)


@dataclass(frozen=True, slots=True)
class Gates:
    """What was asked of every model of a run.

    Attributes:
        max_latency_ms: At most so many milliseconds.
        max_regression: At most so much slower than the baseline, as a fraction.
        min_delta_ms: A regression of at most so many milliseconds passes, whatever its share.
        raw_percentile: Judge this percentile (50, 90 or 95) of the raw runs instead of latency_ms; 0 for latency_ms.

    Raises:
        ConfigError: ``CFG14``: a limit that is none.
    """

    max_latency_ms: float | None = None
    max_regression: float | None = None
    min_delta_ms: float = 0.0
    raw_percentile: int = 0

    def __post_init__(self) -> None:
        limit = self.max_latency_ms
        if (limit is not None and not 0 < limit < float("inf")) or not 0 <= self.min_delta_ms < float("inf"):
            raise _bad_limit(limit if limit is not None else self.min_delta_ms, "milliseconds are positive")
        if self.max_regression is not None and not 0 <= self.max_regression < float("inf"):
            raise _bad_limit(self.max_regression, "a regression is a share of the baseline's latency, e.g. 5%")
        if self.min_delta_ms and self.max_regression is None:
            raise _bad_limit(self.min_delta_ms, "--min-delta-ms only qualifies --max-regression")
        if self.raw_percentile and not self.is_set:
            raise _bad_limit(f"p{self.raw_percentile}", "--gate-raw only says what the other gates look at")

    @property
    def is_set(self) -> bool:
        """Whether anything is asked at all."""
        return self.max_latency_ms is not None or self.max_regression is not None

    @property
    def quantity(self) -> str:
        """Name of what is judged."""
        return f"raw p{self.raw_percentile}" if self.raw_percentile else "latency_ms"


def judge_latency(gates: Gates, label: str, latency: Estimate | None, distrust: str = "") -> GateResult:
    """Judge one model by ``max_latency_ms``.

    Args:
        gates: With that limit.
        label: Of the model.
        latency: Milliseconds, or ``None`` when the model has no number.
        distrust: Why its interval cannot be relied on, or ""; then only what is far from the limit is decided.
    """
    limit = gates.max_latency_ms or 0.0
    name = _name("max-latency-ms", gates)
    if latency is None:
        return GateResult(name, limit, label, None, None, None, "inconclusive", f"{label} has no number")
    outcome, low, high = _compare(latency, limit)
    text = f"{label}: {gates.quantity} {latency.value:.4g} ms [{low:.4g}, {high:.4g}], limit {limit:g} ms"
    if distrust:
        far, _, _ = _compare(Estimate(latency.value, (low / DISTRUST, high * DISTRUST), latency.log_spread), limit)
        outcome, text = far, f"{text}; {distrust}, so the interval is taken {DISTRUST:g} times as far"
    return GateResult(name, limit, label, latency.value, low, high, outcome, text)


def judge_regression(
    gates: Gates, label: str, baseline: str | None, ratio: Estimate | None, baseline_ms: float | None
) -> GateResult:
    """Judge one model by ``max_regression`` against its baseline of the same session.

    Args:
        gates: With that limit.
        label: Of the model.
        baseline: Label of the baseline, or ``None`` when there is none of the model's name.
        ratio: Model over baseline, or ``None`` when one of them has no number.
        baseline_ms: Of the baseline, for ``min_delta_ms``.
    """
    limit = gates.max_regression or 0.0
    name = _name("max-regression", gates)
    if ratio is None or baseline_ms is None:
        text = (
            f"{label} or its baseline {baseline} has no number" if baseline else f"{label} has no baseline of its name"
        )
        return GateResult(name, limit, label, None, None, None, "inconclusive", text)
    allowed = 1 + max(limit, gates.min_delta_ms / baseline_ms)
    outcome, low, high = _compare(ratio, allowed)
    text = (
        f"{label}: {gates.quantity} is {ratio.value - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}] against {baseline},"
        f" limit {allowed - 1:+.1%}"
    )
    return GateResult(name, limit, label, ratio.value - 1, low - 1, high - 1, outcome, text)


def exit_code(gates: Iterable[GateResult], problems: Sequence[int]) -> int:
    """Return the exit status of a run: a failed gate, else a model without a number, else an open gate, else 0.

    Args:
        gates: All that were judged.
        problems: Exit status of each problem, in the order of the models.
    """
    outcomes = {gate.outcome for gate in gates}
    if "fail" in outcomes:
        return 3
    if problems:
        return problems[0]
    return 5 if "inconclusive" in outcomes else 0


def _compare(estimate: Estimate, limit: float) -> tuple[Outcome, float, float]:
    low, high = estimate.interval or (0.0, float("inf"))
    if low > limit:
        return "fail", low, high
    return ("pass" if high <= limit else "inconclusive"), low, high


def _name(gate: str, gates: Gates) -> str:
    return f"{gate} (raw p{gates.raw_percentile})" if gates.raw_percentile else gate


def _bad_limit(value: object, why: str) -> ConfigError:
    return ConfigError("CFG14", "a gate cannot be set so", value=value, why=why, fix="change the limit")
