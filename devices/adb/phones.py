"""The phones that can be seen: one row a phone, however many cables and networks it hangs on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from devices.adb.activity import Activity, activity_of
from devices.adb.cooling import heat_of
from devices.adb.lease import Holder, holder_of
from devices.adb.parsers.cpus import Cluster
from devices.adb.privacy import public_serial
from devices.adb.probe import PhoneFacts, probe
from devices.adb.quarantine import Quarantine, quarantine_of
from devices.adb.states import HELD, PhoneState, remedy_of, state_of
from devices.adb.ways import holder_on, remember_way, serialno_of_name
from mnas.errors import DeviceError

if TYPE_CHECKING:
    from devices.adb.server import AdbServer, TransportRow

Way = Literal["usb", "wifi", "emulator", "unknown"]

_ORDER: Sequence[Way] = ("usb", "unknown", "emulator", "wifi")
_MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Transport:
    """One way to a phone.

    Attributes:
        serial: What adb calls it: the phone's serial over USB, HOST:PORT over Wi-Fi.
        way: How it gets there.
        word: Adb's own word for its state.
        model: What the adb server tells of the phone's model, or "".
    """

    serial: str
    way: Way
    word: str
    model: str = ""

    @property
    def state(self) -> PhoneState:
        """What the word means."""
        return state_of(self.word)


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone.

    Attributes:
        serialno: Its own serial; that of its transport where it cannot be asked.
        transports: Ways to it, the best first.
        state: Of the best one, or ``quarantined``, or what its holder does with it, ``leased`` unless that is told.
        facts: ``None`` where it cannot be asked; of a phone in use only what does not change, since it is not asked.
        holder: Who holds its lease.
        activity: What the holder does with it.
        quarantine: Why it is left alone.
        runners: Names of the runners that are there for it.
        error: Why it could not be asked though adb calls it ready.
    """

    serialno: str
    transports: tuple[Transport, ...]
    state: PhoneState
    facts: PhoneFacts | None = None
    holder: Holder | None = None
    activity: Activity | None = None
    quarantine: Quarantine | None = None
    runners: tuple[str, ...] = ()
    error: str = ""

    @property
    def serial(self) -> str:
        """The transport to use: what stands in a device spec."""
        return self.transports[0].serial

    @property
    def is_held(self) -> bool:
        """A process has its lease."""
        return self.holder is not None and (self.state in HELD or self.state is PhoneState.LOST)

    @property
    def remedy(self) -> str:
        """What to do, "" where nothing is wrong."""
        if self.holder and self.activity and self.is_held:
            what = f"{self.activity.what}, since {self.activity.since_utc}; " if self.activity.what else ""
            return f"{what}in use: {self.holder}"
        if self.quarantine:
            return f"{self.quarantine.reason}; {remedy_of(PhoneState.QUARANTINED).replace('SERIAL', self.serial)}"
        return self.error or remedy_of(self.state, self.transports[0].word)

    def answers_to(self, serial: str) -> bool:
        """Whether a serial means this phone: its own, the public name of that, or that of a way to it."""
        own = (self.serialno, public_serial(self.serialno))
        return serial in own or any(serial == one.serial for one in self.transports)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON for this machine's eyes: it holds the serial."""
        return {
            "serial": self.serial,
            "serialno": self.serialno,
            "state": str(self.state),
            "remedy": self.remedy,
            "transports": [{"serial": one.serial, "way": one.way, "state": one.word} for one in self.transports],
            "lease": self._lease_json(),
            "runners": list(self.runners),
            **_facts_json(self.facts),
        }

    def _lease_json(self) -> dict[str, str] | None:
        if self.holder is None:
            return None
        told = self.activity
        doing = {"state": str(told.state), "doing": told.what, "state_since_utc": told.since_utc} if told else {}
        return {"pid": self.holder.pid, "since_utc": self.holder.since_utc, "what": self.holder.what, **doing}


def _facts_json(facts: PhoneFacts | None) -> dict[str, Any]:
    if facts is None:
        return {"is_simulated": False}
    heat = heat_of(facts)
    return {
        "manufacturer": facts.manufacturer,
        "model": facts.model,
        "soc": facts.soc,
        "android_version": facts.android_version,
        "sdk": facts.sdk,
        "abis": list(facts.abis),
        "is_simulated": facts.is_simulated,
        "clusters": [
            {
                "name": one.name,
                "cpus": list(one.cpus),
                "mask": one.mask,
                "capacity": one.capacity,
                "max_khz": one.max_khz,
            }
            for one in facts.clusters
        ],
        "online_cpus": list(facts.online_cpus),
        "temperature_c": heat.temperature_c,
        "temperature_sensor": heat.sensor,
        "thermal_status": heat.status,
        "battery_percent": facts.battery.level if facts.battery else None,
        "is_charging": facts.battery.is_charging if facts.battery else None,
        "free_bytes": facts.free_bytes,
        "is_root": facts.root,
    }


