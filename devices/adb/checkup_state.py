"""Checks of what a phone tells of itself, and that each setting that is changed is put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devices.adb.checklist import Check, Verdict, judged
from devices.adb.cleaning import look_for_leftovers
from devices.adb.control_list import DEFAULT_CONTROLS
from devices.adb.controls import Controls, Outcome
from devices.adb.fitness import obstacles
from devices.adb.journal import Journal
from devices.adb.link import WORK_DIR, AdbLink
from devices.adb.parsers.thermal import STATUS_NAMES
from devices.adb.phones import describe_clusters
from devices.adb.probe import PhoneFacts

_LEAST_FREE_BYTES = 200_000_000
_NEEDED = ("taskset", "timeout", "sha256sum", "dumpsys", "settings", "svc", "cmd")
_MAY_STAY = (f"{WORK_DIR}/cache/", f"{WORK_DIR}/libraries/")


def check_identity(facts: PhoneFacts) -> Iterator[Check]:
    """Say which phone it is; of a simulated one that it is none."""
    name = " ".join(dict.fromkeys(part for part in (facts.manufacturer, facts.model) if part)) or "unknown"
    api = f" (API {facts.sdk})" if facts.sdk is not None else ""
    abis = ", ".join(facts.abis) or "no ABI told"
    found = f"{name}, SoC {facts.soc or 'unknown'}, Android {facts.android_version or '?'}{api}, {abis}"
    yield Check("phone", found, *judged(bool(facts.abis), "no runner can be chosen: report the phone's model"))
    if facts.is_simulated:
        words = "SIMULATED: a software phone; its times are this machine's, its clusters and heat are made up"
        yield Check("simulated", words, "warn", "verify a physical phone to learn something about phones")
    missing = [one for one in _NEEDED if one not in facts.has]
    shell = "root" if facts.root else f"user {facts.uid}"
    found = f"{shell}; {'lacks ' + ', '.join(missing) if missing else 'has all commands that are used'}"
    yield Check("shell", found, *judged(not missing, "some checks below will fail; a newer Android has them", "warn"))


def check_storage(facts: PhoneFacts) -> Iterator[Check]:
    """Look at the room below /data/local/tmp, and whether programs may run there."""
    free = facts.free_bytes
    found = "not told" if free is None else f"{free / 1e9:.2f} GB free in /data/local/tmp"
    is_enough = free is not None and free >= _LEAST_FREE_BYTES
    yield Check("free space", found, *judged(is_enough, "free 200 MB: models are kept there", "warn"))
    said: dict[bool | None, tuple[str, Verdict]] = {
        True: (f"a program in {WORK_DIR} runs", "ok"),
        False: (f"a program in {WORK_DIR} does not run", "broken"),
        None: ("could not be tried", "warn"),
    }
    words, verdict = said[facts.work_dir_executable]
    yield Check("programs run there", words, verdict, "" if verdict == "ok" else "use another phone, or root")


def check_cores(facts: PhoneFacts) -> Iterator[Check]:
    """Say what the phone tells of its cores and their clocks."""
    masks = ", ".join(f"{one.name} = mask {one.mask}" for one in facts.clusters)
    found = f"{describe_clusters(facts.clusters)} ({masks})" if masks else "the phone tells nothing of its cores"
    yield Check("clusters", found, *judged(bool(masks), "nothing is pinned, so numbers jump between cores", "warn"))
    off = [cpu for cpu in facts.possible_cpus if cpu not in facts.online_cpus]
    words = f"off: {', '.join(f'cpu{cpu}' for cpu in off)}" if off else "all on"
    yield Check("cores online", words, *judged(not off, "they cannot be measured on; wake the phone", "warn"))
    governors = ", ".join(sorted(set(facts.governors.values()))) or "not told"
    clocks = sorted(set(facts.cur_khz.values()))
    now = f"; clocks now {clocks[0] / 1e6:.2f} to {clocks[-1] / 1e6:.2f} GHz" if clocks else "; clocks not told"
    yield Check("governor", governors + now, "ok" if facts.governors else "absent")


def check_fitness(facts: PhoneFacts) -> Iterator[Check]:
    """Say how hot and how full the phone is, and all that speaks against measuring now."""
    yield _heat(facts)
    battery = facts.battery
    if battery is None:
        yield Check("battery", "nothing told", "absent")
    else:
        warmth = "" if battery.temperature_c is None else f", {battery.temperature_c:.1f} C"
        charging = {True: ", charging", False: ", not charging", None: ""}[battery.is_charging]
        level = "level not told" if battery.level is None else f"{battery.level} %"
        frozen = "; UPDATES STOPPED: none of this is true now" if battery.updates_stopped else ""
        yield Check("battery", level + warmth + charging + frozen, "warn" if battery.updates_stopped else "ok")
    saves = {True: "on", False: "off", None: "not told"}[facts.power_save]
    yield Check("power save", saves, "absent" if facts.power_save is None else "ok")
    screen = {True: "on", False: "off", None: "not told"}[facts.screen_on]
    yield Check("screen", screen, "absent" if facts.screen_on is None else "ok")
    against = obstacles(facts)
    for one in against:
        yield Check("fit for measuring", one.what, "broken" if one.is_grave and not one.passes else "warn", one.remedy)
    if not against:
        yield Check("fit for measuring", "nothing speaks against it now")


def _heat(facts: PhoneFacts) -> Check:
    thermal = facts.thermal
    if thermal is None or thermal.status is None:
        words = "no thermal service: launches are judged by clock caps alone"
        return Check("heat", words, "warn", "nothing; Android 10 and newer have it")
    sensors = ", ".join(f"{one.name} {one.value_c:.1f} C" for one in thermal.hal[:6])
    found = f"status {thermal.status} ({STATUS_NAMES[thermal.status]}); {sensors or 'no temperature from the HAL'}"
    remedy = "cooling down goes by the battery or by zones of the kernel"
    return Check("heat", found, *judged(bool(sensors), remedy, "warn"))


def check_settings(link: AdbLink, facts: PhoneFacts, folder: Path | None) -> Iterator[Check]:
    """Set each setting that is set for a session, read it back, and put it back; the caller holds the lease."""
    journal = Journal(facts.serialno or link.serial, folder=folder)
    controls = Controls(link, journal)
    for one in controls.restore():
        words = f"'{one.name}' was left changed by a run that died; now {one.now or one.old}"
        yield Check("left from before", words, *judged(one.is_done, one.note))
    try:
        made = controls.apply(DEFAULT_CONTROLS)
    finally:
        back = {one.name: one for one in controls.restore()}
    for one in made:
        yield _setting(one, back.get(one.name))


def _setting(made: Outcome, back: Outcome | None) -> Check:
    name = f"setting {made.name}"
    if not made.is_done:
        is_as_before = back is None or back.now in ("", made.old)
        words = f"could not be set: {made.note}"
        return Check(name, words, "warn" if is_as_before else "broken", "measuring goes on without it")
    if back is None:
        return Check(name, f"is {made.now}: {made.note}")
    is_back = back.is_done and back.now == made.old if back.now else back.is_done
    if made.now:
        found = f"was {made.old}, set and read back as {made.now}, put back and read back as {back.now}"
    else:
        found = f"set and put back to {made.old} without complaint; the phone does not tell it"
    if not is_back:
        found += f"; NOT PUT BACK: {back.note or back.now}"
    return Check(name, found, *judged(is_back, "'mnas devices clean' tries again"))


def check_leftovers(link: AdbLink, facts: PhoneFacts, folder: Path | None) -> Iterator[Check]:
    """See that nothing of ours runs, no setting waits to be put back, and only the cache lies there."""
    seen = look_for_leftovers(link)
    runs = ", ".join(f"{one.pid} {one.command[:40]}" for one in seen.found)
    yield Check("processes left", runs or "none", *judged(not runs, "'mnas devices clean'; then restart the phone"))
    strange = [path for path in seen.files if not path.startswith(_MAY_STAY)]
    kept = f"{len(seen.files)} files in the cache, {(seen.size_kib or 0) / 1024:.1f} MiB"
    found = f"not only the cache: {', '.join(strange[:5])}" if strange else kept
    yield Check("files left", found, *judged(not strange, "'mnas devices clean' removes all of it"))
    waiting = Journal(facts.serialno or link.serial, folder=folder).pending()
    names = ", ".join(f"{one.setting} (was {one.old})" for one in waiting)
    yield Check("settings left", names or "none", *judged(not waiting, "'mnas devices clean' puts them back"))
