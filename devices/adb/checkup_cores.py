"""Checks of the cores: a mask holds for what is launched, big cores are not slower than little ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.adb.campaign import Campaign
from devices.adb.checklist import Check, judged
from devices.adb.heat import HeatKeeper, HeatLimits
from devices.adb.held import HeldPhone
from devices.adb.launches import event_of, job_of
from devices.adb.link import AdbLink
from devices.adb.model_cache import ModelCache
from devices.adb.parsers.cpus import Cluster, mask_of
from devices.adb.pinning import resolve_mask
from devices.adb.probe import PhoneFacts
from devices.adb.runner_place import place_runner
from devices.estimate import Estimate, RatioEstimator, Runs
from devices.measurement import Visit
from devices.runners.dialect import dialect_of
from devices.runners.library import RunnerLibrary
from devices.spec import DeviceSpec
from mnas.errors import ConfigError, DeviceError
from mnas.export.artifact import ModelArtifact

ROUNDS = 8
_RUNS, _WARMUP = 20, 5
_MOST_THREADS = 4
_ANSWER_S = 20.0
_LAUNCH_S = 30.0

# `grep` is the launched program: it tells the mask that it got itself.
_PIN = """for k in @MASKS; do
  echo "mask $k"
  sh -c 'taskset -p "$1" $$ 2>&1 || echo refused; grep Cpus_allowed: /proc/self/status' sh "$k" 2>&1
done
echo "cpuset $(cat /proc/self/cpuset 2>/dev/null)"
"""


def check_pinning(link: AdbLink, facts: PhoneFacts, spec: DeviceSpec) -> Iterator[Check]:
    """See that a launched process has each cluster's mask, and that a mask that cannot be held is refused."""
    beyond = mask_of([max((*facts.possible_cpus, *(cpu for one in facts.clusters for cpu in one.cpus)), default=0) + 1])
    masks = [one.mask for one in facts.clusters]
    done = link.run_script(_PIN.replace("@MASKS", " ".join([*masks, beyond])), deadline_s=_ANSWER_S)
    seen, cpuset = read_pins(done.stdout)
    for one in facts.clusters:
        words = seen.get(one.mask, "nothing")
        held = words == one.mask
        found = f"mask {one.mask} asked for; a launched process says {words}"
        yield Check(f"pinning to {one.name}", found, *judged(held, "the shell's cpuset may forbid these cores"))
    words = seen.get(beyond, "nothing")
    yield Check(
        "a mask of no core", f"mask {beyond}: {words}", *judged(words == "refused", "pins cannot be relied on here")
    )
    yield _refusal(facts, spec, beyond)
    found = cpuset or "not told"
    yield Check("cpuset of the shell", f"{found} (apps may run in another one)", "ok" if cpuset else "absent")


def _refusal(facts: PhoneFacts, spec: DeviceSpec, mask: str) -> Check:
    asked = DeviceSpec("adb", spec.runtime, spec.serial, cpus=mask)
    try:
        got = resolve_mask(asked, facts)
    except ConfigError as error:
        return Check("a device on no core", f"cpus={mask} is refused with {error.code}")
    is_known = bool(facts.possible_cpus)
    words = f"cpus={mask} was taken as mask {got}"
    return Check("a device on no core", words, *judged(not is_known, "report the phone's model"))


def read_pins(text: str) -> tuple[dict[str, str], str]:
    """Return mask asked for -> mask that the process had, or ``refused``; and the shell's cpuset.

    Masks are hexadecimal without commas and leading zeros, as they were asked for.
    """
    seen: dict[str, str] = {}
    asked = cpuset = ""
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "mask":
            asked = rest.strip()
        elif word == "refused":
            seen[asked] = "refused"
        elif line.startswith("Cpus_allowed:"):
            mask = line.partition(":")[2].strip().replace(",", "").lstrip("0")
            seen.setdefault(asked, mask or "0")
        elif word == "cpuset":
            cpuset = rest.strip()
    return seen, cpuset


@dataclass(frozen=True, slots=True)
class _Lane:
    """One way to run the network: cores and threads."""

    mask: str
    threads: int = 1


