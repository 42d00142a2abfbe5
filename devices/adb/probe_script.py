"""The shell text that reads a phone: plain POSIX shell, few processes, and nothing in it can fail the whole."""

from __future__ import annotations

from devices.adb.parsers.sections import END, MARK

WORK_DIR = "/data/local/tmp/mnas"
"""All that the tool writes on a phone lies below it."""

PARENT_DIR = "/data/local/tmp"
COMMANDS = (
    *("taskset", "timeout", "sha256sum", "setsid", "nohup", "chrt", "nice", "ps", "find", "awk"),
    *("dumpsys", "settings", "svc", "cmd", "input", "stat", "du", "gzip", "tar", "su"),
)
"""Commands that some phones lack."""

_HEAD = """
sec() { printf '\\n%s %s\\n' '@MARK' "$1"; }
v() { x=; [ -r "$1" ] && { read -r x < "$1" || :; } 2>/dev/null; }
t=; command -v timeout >/dev/null 2>&1 && t='timeout 4'
"""

_IDENTITY = """
sec props; getprop 2>&1
sec boot_id; cat @ROOT/proc/sys/kernel/random/boot_id 2>/dev/null
sec uid; id -u 2>/dev/null
sec has; for c in @COMMANDS; do command -v $c >/dev/null 2>&1 && echo $c; done
sec df; df -k @PARENT 2>/dev/null || df @PARENT 2>&1
sec possible; cat @ROOT/sys/devices/system/cpu/possible 2>/dev/null
"""

_CONDITIONS = """
sec online; cat @ROOT/sys/devices/system/cpu/online 2>/dev/null
sec cores
for d in @ROOT/sys/devices/system/cpu/cpu[0-9]*; do
  [ -d "$d" ] || continue
  l=${d##*/}
  for p in capacity=cpu_capacity max=cpufreq/cpuinfo_max_freq limit=cpufreq/scaling_max_freq \\
      cur=cpufreq/scaling_cur_freq governor=cpufreq/scaling_governor; do
    v "$d/${p#*=}"; l="$l ${p%%=*}=${x%% *}"
  done
  v "$d/cpufreq/related_cpus"; r=; for n in $x; do r="$r,$n"; done
  echo "$l related=${r#,}"
done
sec zones
for d in @ROOT/sys/class/thermal/thermal_zone*; do
  [ -r "$d/temp" ] || continue
  v "$d/temp"; c=$x; v "$d/type"; [ -n "$c" ] && [ -n "$x" ] && echo "${d##*/} $c $x"
done
sec loadavg; cat @ROOT/proc/loadavg 2>/dev/null
sec uptime; cat @ROOT/proc/uptime 2>/dev/null
sec battery; $t dumpsys battery 2>&1
sec thermal; $t dumpsys thermalservice 2>&1
sec low_power; $t settings get global low_power 2>&1
sec power; $t dumpsys power 2>/dev/null | grep -E 'mWakefulness=|Display Power: |mLowPowerModeE|mIsPowerSave'
"""

# Said only once the file is gone, and deaf to a link that breaks meanwhile, since either would leave the file behind.
# A file that vanished was swept away by another program, and says nothing of the folder.
_EXEC = """
sec exec
mkdir -p @WORK 2>/dev/null
f=@WORK/.exec-check.$$ x=
trap '' HUP PIPE
if printf '#!%s\\nexit 0\\n' "$(command -v sh)" > "$f" 2>/dev/null && chmod 700 "$f" 2>/dev/null; then
  if "$f" >/dev/null 2>&1; then x=yes; elif [ -e "$f" ]; then x=no; fi
fi
rm -f "$f"
[ -z "$x" ] || echo $x
"""

_TAIL = f"sec {END}\n"


def _fill(text: str, root: str, work_dir: str) -> str:
    return (
        text.replace("@MARK", MARK)
        .replace("@ROOT", root)
        .replace("@WORK", work_dir)
        .replace("@PARENT", work_dir.rpartition("/")[0] or "/")
        .replace("@COMMANDS", " ".join(COMMANDS))
    )


def probe_script(*, root: str = "", work_dir: str = WORK_DIR, with_exec_check: bool = True) -> str:
    """Return the text that prints everything, as sections that `devices.adb.probe.read_facts` reads.

    Args:
        root: Put before /proc and /sys.
        work_dir: Working folder on the phone, whose parent's file system is asked for its room.
        with_exec_check: Try to run a program there, which makes the folder.
    """
    return _fill(_HEAD + _IDENTITY + _CONDITIONS + (_EXEC if with_exec_check else "") + _TAIL, root, work_dir)


def conditions_script(*, root: str = "", only_kernel: bool = False) -> str:
    """Return the text that prints what changes while a phone measures, for `devices.adb.probe.read_conditions`.

    Args:
        root: Put before /proc and /sys.
        only_kernel: Leave out the services, which cost some 100 ms of the phone's time.
    """
    middle = _CONDITIONS.partition("sec battery")[0] if only_kernel else _CONDITIONS
    return _fill(_HEAD + middle + _TAIL, root, WORK_DIR)
