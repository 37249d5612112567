"""Sentinel-2 band names and the band sets that models are trained on. Pure names, no pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""All bands of the MSI instrument, in the order of ESA's product metadata (`band_id` 0..12)."""

NATIVE_RESOLUTION_M = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}

BAND_SETS: dict[str, tuple[str, ...]] = {
    "s2-10": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "rgbn": ("B02", "B03", "B04", "B08"),
    "fire": ("B02", "B03", "B04", "B08", "B12"),
}

_BAND = re.compile(r"^B(?:and)?[ _-]?0?(\d{1,2}|8A)$", re.IGNORECASE)


def canonical_band(name: str) -> str | None:
    """The ESA name of a band written in any usual way (`B2`, `b02`, `Band 2` -> `B02`), or None for anything else."""
    match = _BAND.match(name.strip())
    if match is None:
        return None
    number = match.group(1).upper()
    band = f"B{number}" if number == "8A" else f"B{int(number):02d}"
    return band if band in NATIVE_RESOLUTION_M else None


def missing_bands(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    """The bands of `wanted` that `present` lacks, in the order of `wanted`."""
    have = set(present)
    return [band for band in wanted if band not in have]
