#!/bin/sh
# The satellite: looks at a stream, then sends its queue until all of it is confirmed or the passes are over.
# STREAM, DATA (results and store), KEY (file shared with the ground), TO (HOST:PORT), PASSES, PASS_BYTES, RATE (bit/s).
set -eu
data=${DATA:-/data} key=${KEY:-/key/link.key} to=${TO:-link:5005}
onboard-detect "${STREAM:-sim:7?size=384}" --out "$data" --budget-mb "${BUDGET_MB:-0.5}"
tries=0
until [ -s "$key" ]; do # the ground makes it
    tries=$((tries + 1))
    [ "$tries" -le 60 ] || { echo "satellite: no key at $key after a minute" >&2; exit 1; }
    sleep 1
done
pass=1
while [ "$pass" -le "${PASSES:-5}" ]; do
    code=0
    onboard-downlink --to "$to" --store "$data/store" --key "$key" --rate "${RATE:-1000000}" \
        --pass-bytes "${PASS_BYTES:-400000}" --seconds "${PASS_SECONDS:-60}" || code=$?
    case $code in
    0 | 4) echo "satellite: everything is confirmed after pass $pass" >&2 && exit 0 ;;
    3) pass=$((pass + 1)) ;;
    *) exit "$code" ;;
    esac
done
echo "satellite: passes are over; the rest waits in the queue" >&2
exit 3