def check_clusters(
    link: AdbLink,
    spec: DeviceSpec,
    library: RunnerLibrary,
    model: ModelArtifact,
    *,
    folder: Path | None = None,
    heat: HeatLimits | None = None,
    rounds: int = ROUNDS,
) -> Iterator[Check]:
    """Measure one network on every cluster in turns, and with more threads, and compare round by round."""
    with HeldPhone(link, folder=folder) as phone:
        clusters, is_simulated = phone.facts.clusters, phone.facts.is_simulated
        lanes = [_Lane(one.mask) for one in clusters]
        widest = max(clusters, key=lambda one: len(one.cpus), default=None)
        threads = min(len(widest.cpus), _MOST_THREADS) if widest else 1
        if widest and threads > 1:
            lanes.append(_Lane(widest.mask, threads))
        turns = _Turns(phone, spec, library, model, heat or HeatLimits())
        times: dict[_Lane, list[float]] = {lane: [] for lane in lanes}
        for number in range(rounds):
            for lane in lanes if number % 2 == 0 else reversed(lanes):
                times[lane].append(turns.run(lane))
    yield _speeds(clusters, times)
    if len(clusters) < 2:
        yield Check("big against little", "the phone tells of one kind of cores", "absent")
    else:
        big, little = (times[_Lane(clusters[place].mask)] for place in (0, -1))
        yield judge_clusters(ratio_of(big, little), is_simulated)
    if widest is None or threads < 2:
        yield Check("threads", "no cluster has two cores", "absent")
    else:
        one, several = times[_Lane(widest.mask)], times[_Lane(widest.mask, threads)]
        yield Check("threads", f"{threads} on {widest.name} take {_show(ratio_of(several, one))} of one's time")


class _Turns:
    """Launches of one network on a held phone, each on the cores and with the threads of its lane."""

    def __init__(
        self, phone: HeldPhone, spec: DeviceSpec, library: RunnerLibrary, model: ModelArtifact, heat: HeatLimits
    ) -> None:
        self._phone, self._spec = phone, spec
        self._dialect = dialect_of(spec.runtime)
        runner = library.find(spec.runtime, phone.facts.abis, phone.facts.interpreters)
        self._place = place_runner(phone.link, runner, self._dialect)
        cache = ModelCache(phone, self._dialect.model_format)
        for error in cache.load([model]).values():
            raise no_number(model.path.name, error)
        self._path, self._visit = cache.path_of(model), Visit(model, _RUNS, _WARMUP)
        self._heat = HeatKeeper(heat)
        self._campaigns: dict[str, Campaign] = {}

    def run(self, lane: _Lane) -> float:
        """Return milliseconds of one launch's median.

        Raises:
            DeviceError: ``ADB90``: it gave no number; the phone is gone, or does not pin.
        """
        campaign = self._campaigns.get(lane.mask)
        if campaign is None:
            campaign = self._campaigns[lane.mask] = Campaign(self._phone, self._place, lane.mask, self._heat)
        job = job_of(
            self._path,
            _RUNS,
            _WARMUP,
            place=0,
            dialect=self._dialect,
            threads=lane.threads,
            delegate=self._spec.delegate or self._dialect.default_delegate,
            deadline_s=_LAUNCH_S,
        )
        (launched,) = campaign.run([job])
        event = event_of(self._visit, launched, self._dialect)
        if event.error:
            raise no_number(f"mask {lane.mask}, threads {lane.threads}", event.error)
        return sorted(sample.value_ms for sample in event.samples)[len(event.samples) // 2]


def no_number(value: str, why: str) -> DeviceError:
    """Return the error for a launch of the checkup that gave no number."""
    fix = "see the rows above; else run the network with 'mnas bench'"
    return DeviceError("ADB90", "a launch of the checkup gave no number", value=value, why=why, fix=fix)


def ratio_of(times_ms: Sequence[float], to_ms: Sequence[float]) -> Estimate:
    """Return how long one takes over how long the other does, both measured once a round."""
    rounds = range(len(times_ms))
    estimator = RatioEstimator((), quantile=0.5, resamples=500, seed=0)
    return estimator.ratio(Runs.of(times_ms, rounds), to=Runs.of(to_ms, range(len(to_ms))))


def judge_clusters(ratio: Estimate, is_simulated: bool) -> Check:
    """Judge the time on big cores over that on little ones: it must not be larger than 1 by the whole interval.

    Of a simulated phone it says nothing: its clusters are equal cores of this machine.
    """
    name, found = "big against little", f"big cores take {_show(ratio)} of the little ones' time"
    low, high = ratio.interval or (0.0, float("inf"))
    if is_simulated:
        return Check(name, f"{found}; made-up clusters, so this says nothing", "ok")
    if low > 1:
        return Check(name, f"{found}: SLOWER", "broken", "clusters are mixed up or pins do not hold: report the model")
    words = "pinning shows no effect: compare again on a cool phone, and report the model if it stays"
    return Check(name, found, *judged(high < 1, words, "warn"))


def _speeds(clusters: Sequence[Cluster], times: Mapping[_Lane, Sequence[float]]) -> Check:
    parts = []
    for one in clusters:
        values = sorted(times[_Lane(one.mask)])
        parts.append(f"{one.name} {values[len(values) // 2]:.3f} ms")
    words = ", ".join(parts) or "the phone tells nothing of its cores"
    return Check("speed of the clusters", words, "ok" if parts else "absent")


def _show(ratio: Estimate) -> str:
    low, high = ratio.interval or (float("nan"), float("nan"))
    return f"{ratio.value:.2f} ({low:.2f} to {high:.2f})"
