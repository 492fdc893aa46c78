#!/bin/sh
# After an installation the service waits for its configuration: it is neither enabled nor started. After an upgrade the new
# binary takes over, if the service runs. Nothing secret is made here.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || true
systemctl try-restart leasehold.service || true
