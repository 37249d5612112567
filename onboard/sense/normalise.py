"""From DN to the network's input: one table per band and acquisition, the radiometric offset included.

The input of every network is log reflectance, standardised per scene and band by median and percentile spread:

    x = clip((ln(max(r, 0) + shift) - median) / spread, -limit, +limit),   spread = (P_high - P_low) / (z_high - z_low)

with r = (DN + offset) / quantification, and z the same percentiles of a standard normal, so that x has unit variance
for normal data. A change of gain, sun angle or offset between passes is absorbed by the median. The shift of 0.1 keeps
the noise of dark water from counting more than everything else (without it: 2 to 4 points of average precision less).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, BandInfo

DN_VALUES = 65_536


@dataclass(frozen=True)
class NormaliseRule:
    """How a bundle wants its input. `percentiles` in 0..100; `shift` in reflectance; `limit` in standard deviations.

    127 / 24 makes the uint8 step of the input exactly 1/24 of a standard deviation.
    """

    shift: float = 0.1
    percentiles: tuple[float, float] = (10.0, 90.0)
    limit: float = 127 / 24
    min_spread: float = 0.02

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> NormaliseRule:
        """Inverse of `to_dict`; TypeError on unknown keys."""
        raw = dict(raw)
        raw["percentiles"] = tuple(raw.get("percentiles", cls.percentiles))
        return cls(**raw)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"percentiles": list(self.percentiles)}


@dataclass(frozen=True)
class BandStatistics:
    """Of ln(reflectance + shift) over the valid pixels of one acquisition's pre-scan."""

    median: float
    spread: float
    count: int


def log_reflectance(info: BandInfo, shift: float) -> NDArray[np.float64]:
    """ln(max(reflectance, 0) + shift) for every DN, float64 (65536,), read-only."""
    return _logs(info.offset, info.quantification, shift)


@lru_cache(2)
def _logs(offset: float, quantification: float, shift: float) -> NDArray[np.float64]:
    """The bands of a product have one radiometry, as a rule, and each is asked for several times as a pass begins."""
    dn = np.arange(DN_VALUES, dtype=np.float64)
    logs = np.log(np.maximum((dn + offset) / quantification, 0.0) + shift)
    logs.flags.writeable = False
    return logs


def band_statistics(histogram: NDArray[np.int64], info: BandInfo, rule: NormaliseRule) -> BandStatistics:
    """Statistics of one band from its histogram of DN.

    Args:
        histogram: counts of each DN among valid pixels, int64 (65536,); no-data and saturated DN are ignored.
        info: the band's radiometry.
        rule: percentiles, shift and smallest spread.

    Returns:
        Median and spread of ln(reflectance + shift); (0, 1, 0) for an empty histogram.
    """
    counts = histogram.astype(np.int64)
    counts[[NODATA_DN, SATURATED_DN]] = 0
    total = int(counts.sum())
    if total == 0:
        return BandStatistics(0.0, 1.0, 0)
    cumulative = np.cumsum(counts)
    values = log_reflectance(info, rule.shift)  # monotone in DN, so percentiles of DN are percentiles of it
    low, high = rule.percentiles
    picks = np.searchsorted(cumulative, np.array([low, 50.0, high]) / 100.0 * total, side="left")
    p_low, median, p_high = values[np.minimum(picks, DN_VALUES - 1)]
    normal = NormalDist()
    width = normal.inv_cdf(high / 100.0) - normal.inv_cdf(low / 100.0)
    return BandStatistics(float(median), max(float(p_high - p_low) / width, rule.min_spread), total)


def input_table(info: BandInfo, statistics: BandStatistics, rule: NormaliseRule) -> NDArray[np.float32]:
    """Network input for every DN of a band: float32 (65536,), within +-limit; no-data maps to 0 (the median)."""
    x = (log_reflectance(info, rule.shift) - statistics.median) / statistics.spread
    x = np.clip(x, -rule.limit, rule.limit)
    x[NODATA_DN] = 0.0
    return x.astype(np.float32)


def quantised_table(table: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.uint8]:
    """The same table on a model's own uint8 input scale, round half to even as ONNX QuantizeLinear does."""
    return np.asarray(np.clip(np.rint(table / np.float32(scale)) + zero_point, 0, 255), dtype=np.uint8)
