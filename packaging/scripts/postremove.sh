#!/bin/sh
# The state file goes with "apt purge" alone: it is sealed, and the next installation may go on with it.
set -e
if [ "$1" = purge ]; then
  rm -rf /var/lib/private/leasehold
  rm -f /var/lib/leasehold
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || true
