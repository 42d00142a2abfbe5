"""What a software phone tells of itself: the files behind ``dumpsys``, ``getprop`` and ``/sys``, for a test to change.

Every change holds at once, in the middle of a run as well.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HAL_TYPES = {"cpu": 0, "gpu": 1, "battery": 2, "skin": 3, "npu": 9}
COOL = {"cpu": 34.0, "gpu": 33.0, "battery": 27.1, "skin": 31.5}
CHARGING, DISCHARGING, NOT_CHARGING, FULL = 2, 3, 4, 5
MIN_KHZ = 300_000
_KHZ_PER_CAPACITY = 2_400
GOVERNORS = "conservative powersave performance schedutil"


class PhoneState:
    """The changeable state of one software phone.

    Args:
        folder: Its own folder; ``state`` appears in the phone as ``/phone_state``, ``sys`` as ``/sys``.
        capacities: ``cpu_capacity`` of each core; its highest frequency follows from it. A core that this machine has
            not can be named: ``taskset`` then fails on it, as on a core that is off.
    """

    def __init__(self, folder: Path, capacities: Mapping[int, int]) -> None:
        self.capacities = dict(capacities)
        self._state = folder / "state"
        self._sys = folder / "sys"
        self._players: list[tuple[threading.Thread, threading.Event]] = []

    def write(self, name: str, text: str) -> None:
        """Replace one file below ``/phone_state``."""
        _replace(self._state / name, text, 0o666)

    def read(self, name: str) -> str:
        """Return one file below ``/phone_state`` without the end of line; "" where there is none."""
        path = self._state / name
        return path.read_text().strip() if path.exists() else ""

    def reset_state(self) -> None:
        """Awake, cool, charged, uncapped, all cores on, honest; settings and properties stay as they are."""
        self.stop_playing()
        names = ("lie", "lie_once", "power/no_fixed_performance", "power/fixed_performance", "power/fixed_percent")
        for name in names:
            (self._state / name).unlink(missing_ok=True)
        for name in ("no_service", "silent_service"):
            shutil.rmtree(self._state / name, ignore_errors=True)
        self.set_battery(level=87, temperature_c=27.1, status=CHARGING, updates_stopped=False)
        self.write("battery/ac", "false")
        self.write("battery/usb", "true")
        self.set_thermal(0, COOL)
        self.set_screen(True)
        for space in ("global", "system", "secure"):
            shutil.rmtree(self._state / "settings" / space, ignore_errors=True)
            _make_open(self._state / "settings" / space)
        for name in ("low_power", "stay_on_while_plugged_in"):
            self.write(f"settings/global/{name}", "0")
        self.set_online(self.capacities)

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Replace all that ``getprop`` shows."""
        self.write("properties", "".join(f"{name}={value}\n" for name, value in properties.items()))

    def set_battery(
        self,
        level: int | None = None,
        temperature_c: float | None = None,
        status: int | None = None,
        updates_stopped: bool | None = None,
    ) -> None:
        """Change what ``dumpsys battery`` says; what is not named stays."""
        tenths = None if temperature_c is None else round(temperature_c * 10)
        stopped = None if updates_stopped is None else str(updates_stopped).lower()
        for name, value in zip(
            ("level", "temperature", "status", "updates_stopped"), (level, tenths, status, stopped), strict=True
        ):
            if value is not None:
                self.write(f"battery/{name}", str(value))

    def set_thermal(
        self,
        status: int = 0,
        temperatures_c: Mapping[str, float] | None = None,
        *,
        cached_c: Mapping[str, float] | None = None,
        hal_ready: bool = True,
        is_override: bool = False,
    ) -> None:
        """Change what ``dumpsys thermalservice`` and ``/sys/class/thermal`` say.

        Args:
            status: 0 none to 6 shutdown.
            temperatures_c: By name: cpu, gpu, battery, skin, npu; None leaves them as they are.
            cached_c: What Android keeps as ``Cached temperatures``, stale where it differs.
            hal_ready: Without it only the cached ones are shown.
            is_override: Whether the status was set by a test.
        """
        self.write("thermal/status", str(status))
        self.write("thermal/hal", str(hal_ready).lower())
        self.write("thermal/override", str(is_override).lower())
        if temperatures_c is not None:
            self.write("thermal/temperatures", _hal_lines(temperatures_c, status))
            self.write("thermal/cached", _hal_lines(temperatures_c if cached_c is None else cached_c, status))
            self._write_zones(temperatures_c)

    def set_screen(self, is_on: bool) -> None:
        """Wake the phone or send it to sleep."""
        self.write("power/wakefulness", "Awake" if is_on else "Asleep")

    def setting(self, name: str, space: str = "global") -> str:
        """Return one of Android's settings; "" where it is not set."""
        return self.read(f"settings/{space}/{name}")

    def set_setting(self, name: str, value: str, space: str = "global") -> None:
        """Change one of Android's settings from outside, as a person in the menus does."""
        self.write(f"settings/{space}/{name}", value)

    @property
    def fixed_performance(self) -> str:
        """What ``cmd power set-fixed-performance-mode-enabled`` was last called with; "" before the first call."""
        return self.read("power/fixed_performance")

    def hold_clocks_by_fixed_performance(self, percent: int) -> None:
        """Let fixed performance mode hold all clocks at a share of their highest; without this it changes none."""
        self.write("power/fixed_percent", str(percent))
        for core in self.capacities:
            # Written by the shim, which is the phone's own user and acts for a service of root's.
            (self._sys / f"devices/system/cpu/cpu{core}/cpufreq/scaling_max_freq").chmod(0o666)

    def remove_service(self, name: str) -> None:
        """Let ``dumpsys NAME`` answer that there is no such service, as an older Android does."""
        _make_open(self._state / "no_service")
        self.write(f"no_service/{name}", "")

    def silence_service(self, name: str) -> None:
        """Let ``dumpsys NAME`` say nothing, as one does that is given up since its service hangs."""
        _make_open(self._state / "silent_service")
        self.write(f"silent_service/{name}", "")

    def restore_service(self, name: str) -> None:
        """Undo `remove_service` and `silence_service`."""
        for kind in ("no_service", "silent_service"):
            (self._state / kind / name).unlink(missing_ok=True)

    def lie(self, kind: str, *, once: bool = False) -> None:
        """Tell ``lying_runner`` how to misbehave (its source lists the kinds), for one launch or from now on."""
        self.write("lie_once" if once else "lie", kind)

    def set_online(self, cores: Sequence[int] | Mapping[int, int]) -> None:
        """Switch cores on and all others off; as on a phone, the frequency files of those that are off vanish."""
        root = self._sys / "devices/system/cpu"
        for name, listed in (("possible", self.capacities), ("present", self.capacities), ("online", cores)):
            _replace(root / name, ",".join(str(core) for core in sorted(listed)))
        for core, capacity in self.capacities.items():
            _replace(root / f"cpu{core}/cpu_capacity", str(capacity))
            _replace(root / f"cpu{core}/online", str(int(core in cores)))
            if core in cores:
                self._write_frequencies(core)
            else:
                shutil.rmtree(root / f"cpu{core}/cpufreq", ignore_errors=True)

    def max_khz(self, core: int) -> int:
        """Return the highest frequency of a core."""
        return self.capacities[core] * _KHZ_PER_CAPACITY

    def set_frequency_cap(self, core: int, khz: int | None) -> None:
        """Cap a core as a hot phone does; None takes the cap away."""
        cap = self.max_khz(core) if khz is None else khz
        self._write_cpufreq(core, {"scaling_max_freq": cap, "scaling_cur_freq": cap})

    def set_governor(self, name: str, cores: Sequence[int] | None = None) -> None:
        """Set the governor of cores; None is all."""
        for core in self.capacities if cores is None else cores:
            self._write_cpufreq(core, {"scaling_governor": name})

    def set_boot_id(self) -> str:
        """Give the phone another boot id and return it."""
        fresh = str(uuid.uuid4())
        # In place: the file is mounted over the kernel's own, and a mount follows the file, not its name.
        with (self._state / "boot_id").open("r+") as handle:
            handle.write(fresh + "\n")
        return fresh

    def play(self, steps: Sequence[tuple[float, Callable[[], None]]]) -> None:
        """Call each step's function at its time, seconds from now, in the background."""
        ended = threading.Event()

        def run() -> None:
            now = 0.0
            for at_s, change in steps:
                if ended.wait(max(0.0, at_s - now)):
                    return
                change()
                now = at_s

        player = threading.Thread(target=run, name="phone-state", daemon=True)
        self._players.append((player, ended))
        player.start()

    def stop_playing(self) -> None:
        """End what `play` began, and wait for it."""
        while self._players:
            player, ended = self._players.pop()
            ended.set()
            player.join()

    def _make_folders(self) -> None:
        for name in ("", "battery", "thermal", "power", "settings"):
            _make_open(self._state / name)
        (self._state / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self._sys.mkdir(parents=True, exist_ok=True)

    def _write_frequencies(self, core: int) -> None:
        top = self.max_khz(core)
        values = {
            "cpuinfo_min_freq": MIN_KHZ,
            "cpuinfo_max_freq": top,
            "scaling_min_freq": MIN_KHZ,
            "scaling_max_freq": top,
            "scaling_cur_freq": top,
            "scaling_governor": "schedutil",
            "scaling_available_governors": GOVERNORS,
            "scaling_available_frequencies": f"{MIN_KHZ} {top // 2} {top}",
            "related_cpus": " ".join(str(other) for other in self.capacities if self.max_khz(other) == top),
        }
        self._write_cpufreq(core, values)

    def _write_cpufreq(self, core: int, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            _replace(self._sys / f"devices/system/cpu/cpu{core}/cpufreq/{name}", str(value))

    def _write_zones(self, temperatures_c: Mapping[str, float]) -> None:
        for place, (name, celsius) in enumerate(temperatures_c.items()):
            zone = self._sys / f"class/thermal/thermal_zone{place}"
            _replace(zone / "type", f"{name}-thermal")
            _replace(zone / "temp", str(round(celsius * 1000)))


def _hal_lines(temperatures_c: Mapping[str, float], status: int) -> str:
    lines = ""
    for name, celsius in temperatures_c.items():
        lines += f"{name} {HAL_TYPES[name]} {celsius} {status if name == 'skin' else 0}\n"
    return lines


def _make_open(folder: Path) -> None:
    """Make a folder in which the phone's own user may write: its shims act for Android's services, which are root's."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)


def _replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{threading.get_ident()}")
    fresh.write_text(text if text.endswith("\n") else text + "\n")
    fresh.chmod(mode)
    fresh.rename(path)
