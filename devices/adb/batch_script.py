"""Writes a batch as one POSIX shell script, for Android's mksh and any other ``sh``.

A launch starts the runner and no other program: all around it is done by the shell's own commands.
The runner writes into files and not into the link, so that adbd has nothing to do while it runs, and a runner that
never stops writing comes to the file-size limit. Of a file no more is read than a runner has to say: the limit itself
must be far above that, since shared memory counts among files.

The lines that the script prints, each after the batch's marker (`devices.adb.batch_events` reads them)::

    pinned MASK .                                   what the kernel says of the shell itself
    unpinned MASK ONLINE TEXT                       the mask was not taken; the script ends
    begin INDEX UPTIME CAPS CLOCKS ZONE .           caps and clocks in kHz with commas, "-" where unknown
    out|err|file INDEX                              and below it what the runner wrote
    end INDEX RC MASK UPTIME CAPS CLOCKS ZONE .
    heat UPTIME                                     and below it ``dumpsys thermalservice``
    stop hot|unread|capped|unpinned|killed .        launches that are left were not made
    strays /proc/PID/environ ... .                  what still runs with the batch's token
    done .
"""

from __future__ import annotations

from devices.adb.batch import STORAGE_LIMIT_BYTES, Batch, Launch
from devices.adb.quoting import TOKEN_VARIABLE, join_words, quote_word

_BLOCK_BYTES = 512
_EXIT_FOLDER, _EXIT_PIN = 70, 71

# In mksh `print` and `read -N` are built in and printf may be a program; elsewhere it is the other way round.
# Nobody may hear the script any more: a shell that comes up only after its link was lost makes its folder when the host
# has tidied up already, so it removes that itself.
_WORDS = r"""
NL='
'
drop() { kill $guard; cd / && rm -rf "$D"; exit 74; } 2>/dev/null
trap drop PIPE
case ${KSH_VERSION-} in
?*) say() { print -r -- "$1" || drop; }; slurp() { IFS= read -rN "$MOST" B <"$1" && big=1; } ;;
*) say() { printf '%s\n' "$1" || drop; }; slurp() { B=$(head -c "$MOST" "$1"); [ ${#B} -lt "$MOST" ] || big=1; } ;;
esac
say_file() {
  slurp "$2"
  while :; do case $B in *"$NL") B=${B%"$NL"} ;; *) break ;; esac; done
  say "$M $1$NL$B"
}
"""

# The mask without commas and leading zeros, as it was asked for.
_MASK = r"""
mask() {
  A=-
  while read -r a b; do case $a in Cpus_allowed:) A=$b; break ;; esac; done </proc/self/status
  while :; do
    case $A in *,*) A=${A%%,*}${A#*,} ;; 0?*) A=${A#0} ;; *) break ;; esac
  done
}
pin() {
  E=$(taskset -p "$K" $$ 2>&1)
  c=$?
  mask
  [ $c = 0 ] && [ "$A" = "$K" ] && { say "$M pinned $A ."; return; }
  x=; read -r x </sys/devices/system/cpu/online
  say "$M unpinned $A ${x:--} $E"
  leave 71
}
"""

# A zone is known by its type, and where it lies is for the phone to say. A service that gives no answer costs its whole
# deadline each time, so it is asked less often then.
_STATE = r"""
[ -n "$ZONE" ] && for f in /sys/class/thermal/thermal_zone*; do
  x=; read -r x <"$f/type"
  [ "$x" = "$ZONE" ] && { ZONEFILE=$f/temp; break; }
done 2>/dev/null
state() {
  u=0; read -r u x </proc/uptime
  k= l= hold=$CAPS
  for f in $CAPFILES; do
    x=; read -r x <"$f"
    k=$k,${x:--}
    case $x in ''|*[!0-9]*) ;; *) [ "$x" -lt "${hold%% *}" ] && capped=1 ;; esac
    hold=${hold#* }
  done
  for f in $CLOCKFILES; do x=; read -r x <"$f"; l=$l,${x:--}; done
  x=; [ -n "$ZONEFILE" ] && read -r x <"$ZONEFILE"
  k=${k#,} l=${l#,}
  s="$u ${k:--} ${l:--} ${x:--}"
} 2>/dev/null
heat() {
  [ -n "$HEAT" ] || return
  B=$($LIMIT dumpsys thermalservice 2>/dev/null </dev/null)
  say "$M heat $u
$B"
  next=$((${u%.*} + HEAT))
  case $B in
  *'IsStatusOverride: true'*) unread ;;
  *'Thermal Status: '[1-6]*) [ -n "$STOPS" ] && { say "$M stop hot ."; leave 0; } ;;
  *'Thermal Status: 0'*) ;;
  *) unread ;;
  esac
}
unread() {
  [ -n "$INSISTS" ] && { say "$M stop unread ."; leave 0; }
  read -r u x </proc/uptime
  next=$((${u%.*} + 10 * HEAT))
}
"""

