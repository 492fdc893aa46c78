#!/bin/sh
# dpkg says "remove" and rpm 0 when the package goes; both call this for an upgrade as well.
set -e
case "$1" in
  remove | 0) ;;
  *) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl --no-reload disable --now leasehold.service || true
