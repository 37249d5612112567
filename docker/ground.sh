#!/bin/sh
# The ground station: makes the key that it shares with the satellite, receives, archives, acknowledges.
# ARCHIVE, KEY (file), LISTEN (HOST:PORT), IDLE (seconds without a packet after which it ends; 0: never).
set -eu
key=${KEY:-/key/link.key}
if [ ! -s "$key" ]; then
    umask 077
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$key.new"
    mv "$key.new" "$key"
fi
exec ground receive --listen "${LISTEN:-0.0.0.0:5005}" --archive "${ARCHIVE:-/archive}" --key "$key" --idle "${IDLE:-0}"