# Each launch writes into files of its own, since a child of an earlier one may write late; they are emptied once read.
# One process beside the launches watches their deadlines. toybox's `timeout` would be one more program a launch, and
# some of its versions give 127 for a program that ends at once (seen: 0.8.12 of Debian). It wakes once a second, is
# started before the shell is pinned so that it stays off those cores, and ends a launch whose shell was killed. That it
# sees by having another parent: the dead shell stays a zombie until the guard is gone too, since adbd waits for all who
# hold the shell's stderr, and mksh holds a copy of it that cannot be closed.
_RUN = r"""
LIMIT=
command -v timeout >/dev/null 2>&1 && LIMIT='timeout -k 1 9'
guard() {
  trap 'kill $!; wait $!; exit' TERM
  n=0 last=
  while :; do
    MNAS_TOKEN= sleep 1 & wait $!
    x=; read -r x <now
    read -r p </proc/self/stat
    case $p in *") "?" $$ "*) ;; *) kill -9 ${x%% *}; exit ;; esac
    if [ "$x" != "$last" ]; then last=$x n=0; continue; fi
    n=$((n + 1))
    [ -n "$x" ] && [ $n -ge ${x##* } ] && kill -9 ${x%% *}
  done
}
run() {
  "$@" >"o$i" 2>"e$i" </dev/null &
  k=$!
  echo "$k $i $d" >now
  wait $k; c=$?
  : >now
} 2>/dev/null
L() {
  i=$1 d=$2 q=$3; shift 3
  capped= big=
  state
  [ -n "$HEAT" ] && [ "${u%.*}" -ge "$next" ] && { heat; state; }
  say "$M begin $i $s ."
  run "$@"
  mask; state
  say_file "out $i" "o$i"
  [ -s "e$i" ] && say_file "err $i" "e$i"
  : >"o$i" >"e$i"
  for f in $q; do [ -s "$f" ] && say_file "file $i" "$f"; done
  [ -n "$big" ] && c=153
  say "$M end $i $c $A $s ."
  [ $c -gt 128 ] && { say "$M stop killed ."; heat; leave 0; }
  [ -n "$K" ] && [ "$A" != "$K" ] && { say "$M stop unpinned ."; heat; leave 0; }
  [ -n "$STOPS" ] && [ -n "$capped" ] && { say "$M stop capped ."; heat; leave 0; }
}
"""

# Looked for after every batch: what one launch leaves running takes time from all that follow. A launch that crashed or
# was killed ends the batch, since its children may live on; the rest is made in another.
_LEAVE = r"""
leave() {
  kill $guard; wait $guard
  [ "$1" = 0 ] && {
    MNAS_TOKEN= grep -lszxF "MNAS_TOKEN=$MNAS_TOKEN" /proc/[0-9]*/environ >left 2>/dev/null
    B=
    while read -r x; do case $x in /proc/$$/*) ;; *) B="$B $x" ;; esac; done <left
    [ -n "$B" ] && say "$M strays$B ."
    say "$M done ."
  }
  cd / && rm -rf "$D"
  exit $1
} 2>/dev/null
"""


def write_script(batch: Batch) -> str:
    """Return the script of a batch; it is the same text for the same batch."""
    watch = batch.watch
    settings = {
        "guard": "",
        "M": batch.marker,
        "D": batch.folder,
        "K": batch.cpu_mask,
        "CAPFILES": " ".join(watch.cap_files),
        "CAPS": " ".join(map(str, watch.caps_khz)),
        "CLOCKFILES": " ".join(watch.clock_files),
        "ZONE": watch.zone,
        "ZONEFILE": "",
        "HEAT": str(watch.heat_every_s) if watch.reads_heat else "",
        "STOPS": "1" if watch.stops else "",
        "INSISTS": "1" if watch.insists else "",
        "MOST": str(batch.file_limit_bytes + 1),
        TOKEN_VARIABLE: batch.token,
    }
    lines = [f"{name}={quote_word(value)}" for name, value in settings.items()]
    head = [
        f"export {TOKEN_VARIABLE}",
        f"export LD_LIBRARY_PATH={quote_word(batch.library_path)}" if batch.library_path else "",
        _WORDS + _MASK + _STATE + _RUN + _LEAVE,
        f'mkdir -p "$D" && cd "$D" && echo $$ >pid || exit {_EXIT_FOLDER}',
        f"ulimit -f {max(STORAGE_LIMIT_BYTES, batch.file_limit_bytes) // _BLOCK_BYTES}",
        ": >now; guard >/dev/null 2>&1 </dev/null & guard=$!",
        'if [ -n "$K" ]; then pin; fi',
        "next=0; state; heat",
    ]
    return "\n".join([*lines, *head, *map(_launch_line, batch.launches), "state; heat", "leave 0", ""])


def _launch_line(launch: Launch) -> str:
    words = [str(launch.index), str(launch.deadline_s), launch.output_files, *launch.command]
    return "L " + join_words(words)
