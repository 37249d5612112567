"""Change as what was not expected: a sub-cell's history says what its next look should be, and the residual is scored.

A forecaster sees the remembered sub-cell means of all looks before one, and forecasts a later look. The residuals of a
look lose their scene median, are divided by the scene's spread (a hazy pass is uncertain everywhere), and the root mean
square over bands is averaged over the `TOP` greatest sub-cells of a cell: the same pooling for every forecaster.

Confirmed scores wait for the next `CONFIRM` clear looks at the cell, against the same past: what does not last is haze,
shadow or snow. The least of the three is the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ground.scenes.history import History

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

TOP = 8
"""Greatest sub-cells averaged, as `ScoreRule.top_fine`."""
MIN_SUB_CELLS = 32
"""Of 64; a cell with fewer forecast and clear ones is unknown."""
CONFIRM = 2
"""Later clear looks that must agree."""
HORIZON = 8
"""Looks searched for these, this one included; clouds take most of them."""
RECENT = 3
"""Clear looks that the plain forecasters know, as `DEFAULT_HISTORY`."""
YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Series:
    """Sub-cells over time; S = cells * 64, cell by cell.

    Attributes:
        x: standardised log reflectance of the 10 m bands, float32 (T, S, F).
        valid: bool (T, S).
        times: sensing times, UTC, (T,).
        years: the same in years since the first, float64 (T,).
        season: angle of the day of the year, float64 (T,), radians.
    """

    x: F32
    valid: Mask
    times: tuple[datetime, ...]
    years: NDArray[np.float64]
    season: NDArray[np.float64]

    @classmethod
    def of(cls, history: History) -> Series:
        """From what was remembered."""
        x, valid = history.spectra()
        looks, _, bands, _ = x.shape
        return cls(
            np.ascontiguousarray(x.transpose(0, 1, 3, 2)).reshape(looks, -1, bands),
            valid.reshape(looks, -1),
            history.times,
            np.array([(time - history.times[0]).total_seconds() / 86400 / YEAR_DAYS for time in history.times]),
            np.array([season_angle(time) for time in history.times]),
        )


class Forecast(NamedTuple):
    """What is expected of one look: mean float32 (S, F), spread in the same units (S, F), which are known (S,)."""

    mean: F32
    spread: F32
    known: Mask


Forecaster = Callable[[Series, int], Callable[[int], list[Forecast]]]
"""(series, first look that is not known) -> forecasts of a later look; of several, the least residual counts."""


def season_angle(time: datetime) -> float:
    """Day of the year as an angle, 0..2 pi."""
    return 2 * np.pi * time.timetuple().tm_yday / YEAR_DAYS


def recent(series: Series, first: int, count: int = RECENT) -> tuple[F32, NDArray[np.int64]]:
    """The last clear looks of each sub-cell, float32 (count, S, F), nan where there are fewer; how many, (S,)."""
    _, cells, bands = series.x.shape
    found = np.full((count, cells, bands), np.nan, dtype=np.float32)
    seen = np.zeros(cells, dtype=np.int64)
    for look in range(first - 1, -1, -1):
        use = np.flatnonzero(series.valid[look] & (seen < count))
        found[seen[use], use] = series.x[look, use]
        seen[use] += 1
        if (seen >= count).all():
            break
    return found, seen


def least_of_recent(series: Series, first: int) -> Callable[[int], list[Forecast]]:
    """Each of the last clear looks is a forecast: the minimum over history."""
    past, _ = recent(series, first)
    one = np.ones_like(past[0])
    each = [Forecast(np.nan_to_num(look), one, np.isfinite(look[:, 0])) for look in past]
    return lambda _: each


def mean_of_recent(series: Series, first: int) -> Callable[[int], list[Forecast]]:
    """The mean of the last clear looks."""
    past, seen = recent(series, first)
    mean = np.nansum(past, axis=0) / np.maximum(seen, 1)[:, None]
    forecast = Forecast(mean.astype(np.float32), np.ones_like(mean, dtype=np.float32), seen > 0)
    return lambda _: [forecast]


def harmonic(
    series: Series, first: int, looks: int | None = None, ridge: float = 1.0, at_least: int = 3
) -> Callable[[int], list[Forecast]]:
    """A constant and one yearly sine and cosine by ridge regression of each sub-cell and band (as CCDC, Zhu & Woodcock
    2014, with one harmonic); the spread is that of its own residuals, shrunk to the scene's.

    Args:
        series: all looks.
        first: the first that is not known.
        looks: how many of the last clear looks are fitted; None: all.
        ridge: added to the normal equations of sine and cosine, in looks.
        at_least: clear looks below which nothing is expected.
    """
    x, use = series.x[:first], series.valid[:first]
    if looks is not None:
        use = use & (np.cumsum(use[::-1], axis=0)[::-1] <= looks)
    weight = use.astype(np.float32)
    angle = series.season[:first]
    basis = np.stack([np.ones(first), np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
    gram = np.einsum("ts,ti,tj->sij", weight, basis, basis) + np.diag([1e-3, ridge, ridge])
    moment = np.einsum("ts,ti,tsf->sif", weight, basis, x, optimize=True)
    slope = np.linalg.solve(gram, moment)
    squares = weight[:, :, None] * (x - np.einsum("ti,sif->tsf", basis, slope, optimize=True)) ** 2
    count = weight.sum(axis=0)[:, None]
    usual = squares.sum(axis=(0, 1)) / max(float(count.sum()), 1.0)
    prior = 5.0  # looks that the scene's own spread weighs as
    spread = np.sqrt((squares.sum(axis=0) + prior * usual) / (count + prior)).astype(np.float32)
    known = count[:, 0] >= at_least

    def forecast(look: int) -> list[Forecast]:
        at = np.array([1, np.sin(series.season[look]), np.cos(series.season[look])])
        return [Forecast(np.einsum("i,sif->sf", at, slope).astype(np.float32), np.maximum(spread, 1e-3), known)]

    return forecast


def pooled_residual(x: F32, valid: Mask, forecast: Forecast) -> F32:
    """Score of each cell, float32 (N,): see above; nan where fewer than `MIN_SUB_CELLS` are known and clear."""
    use = valid & forecast.known
    if use.sum() < MIN_SUB_CELLS:
        return np.full(len(x) // 64, np.nan, dtype=np.float32)
    residual = (x - forecast.mean) / forecast.spread
    residual = residual - np.median(residual[use], axis=0)
    residual /= np.maximum(1.4826 * np.median(np.abs(residual[use]), axis=0), 1e-3)
    length = np.where(use, np.sqrt((residual**2).mean(axis=1)), 0).reshape(-1, 64)
    top = np.sort(length, axis=1)[:, -TOP:].mean(axis=1)
    return np.where(use.reshape(-1, 64).sum(axis=1) >= MIN_SUB_CELLS, top, np.nan).astype(np.float32)


def residual_scores(series: Series, forecaster: Forecaster, looks: range | None = None) -> F32:
    """Scores of each look and those after it against what was known before it.

    Args:
        series: T looks at N cells.
        forecaster: see above.
        looks: which looks are scored (default: all).

    Returns:
        float32 (HORIZON, T, N): [d, t] is look t + d against the looks before t; nan where unknown.
    """
    count = len(series.years)
    scores = np.full((HORIZON, count, series.valid.shape[1] // 64), np.nan, dtype=np.float32)
    for first in looks or range(1, count):
        expect = forecaster(series, first)
        for ahead in range(min(HORIZON, count - first)):
            look = first + ahead
            each = [pooled_residual(series.x[look], series.valid[look], one) for one in expect(look)]
            scores[ahead, first] = np.fmin.reduce(each)
    return scores


def confirmed(scores: F32) -> F32:
    """The least of a look's score and those of the next `CONFIRM` clear looks against the same past, float32 (T, N).

    Args:
        scores: as `residual_scores` returns them; nan where the look or one of the later ones is missing.
    """
    known = np.isfinite(scores)
    use = known & (np.cumsum(known, axis=0) <= CONFIRM + 1)
    whole = known[0] & (use.sum(axis=0) == CONFIRM + 1)
    least = np.where(use, scores, np.inf).min(axis=0)
    return np.where(whole, least, np.nan).astype(np.float32)
