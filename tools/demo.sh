#!/usr/bin/env bash
# The demo: onboard-detect on real Sentinel-2 imagery, then on the simulator. Called by `make demo`.
# Data: $ONBOARD_DATA, else ../shared/data beside the checkout, else the series in the package nrt.
set -eu
bin=${PYTHON_BIN:?} out=${OUT:?}
here=$(cd "$(dirname "$0")/.." && pwd)
data=${ONBOARD_DATA:-$here/../shared/data}
rm -rf "$out"
# run from elsewhere, so that the installed wheel is what runs and not the checkout
mkdir -p "$out" && cd "$out"

if "$bin/python" -c "import torch" 2>/dev/null; then
    echo "the flight environment holds torch; it must not" >&2
    exit 1
fi

reports=()
detect() { # name, stream...
    local name=$1
    shift
    echo "== onboard-detect $* --out $out/$name"
    "$bin/onboard-detect" "$@" --out "$out/$name"
    reports+=("$out/$name/report.html")
}

if [ -d "$data/oscd/labelled" ]; then
    detect city "$data/oscd/labelled/beirut" --budget-mb 0.5
    detect wildfire "$data/fires/4-3_PUMA_20210624" --budget-mb 0.1
else
    echo "no imagery at $data: taking the forest series of the package nrt"
    series=$("$bin/python" -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("nrt").submodule_search_locations[0]) / "data" / "sentinel2_cube_subset_romania_10m.nc")')
    detect forest "$series" --budget-mb 0.1
fi
detect simulated sim:7 --budget-mb 1

echo
echo "Open these reports in a browser:"
printf '  %s\n' "${reports[@]}"
