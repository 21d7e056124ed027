#!/usr/bin/env bash
# Runs a command in the unpacked image as a container runtime would with --read-only --cap-drop ALL: its root file system
# read-only, as the image's user, without capabilities, with nothing of this machine but the network.
#   tools/image/run.sh ROOT CONFIG LOGS COMMAND…
# CONFIG is mounted read-only at /etc/devin-gateway, LOGS writable at /var/log/devin-gateway. The environment is passed on.
# It needs root, util-linux and libcap2-bin.
set -euo pipefail
root=$1 config=$2 logs=$3
shift 3
mkdir -p "$root/etc/devin-gateway" "$root/proc" "$root/dev" "$root/tmp"
exec unshare --mount --propagation private bash -euc '
  root=$1 config=$2 logs=$3; shift 3
  mount --bind "$root" "$root"
  mount --bind "$config" "$root/etc/devin-gateway"
  mount -o remount,bind,ro "$root/etc/devin-gateway"
  mount --bind "$logs" "$root/var/log/devin-gateway"
  mount --rbind /proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -o remount,bind,ro "$root"
  exec capsh --chroot="$root" --drop=all --groups= --gid=10001 --uid=10001 --shell=/bin/bash -- -c "cd /opt/devin-gateway && exec \"\$@\"" run "$@"
' run "$root" "$config" "$logs" "$@"