def list_phones(
    server: AdbServer,
    *,
    runners: Callable[[PhoneFacts], Iterable[str]] = lambda facts: (),
    deadline_s: float = 20.0,
    folder: Path | None = None,
) -> list[Phone]:
    """Return every phone that the adb server knows, asked all at once; one that a process holds is not asked.

    Args:
        server: The adb server, which runs.
        runners: What is known of a phone -> names of the runners that are there for it.
        deadline_s: Seconds for asking one phone.
        folder: The state folder, for tests.

    Raises:
        DeviceError: The adb server does not answer.
    """
    transports = [transport_of(row) for row in server.details()]
    reachable = [one for one in transports if one.state is PhoneState.READY]
    holders = {one: holder_on(server.address, one.serial, folder=folder) for one in reachable}
    ready = [one for one in reachable if holders[one] is None]

    def ask(transport: Transport) -> PhoneFacts | str:
        try:
            return probe(server.link(transport.serial), deadline_s=deadline_s, with_exec_check=False)
        except DeviceError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=max(1, min(len(ready), _MOST_AT_ONCE))) as pool:
        answers: dict[Transport, PhoneFacts | str] = dict(zip(ready, pool.map(ask, ready), strict=True))
    for one, facts in answers.items():
        if isinstance(facts, PhoneFacts):
            remember_way(server.address, one.serial, facts.serialno, folder=folder)
    told = {one: activity_of(holder, folder=folder).facts for one, holder in holders.items() if holder}
    phones = merge_transports(transports, {**answers, **told})
    return [_with_state_of_host(phone, runners, folder) for phone in phones]


def transport_of(row: TransportRow) -> Transport:
    """Return the way that a line of ``adb devices -l`` tells of."""
    way: Way = "unknown"
    if row.serial.startswith("emulator-"):
        way = "emulator"
    elif ":" in row.serial or "._tcp" in row.serial:
        way = "wifi"
    elif row.serial:
        way = "usb"
    return Transport(row.serial, way, row.state, row.model.replace("_", " "))


def merge_transports(transports: Sequence[Transport], answers: dict[Transport, PhoneFacts | str]) -> list[Phone]:
    """Return one phone for all transports with one ro.serialno, in the order of their first.

    A way that cannot be asked is known by its name alone: over USB that is the phone's serial, and over paired Wi-Fi
    the serial stands in it.

    Args:
        transports: All.
        answers: Transport -> what its phone told, or why it could not be asked.
    """
    ways: dict[str, list[Transport]] = {}
    for one in transports:
        ways.setdefault(_serialno(one, answers.get(one)), []).append(one)
    return [_merged(serialno, found, answers) for serialno, found in ways.items()]


def _serialno(transport: Transport, answer: PhoneFacts | str | None) -> str:
    if isinstance(answer, PhoneFacts) and answer.serialno:
        return answer.serialno
    return serialno_of_name(transport.serial)


def _merged(serialno: str, ways: list[Transport], answers: dict[Transport, PhoneFacts | str]) -> Phone:
    def rank(one: Transport) -> tuple[bool, bool, int]:
        is_ready = one.state is PhoneState.READY
        return (not isinstance(answers.get(one), PhoneFacts), not is_ready, _ORDER.index(one.way))

    ordered = sorted(ways, key=rank)
    answer = answers.get(ordered[0])
    if isinstance(answer, str):
        return Phone(serialno, tuple(ordered), PhoneState.LOST, error=answer)
    return Phone(serialno, tuple(ordered), ordered[0].state, facts=answer)


def _with_state_of_host(phone: Phone, runners: Callable[[PhoneFacts], Iterable[str]], folder: Path | None) -> Phone:
    """Add what this machine knows of a phone: who holds it, whether it is in quarantine, what can run on it."""
    boot_id = phone.facts.boot_id if phone.facts else ""
    holder = holder_of(phone.serialno, folder=folder)
    quarantine = quarantine_of(phone.serialno, boot_id, folder=folder)
    state = phone.state
    activity = activity_of(holder, folder=folder) if holder else None
    if state is PhoneState.READY:
        state = PhoneState.QUARANTINED if quarantine else activity.state if activity else state
    names = tuple(runners(phone.facts)) if phone.facts else ()
    return replace(phone, state=state, holder=holder, activity=activity, quarantine=quarantine, runners=names)


def describe_clusters(clusters: Sequence[Cluster]) -> str:
    """Return clusters in one line, the strongest first: ``1 big 3.00 GHz + 4 little 1.70 GHz``."""

    def one(cluster: Cluster) -> str:
        clock = f" {cluster.max_khz / 1e6:.2f} GHz" if cluster.max_khz else ""
        return f"{len(cluster.cpus)} {cluster.name}{clock}"

    return " + ".join(map(one, clusters))


def find_phone(phones: Sequence[Phone], serial: str = "") -> Phone:
    """Return the phone that a serial means, or the only one there is.

    Raises:
        DeviceError: ``ADB37``: there is no such phone, or several and none was named.
    """
    found = [one for one in phones if one.answers_to(serial)] if serial else list(phones)
    if len(found) == 1:
        return found[0]
    seen = ", ".join(one.serial for one in phones) or "none"
    if not found:
        why, fix = f"adb sees {seen}", remedy_of(PhoneState.ABSENT)
        raise DeviceError("ADB37", "there is no such phone", value=serial or None, why=why, fix=fix)
    raise DeviceError(
        "ADB37", "there are several phones", value=seen, why="none was named", fix="name one by its serial"
    )
