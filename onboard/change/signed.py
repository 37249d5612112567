"""Signed evidence between two passes: loss of vegetation, gain of water. Pure arrays, in physical log units.

A fall is past - now of ln(reflectance + shift) on coarse sub-cells, against its median over the scene, so that haze,
sun and season common to the scene drop out.

* **Loss of vegetation**: the fall of ln(NIR) times the fall of ln(NIR/SWIR), less where the spectrum was unusual in its
  scene (Theiler & Perkins 2006: elliptically contoured anomalous change).
* **Gain of water**: the fall of ln(NIR) times that of ln(SWIR), each less twice the fall of ln(green): water takes the
  infrared and leaves the green, a shadow takes all.

The mirror image, with all falls turned into rises, tells how much of it the season makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.record import coarse_bands, fine_bands
from onboard.change.rule import ScoreRule
from onboard.change.seen import Pair
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.native.compare import Signs
from onboard.sense.normalise import BandStatistics

F32 = NDArray[np.float32]
Falls = Mapping[str, F32]
"""By band: float32 (N, 16)."""

GREEN, RED, NIR, SHORT = "B03", "B04", "B08", ("B11", "B12")
NEEDED = {RED, NIR, "B12"}
SHADOW = 2.0
"""How much more of the infrared than of the green a shadow may take: it leaves the blue light of the sky."""


@dataclass(frozen=True)
class Medians:
    """Over the scene: of the falls of each band, and of those of ln(NIR/SWIR) and ln(NIR/red)."""

    bands: dict[str, float] = field(default_factory=dict)
    near_short: float = 0.0
    near_red: float = 0.0


class Signed:
    """Falls of the bands that signed evidence needs, back in physical units.

    Args:
        bands: of the records, in the bundle's order.
        now, past: band statistics of both acquisitions.
    """

    def __init__(self, bands: Sequence[str], now: Sequence[BandStatistics], past: Sequence[BandStatistics]) -> None:
        names, order = list(bands), fine_bands(bands) + coarse_bands(bands)
        self._names = [names[index] for index in order if names[index] in (GREEN, RED, NIR, *SHORT)]
        indexes = [names.index(name) for name in self._names]
        step_past, step_now = (np.array([one[i].spread * INPUT_STEP for i in indexes]) for one in (past, now))
        medians = np.array([past[i].median - now[i].median for i in indexes])
        self._places = [order.index(index) for index in indexes]
        rows = (step_past, step_now, medians - INPUT_ZERO * (step_past - step_now))
        self._past, self._now, self._constant = (row.astype(np.float32)[:, None, None] for row in rows)
        self._short = [name for name in SHORT if name in self._names]
        self.sees_water = GREEN in self._names

    def signs(self, medians: Medians) -> Signs:
        """The same as the kernels take it; where the green is not seen, gains of water are not asked for."""
        at = {name: self._names.index(name) for name in self._names}
        past, now, constant = (row[:, 0, 0] for row in (self._past, self._now, self._constant))
        return Signs(
            self._places, past, now, constant, np.array([medians.bands[name] for name in self._names], np.float32),
            {"green": at.get(GREEN, 0), "near": at[NIR], "first_short": at[self._short[0]], "last_short": at["B12"]},
            medians.near_short, SHADOW,
        )  # fmt: skip

    @classmethod
    def for_bands(
        cls, bands: Sequence[str], now: Sequence[BandStatistics], past: Sequence[BandStatistics]
    ) -> Signed | None:
        """None without red, NIR and SWIR."""
        return cls(bands, now, past) if set(bands) >= NEEDED else None

    def falls(self, pair: Pair) -> Falls:
        """Falls of each band."""
        falls, now = (one.coarse.take(self._places, axis=0) for one in (pair.past, pair.now))
        falls *= self._past
        now *= self._now
        falls -= now
        falls += self._constant
        return dict(zip(self._names, falls, strict=True))

    def medians(self, falls: Falls, usable: NDArray[np.bool_]) -> Medians:
        """What is usual in a sample; `usable` bool (N, 16)."""
        if not usable.any():
            return Medians(dict.fromkeys(falls, 0.0))
        return Medians(
            {name: float(np.median(fall[usable])) for name, fall in falls.items()},
            float(np.median((falls[NIR] - falls["B12"])[usable])),
            float(np.median((falls[NIR] - falls[RED])[usable])),
        )

    def loss(self, falls: Falls, medians: Medians, mirrored: bool = False) -> F32:
        """Loss of vegetation squared (mirrored: its gain), float32 (N, 16)."""
        near = falls[NIR] - np.float32(medians.bands[NIR])
        ratio = falls[NIR] - falls["B12"] - np.float32(medians.near_short)
        if not mirrored:
            return np.asarray(np.maximum(near, 0) * np.maximum(ratio, 0))
        # a gain of vegetation also raises NIR against red; haze over water does not
        third = falls[NIR] - falls[RED] - np.float32(medians.near_red)
        gain = np.maximum(-near, 0) * np.maximum(-ratio, 0)
        return np.asarray(np.minimum(gain, np.maximum(-third, 0) ** 2))

    def water(self, falls: Falls, medians: Medians, mirrored: bool = False) -> F32:
        """Gain of water squared (mirrored: its loss), float32 (N, 16)."""
        green, near, *short = (falls[name] - np.float32(medians.bands[name]) for name in (GREEN, NIR, *self._short))
        if mirrored:
            green, near, *short = (-one for one in (green, near, *short))
        shadow = np.maximum(green, 0)
        shadow *= np.float32(SHADOW)
        near -= shadow
        least = reduce(np.minimum, short) - shadow
        return np.asarray(np.maximum(near, 0, out=near) * np.maximum(least, 0, out=least))


def damping(unusual: NDArray[Any], rule: ScoreRule) -> F32:
    """How much evidence counts where a spectrum is unusual by this many variances: 1 at one, less beyond."""
    return np.asarray((1 + rule.rarity) / (unusual + rule.rarity), dtype=np.float32)
