#!/bin/sh
# The first process of a software phone's namespaces: makes its file system, then becomes its init.
#
#     enter.sh IMAGE ROOT STATE SYS STORAGE ARGUMENTS...
#
# IMAGE (shared, read only) appears at ROOT, an empty folder; STATE and SYS are this phone's own folders; STORAGE are
# mount options of /data/local/tmp; ARGUMENTS go to /init. All mounts are in a mount namespace of their own, so that
# nothing is left of them when the last process of the phone has ended.
set -eu
image=$1 root=$2 state=$3 sys=$4 storage=$5
shift 5

mount --make-rprivate /
echo localhost >/proc/sys/kernel/hostname
mount --bind "$image" "$root"
mount -o remount,bind,ro "$root"

# Its own /proc; of this machine's kernel it may change nothing.
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
[ ! -e "$root/proc/sysrq-trigger" ] || mount --bind /dev/null "$root/proc/sysrq-trigger"
mount --bind "$state/boot_id" "$root/proc/sys/kernel/random/boot_id"

mount --bind "$sys" "$root/sys"
mount --bind "$state" "$root/phone_state"

mount -t tmpfs -o mode=0755,size=1m dev "$root/dev"
for name in null zero full random urandom tty; do
  : >"$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

mount -t tmpfs -o mode=0771,size=4m data "$root/data"
mkdir -p "$root/data/local/tmp"
chmod 0771 "$root/data/local"
mount -t tmpfs -o "mode=0771,uid=2000,gid=2000,nosuid,nodev,$storage" storage "$root/data/local/tmp"

exec chroot "$root" /system/bin/env -i PATH=/system/bin:/vendor/bin ANDROID_ROOT=/system ANDROID_DATA=/data \
  TMPDIR=/data/local/tmp HOSTNAME=localhost /init "$@"
