"""A phone made of a folder: this machine's own shell runs the scripts, small programs stand for Android's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from devices.adb.link import Completed
from devices.adb.server import TransportRow

SHELL = os.environ.get("MNAS_TEST_SHELL", "/bin/sh")

_PROGRAMS = {
    "df": 'exec /bin/df -k "$PHONE"',
    "getprop": 'cat "$PHONE/props"',
    "dumpsys": """case $1 in power) [ -r "$PHONE/power" ] && exec cat "$PHONE/power";; esac
if [ -r "$PHONE/$1" ]; then cat "$PHONE/$1"; else echo "Can't find service: $1"; fi""",
    "settings": """f=$PHONE/settings.$2.$3
case $1 in
get) if [ -r "$f" ]; then cat "$f"; else echo null; fi;;
put) [ -e "$PHONE/settings-denied" ] && { echo "Security exception: not allowed"; exit 255; }; echo "$4" > "$f";;
delete) rm -f "$f"; echo "Deleted 1 rows";;
esac""",
    "svc": """[ "$1 $2" = "power stayon" ] || { echo usage; exit 1; }
[ -e "$PHONE/settings-denied" ] && exit 1
case $3 in true) v=15;; *) v=0;; esac; echo $v > "$PHONE/settings.global.stay_on_while_plugged_in\"""",
    "cmd": """if [ -r "$PHONE/cmd-says" ]; then cat "$PHONE/cmd-says" >&2; exit "$(cat "$PHONE/cmd-rc")"; fi
echo "$3" > "$PHONE/fixed-performance\"""",
    "input": """case $2 in 224) w=Awake s=ON;; *) w=Asleep s=OFF;; esac
printf '  mWakefulness=%s\\nDisplay Power: state=%s\\n' $w $s > "$PHONE/power\"""",
}

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  present: true
  level: 80
  scale: 100
  temperature: {tenths}
"""
THERMAL = """IsStatusOverride: {override}
Thermal Status: {status}
Cached temperatures:
	Temperature{{mValue=77.0, mType=3, mName=skin, mStatus=0}}
HAL Ready: true
Current temperatures from HAL:
	Temperature{{mValue={skin_c}, mType=3, mName=skin, mStatus=0}}
Current cooling devices from HAL:
"""


class LocalPhone:
    """A folder with what a phone tells; it is its own link.

    Attributes:
        files: What the programs read, and the fake /sys and /proc below ``root``.
        path: PATH with the phone's programs first.
        round_trips: Scripts that were run.
        before: Called before each script.
        shell: The words before a script.
        lost: The link breaks: what is run ends so, after its first `cut` characters.
    """

    def __init__(self, folder: Path, serial: str = "LOCAL1") -> None:
        self.serial = serial
        self.files = folder / "phone"
        self.root = self.files / "root"
        self.work_dir = str(folder / "data" / "mnas")
        self.round_trips = 0
        self.lost = False
        self.cut: int | None = None
        self.before: Callable[[], None] = lambda: None
        self.shell = [SHELL, "-c"]
        programs = folder / "bin"
        for place in (programs, self.root / "sys/devices/system/cpu", self.root / "proc/sys/kernel/random"):
            place.mkdir(parents=True)
        for name, text in _PROGRAMS.items():
            (programs / name).write_text(f'#!/bin/sh\nPHONE={self.files}\necho "{name} $*" >> "$PHONE/calls"\n{text}\n')
            (programs / name).chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"
        self.environment = {"PATH": self.path}
        self.write("props", f"[ro.serialno]: [{serial}]\n[ro.product.model]: [Local]\n")
        self.write("root/proc/sys/kernel/random/boot_id", "boot-1\n")
        self.write("power", "  mWakefulness=Awake\nDisplay Power: state=ON\n")
        self.heat(skin_c=30.0)

    def write(self, name: str, text: str) -> None:
        """Write a file below `files`."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        """Return the text of a file below `files`, "" when there is none."""
        path = self.files / name
        return path.read_text() if path.exists() else ""

    def heat(self, skin_c: float, status: int = 0, override: str = "false", battery_c: float = 28.0) -> None:
        """Set what the phone tells of its heat."""
        self.write("thermalservice", THERMAL.format(skin_c=skin_c, status=status, override=override))
        self.write("battery", BATTERY.format(tenths=round(battery_c * 10)))

    def cpu(self, number: int, **values: object) -> None:
        """Write a core's files: capacity, and those of its clock."""
        place = f"root/sys/devices/system/cpu/cpu{number}"
        self.write(f"{place}/online", "1\n")
        for name, value in values.items():
            self.write(f"{place}/{'' if name == 'cpu_capacity' else 'cpufreq/'}{name}", f"{value}\n")

    def run_script(
        self,
        text: str,
        *,
        deadline_s: float,
        on_line: Callable[[str], None] | None = None,
        limit_bytes: int = 0,
        token: str = "",
    ) -> Completed:
        """Run a script in this machine's shell."""
        self.round_trips += 1
        self.before()
        started = time.monotonic()
        environment = {**self.environment, **({"MNAS_TOKEN": token} if token else {})}
        try:
            done = subprocess.run(
                [*self.shell, text], env=environment, capture_output=True, text=True, timeout=deadline_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            out = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else ""
            return Completed(None, out, "", "deadline", time.monotonic() - started)
        seconds = time.monotonic() - started
        if self.lost:
            return Completed(None, done.stdout[: self.cut], "", "lost", seconds, "the cable was pulled")
        return Completed(done.returncode, done.stdout, done.stderr, "exit", seconds)


class LocalServer:
    """An adb server of such phones.

    Attributes:
        address: Of nobody.
        rows: What ``adb devices -l`` shows.
        phones: By serial of the transport.
    """

    def __init__(self, rows: list[TransportRow], phones: dict[str, LocalPhone]) -> None:
        self.rows, self.phones = rows, phones
        self.address = "local:5037"

    def details(self) -> list[TransportRow]:
        """Return the rows."""
        return self.rows

    def link(self, serial: str) -> LocalPhone:
        """Return the phone itself."""
        return self.phones[serial]
