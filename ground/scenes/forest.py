"""The forest of the package `nrt`: where its series lies, and where the forest was lost, judged with hindsight.

Nobody has labelled the series, so the reference is made from what the flight software never sees: the 20 m bands B8A
and B11, and the future. A pixel is lost between two looks of the growing season when the median of its moisture index
(Gao 1996: NDMI = (B8A - B11) / (B8A + B11)), less the scene's median of that date, falls by more than `FALL` from the
`LOOKS` clear looks before to the `LOOKS` after. Winter is left out: snow, low sun and bare trees look like loss.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window
from onboard.sense.tiles import valid_pixels

NRT_VERSION = "0.2.1"
SERIES = "nrt/data/sentinel2_cube_subset_romania_10m.nc"
BANDS = ("B8A", "B11")
FALL = 0.12
LOOKS = 5
SEASON = ((5, 15), (9, 30))
"""First and last (month, day) of the growing season."""
LOST_SHARE = 0.05
"""A cell with more than this share of its pixels lost in one logging year is a loss (as elsewhere in `evaluate`)."""
SPARED_SHARE = 0.01
"""A cell with at most this share lost is spared; between the two it is neither."""
YEAR_STARTS = 8
"""A logging year runs from August to July and is named by its end: felling goes on from late summer to spring."""

PIXEL = 2
"""Side of a pixel of the reference, in 10 m pixels."""


@dataclass(frozen=True)
class Loss:
    """What one cell lost in one logging year.

    Attributes:
        cell: index, row by row of cells.
        year: in which the logging year ends.
        share: of the cell's pixels, 0..1.
        after, until: the loss happened after the look at `after` and was there at `until` (UTC), taken over its pixels.
    """

    cell: int
    year: int
    share: float
    after: datetime
    until: datetime


def find_series() -> Path:
    """The series of the installed package `nrt`, found by its metadata: the package itself is never imported.

    Raises:
        InputError: the package is not installed, or of a version without the series.
    """
    advice = f"pip install --no-deps nrt=={NRT_VERSION}"
    try:
        path = Path(str(importlib.metadata.distribution("nrt").locate_file(SERIES)))
    except importlib.metadata.PackageNotFoundError:
        raise InputError("nrt", f"the package with the forest series is not installed: {advice}", "missing") from None
    if not path.is_file():
        raise InputError(str(path), f"this version of nrt carries no series: {advice}", "missing")
    return path


def moisture(acquisition: Acquisition) -> NDArray[np.float32]:
    """NDMI at 20 m over whole cells, float32 (rows * 16, cols * 16), less its scene median; nan where not clear.

    Raises:
        InputError: the acquisition lacks B8A or B11, or cannot be read.
    """
    height, width = acquisition.grid.rows * CELL, acquisition.grid.cols * CELL
    dn = np.empty((2, height, width), dtype=np.uint16)
    missing = [name for name in BANDS if name not in {band.name for band in acquisition.bands}]
    if missing:
        raise InputError(acquisition.where, f"lacks {', '.join(missing)}, which the reference needs", "missing-band")
    with acquisition.open(BANDS) as reader:
        quality = reader.read(Window(0, 0, height, width), dn)
    clear = _blocks(valid_pixels(dn, quality)).all(axis=(1, 3))
    infos = [acquisition.band(name) for name in BANDS]
    near, short = (_blocks(dn[i] + np.float32(infos[i].offset)).mean(axis=(1, 3)) for i in (0, 1))
    index = np.where(clear, (near - short) / np.maximum(near + short, 1), np.nan)
    return np.asarray(index - np.nanmedian(index) if clear.any() else index, dtype=np.float32)


def lasting_losses(acquisitions: Sequence[Acquisition]) -> tuple[list[Loss], NDArray[np.int64]]:
    """What each cell lost in each logging year, small amounts included.

    Args:
        acquisitions: in time order, of one grid.

    Returns:
        The losses, and for each 20 m pixel (rows * 16, cols * 16) the first logging year it was lost in, or 0.

    Raises:
        InputError: see `moisture`.
    """
    looks = [(one.sensing_time, moisture(one)) for one in acquisitions if in_season(one.sensing_time)]
    looks = [(time, index) for time, index in looks if np.isfinite(index).mean() > 0.5]
    rows, cols = acquisitions[0].grid.rows, acquisitions[0].grid.cols
    side = CELL // PIXEL
    years = np.zeros((rows * side, cols * side), dtype=np.int64)
    if not looks:
        return [], years
    times = [time for time, _ in looks]
    stack = np.stack([index for _, index in looks])
    found: dict[tuple[int, int], list[tuple[datetime, datetime]]] = {}
    for y, x in np.ndindex(*years.shape):
        for before, at in falls(stack[:, y, x]):
            year = logging_year(times[before])
            years[y, x] = years[y, x] or year
            found.setdefault((y // side * cols + x // side, year), []).append((times[before], times[at]))
    losses = [
        Loss(cell, year, len(spans) / side**2, min(a for a, _ in spans), max(b for _, b in spans))
        for (cell, year), spans in sorted(found.items())
    ]
    return losses, years


def falls(series: NDArray[np.float32]) -> list[tuple[int, int]]:
    """(last look before, first look after) of each lasting fall in one pixel's series, nan where not clear."""
    known = np.flatnonzero(np.isfinite(series))
    values = series[known]
    steps, means = np.full((2, len(known)), -np.inf)
    for at in range(LOOKS, len(known) - 1):
        before, after = values[at - LOOKS : at], values[at : at + LOOKS]
        steps[at] = np.median(before) - np.median(after)
        means[at] = before.mean() - after.mean()
    found = []
    while len(steps) and steps.max() > FALL:
        near = max(0, int(steps.argmax()) - LOOKS // 2)  # medians say that it fell, means say when
        at = near + int(np.where(steps > FALL, means, -np.inf)[near : near + 2 * LOOKS].argmax())
        found.append((int(known[at - 1]), int(known[at])))
        steps[max(0, at - LOOKS) : at + LOOKS + 1] = -np.inf
    return sorted(found)


def in_season(time: datetime) -> bool:
    """Whether leaves are out."""
    return SEASON[0] <= (time.month, time.day) <= SEASON[1]


def logging_year(time: datetime) -> int:
    """The logging year of a moment."""
    return time.year + (time.month >= YEAR_STARTS)


def year_end(year: int) -> datetime:
    """When a logging year ends, UTC."""
    return datetime(year, YEAR_STARTS, 1, tzinfo=UTC)


def _blocks(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """(H, W) -> (H / 2, 2, W / 2, 2)."""
    height, width = plane.shape
    return plane.reshape(height // PIXEL, PIXEL, width // PIXEL, PIXEL)
