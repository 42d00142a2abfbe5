"""The shell text that finds, ends and removes what is ours on a phone."""

from __future__ import annotations

import shlex

from devices.adb.parsers.sections import END, MARK
from devices.adb.probe_script import WORK_DIR
from devices.adb.quoting import TOKEN_VARIABLE

# Found are processes with the marker in their environment, or whose program or working folder lies below ours, and
# all their descendants. Left out are this shell and its ancestors; its own children are younger than the list.
# `ls -l` and `cat` read all of /proc in one process each; a process a file would cost seconds on a phone.
# No here-documents: they need free storage.
_FIND = r"""
sec() { printf '\n%s %s\n' '@MARK' "$1"; }
stats() { cat /proc/[0-9]*/stat 2>/dev/null; }
parents() {
  stats | while read -r l; do
    r=${l##*) }; s=${r%% *}; r=${r#* }
    case $s in Z|X) ;; *) echo "${l%% *}:${r%% *}" ;; esac
  done
}
marked() {
  @VARIABLE= grep @MATCH /proc/[0-9]*/environ 2>/dev/null
  ls -l /proc/[0-9]*/exe /proc/[0-9]*/cwd 2>/dev/null | while read -r l; do
    case ${l#* -> } in @WORK|@WORK/*) l=${l%% -> *}; echo "/proc/${l##*/proc/}" ;; esac
  done
}
find_ours() {
  T=$(parents)
  own=" $$ " p=$$
  while :; do
    q=
    for e in $T; do [ "${e%:*}" = "$p" ] && q=${e#*:} && break; done
    case $q in ''|0) break ;; esac
    own="$own$q " p=$q
  done
  set=' '
  for f in $(marked); do f=${f#/proc/}; set="$set${f%%/*} "; done
  grown=1
  while [ -n "$grown" ]; do
    grown=
    for e in $T; do
      a=${e%:*} b=${e#*:}
      case $set in *" $a "*) continue ;; *" $b "*) case $own in *" $b "*) ;; *) set="$set$a " grown=1 ;; esac ;; esac
    done
  done
  found=
  for e in $T; do
    a=${e%:*}
    case $own in *" $a "*) continue ;; esac
    case $set in *" $a "*) found="$found $a" ;; esac
  done
}
tell() { for p in $found; do n=$(tr '\000\n' '  ' 2>/dev/null </proc/$p/cmdline); echo "$p ${n:-?}"; done; }
"""

# Children that are born between looking and killing are found by looking again. A zombie is dead.
_KILL = r"""
send() { for p in $found; do kill -$1 $p 2>/dev/null; done; }
gone() {
  n=$1
  while :; do
    find_ours
    [ -z "$found" ] && return
    [ $n -gt 0 ] || return
    n=$((n-1)); sleep 0.2
  done
}
sec found; find_ours; tell
if [ -n "$found" ]; then
  send TERM; gone @PATIENCE
  for i in 1 2 3 4 5; do
    [ -n "$found" ] || break
    send KILL; gone 3
  done
fi
sec left; tell
"""

_LOOK = r"""
sec found; find_ours; tell
"""

_SIZE = r"""
sec files
if [ -L @WORK ] || [ ! -d @WORK ]; then ls -ld @WORK 2>/dev/null; else
  find @WORK -type f 2>/dev/null
fi
sec size; du -sk @WORK 2>/dev/null
"""

# Without a slash at its end: a link put there in the folder's place is removed, not what it points to.
_REMOVE = r"""
sec remove; rm -rf @WORK 2>&1
sec still; ls -ld @WORK 2>/dev/null
"""


def cleaning_script(
    *,
    token: str = "",
    work_dir: str = WORK_DIR,
    kills: bool = True,
    removes: bool = True,
    patience_s: float = 1.0,
    variable: str = TOKEN_VARIABLE,
) -> str:
    """Return the text; it prints ``found``, ``left``, ``files``, ``size``, ``remove`` and ``still`` as sections.

    Args:
        token: Only processes with this marker (and their descendants, and those by program or working folder); ""
            is any marker.
        work_dir: Our folder on the phone.
        kills: End what is found; else only look.
        removes: Remove the folder; else only look.
        patience_s: Seconds between TERM and KILL.
        variable: Name of the marker in the environment.
    """
    # -x and -z: the whole entry of the environment, so that one token is not another's beginning.
    match = f"-lszxF {shlex.quote(f'{variable}={token}')}" if token else f"-lszE {shlex.quote(f'^{variable}=.')}"
    parts = [_FIND, _KILL if kills else _LOOK]
    if not token or removes:
        parts.append(_SIZE)
    if removes:
        parts.append(_REMOVE)
    text = "".join(parts) + f"sec {END}\n"
    steps = max(1, round(patience_s / 0.2))
    for name, value in (("PATIENCE", str(steps)), ("MATCH", match), ("VARIABLE", variable), ("WORK", work_dir)):
        text = text.replace(f"@{name}", value)
    return text.replace("@MARK", MARK)
