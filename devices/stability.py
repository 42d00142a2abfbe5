"""When to distrust a measurement, and how to say so.

What counts as drift was chosen with the noise of shared machines in mind. There the raw time of every model moves by
tens of percent as the host changes speed, and the ratio to the reference networks takes that out. A raw time that is
off says little; these three statements say that the *correction* fails:

* per model, the two halves of the session disagree in the model-to-reference ratio, by more than a floor and by more
  than chance explains (three standard deviations, so that one of many models is not flagged by luck);
* per session, one reference network has changed against the others of its group since they were calibrated: a uniform
  slowdown leaves these shares as they are, so the slowdown is not uniform, or the runtime is not the same;
* per session, the references of a group together are far (20 %) off their nominals: slow states hit some operators more
  than others, up to a fifth more at a slowdown of 1.6, so the ratio takes out the common part only.

Apart from drift, a session is *throttled* when the device itself says that heat made it slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from devices.estimate import Estimate, RatioEstimator, Runs
from devices.measurement import Verdict
from devices.protocol import ProtocolSettings

_FEWEST_ROUNDS_OF_HALF = 3
_FEWEST_LAUNCHES_OF_HALF = 5
_SIGMAS = 3.0
_MODERATE = 2


def judge_measurement(
    runs: Runs, estimate: Estimate, estimator: RatioEstimator, settings: ProtocolSettings
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on one model that has an estimate, and the reasons: ``ok``, ``noisy`` or ``drifted``.

    Drift outweighs noise, since more rounds mend noise only.
    """
    reasons = []
    verdict: Verdict = "ok"
    if estimate.interval is None:
        verdict = "noisy"
        reasons.append("too few rounds for an interval: 3 are needed")
    else:
        half_width = (estimate.interval[1] - estimate.interval[0]) / 2 / estimate.value
        if half_width > settings.noisy_fraction:
            verdict = "noisy"
            reasons.append(f"interval is +-{half_width:.1%}, over {settings.noisy_fraction:.0%}: measure more rounds")
    drift = halves_disagree(runs, estimate, estimator, settings)
    if drift:
        verdict = "drifted"
        reasons.append(drift)
    return verdict, tuple(reasons)


def halves_disagree(runs: Runs, estimate: Estimate, estimator: RatioEstimator, settings: ProtocolSettings) -> str:
    """Return how the halves of a session disagree on a model's ratio, or "" when they do not.

    What is due to chance is told by the halves themselves, where each has launches enough to tell. Else by the whole:
    either half has twice its variance, so their difference has four times that.
    """
    ids = np.unique(runs.rounds)
    if len(ids) < 2 * _FEWEST_ROUNDS_OF_HALF or not math.isfinite(estimate.log_spread):
        return ""
    middle = len(ids) // 2
    halves = [part.tolist() for part in (ids[:middle], ids[middle:])]
    first, second = (estimator.estimate(runs, half) for half in halves)
    difference = abs(math.log(second.value / first.value)) if first.value > 0 and second.value > 0 else math.nan
    spread = 2 * estimate.log_spread
    if min(estimator.launches_in(half) for half in halves) >= _FEWEST_LAUNCHES_OF_HALF:
        spread = min(spread, math.hypot(first.log_spread, second.log_spread))
    allowed = max(math.log1p(settings.drift_fraction), _SIGMAS * spread)
    if not difference > allowed:
        return ""
    off = second.value / first.value - 1
    return f"halves of the session differ by {off:+.1%} against the references, {allowed:.1%} allowed"


def judge_references(
    reference_ms: Mapping[str, float],
    nominals_ms: Mapping[str, float],
    settings: ProtocolSettings,
    group_of: Callable[[str], str] = lambda _: "",
) -> tuple[str, ...]:
    """Return the reasons to call a session drifted, by the readings of its references.

    Args:
        reference_ms: Name -> quantile in this session, raw milliseconds.
        nominals_ms: Name -> stored nominal, the same names.
        settings: The protocol.
        group_of: Name -> group; references are judged within their group.
    """
    logs = {name: math.log(value / nominals_ms[name]) for name, value in reference_ms.items()}
    groups: dict[str, dict[str, float]] = {}
    for name, value in logs.items():
        groups.setdefault(group_of(name), {})[name] = value
    reasons = []
    for group, members in sorted(groups.items()):
        level = float(np.mean(list(members.values())))
        if abs(math.expm1(level)) > settings.level_fraction:
            reasons.append(
                f"{group or 'the'} references run at {math.exp(level):.2f} x their nominal: the machine is in another"
                " state than when it was calibrated, and the ratio corrects the common part only"
            )
        for name, value in sorted(members.items()):
            off = math.expm1(value - level)
            if abs(off) > settings.profile_fraction:
                reasons.append(
                    f"reference {name} is {off:+.1%} off its share among the references,"
                    f" {settings.profile_fraction:.0%} allowed: the slowdown is not uniform"
                )
    return tuple(reasons)


def judge_heat(conditions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the reasons to call a session throttled, from a device's conditions in order of time.

    Read are ``throttle_count`` (how often the processor has slowed itself down since its start), ``thermal_status``
    (Android's 0 none, 1 light, 2 moderate, 3 severe ...) and ``unread_heat_count`` (launches that count though the
    device, which has a way to tell its heat, did not tell it: it may have slowed itself down). A device that tells none
    of them is never called throttled.
    """
    reasons = []
    if times := _growth(conditions, "throttle_count"):
        reasons.append(f"the processor slowed itself down {times} times for its heat")
    if launches := _growth(conditions, "unread_heat_count"):
        reasons.append(f"during {launches} launches the device did not tell whether heat slowed it down")
    worst = max((int(one.get("thermal_status") or 0) for one in conditions), default=0)
    if worst >= _MODERATE:
        reasons.append(f"thermal status {worst}: the device slows itself down")
    return tuple(reasons)


_REJECTED = {
    "hot": "while the device throttled",
    "unread": "while it did not tell its heat",
    "capped": "with a capped clock",
    "unpinned": "off their cores",
    "failed": "without a number",
}
"""Count in ``rejected_launches`` -> what the launches were."""


def tell_repeats(conditions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what was thrown away and made again in a session, from a device's conditions in order of time.

    Read are the counts of ``rejected_launches`` and its ``waited_s``. None of these launches is in any number; a device
    that tells none of it has nothing to tell.
    """
    told = [one["rejected_launches"] for one in conditions if one.get("rejected_launches")]
    counts = {name: _growth(told, name) for name in _REJECTED}
    if not any(counts.values()):
        return ()
    kinds = ", ".join(f"{count} {_REJECTED[name]}" for name, count in counts.items() if count)
    waited_s = _growth(told, "waited_s")
    wait = f"; {waited_s} s were waited for it to cool down" if waited_s else ""
    many = sum(counts.values())
    what = "1 launch was" if many == 1 else f"{many} launches were"
    return (f"{what} thrown away and made again: {kinds}{wait}",)


def _growth(conditions: Sequence[Mapping[str, Any]], name: str) -> int:
    counts = [int(one[name]) for one in conditions if one.get(name) is not None]
    return max(counts[-1] - counts[0], 0) if counts else 0
