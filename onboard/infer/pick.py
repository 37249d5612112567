"""Which bundle runs where none was named: of those that ship, the richest that every acquisition has the bands of."""

from __future__ import annotations

from collections.abc import Sequence

from onboard.errors import BundleError
from onboard.infer.bundle import Bundle, load_bundle, shipped_bundles


def pick_bundle(name: str, present: Sequence[set[str]]) -> Bundle:
    """The bundle asked for; for "auto" the shipped one with most bands that every acquisition has.

    Args:
        name: of one that ships, a folder, or "auto".
        present: names of the bands of each acquisition.

    Raises:
        BundleError: it cannot be loaded, or none ships.
    """
    if name != "auto":
        return load_bundle(name)
    common = set.intersection(*present) if present else set()
    bundles = sorted((load_bundle(n) for n in shipped_bundles()), key=lambda b: -len(b.bands))
    for bundle in bundles:
        if present and set(bundle.bands) <= common:
            return bundle
    if not bundles:
        raise BundleError("no bundle ships with this installation; name one with --bundle")
    # none fits all: the one that fits most acquisitions; the others are refused one by one, with the reason
    return max(bundles, key=lambda b: (sum(set(b.bands) <= have for have in present), len(b.bands)))
