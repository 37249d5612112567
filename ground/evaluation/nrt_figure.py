"""The figure of `ground evaluate nrt`: where and when forest was lost, what alarmed, each find before and after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ground.evaluation.forest_metrics import LOST, SMALL, SPARED, Find
from ground.evaluation.nrt import ForestEvaluation
from ground.scenes.forest import LOST_SHARE, SPARED_SHARE, in_season, year_end
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONTEXT_PX = 8
"""Pixels shown around a cell."""
CLOUDLESS = 0.99
"""Share of a scene's sub-cells that must be valid for it to be shown."""
MAX_FINDS = 16
PER_ROW = 8
RGB = ("B04", "B03", "B02")
BRIGHTEST = 0.12
"""Reflectance shown as white; forest is dark."""
COLOURS = {LOST: "#c2410c", SMALL: "#737373", SPARED: "#1d4ed8"}
NAMES = {LOST: "in a loss", SMALL: "in a small loss (1 to 5 %)", SPARED: "false alarm"}
SHORT = {SMALL: ", small loss", SPARED: ", false alarm"}


def draw(result: ForestEvaluation, method: str, path: Path) -> None:
    """Write the figure as PNG.

    Args:
        result: an evaluation.
        method: with a declared threshold, whose finds are shown.
        path: of the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    finds = result.finds(method)
    shown = finds[:MAX_FINDS]
    blocks = max(1, -(-len(shown) // PER_ROW))
    figure = Figure(figsize=(11, 4.1 + 3.3 * blocks), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=[4.1, 3.3 * blocks])
    upper, lower = parts
    chart, places = upper.subplots(1, 2, width_ratios=[2.9, 1])
    _timeline(chart, result, method, finds)
    _map(places, result)
    axes = lower.subplots(2 * blocks, PER_ROW, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for number, find in enumerate(shown):
        block, column = divmod(number, PER_ROW)
        _chips(axes[2 * block, column], axes[2 * block + 1, column], result, find, number + 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, pil_kwargs={"optimize": True})


def _timeline(axis: Axes, result: ForestEvaluation, method: str, finds: list[Find]) -> None:
    """One line a cell: its clear looks, its losses, its alarms."""
    times, clear, cells = result.history.times, result.history.clear, result.kinds.shape[1]
    for loss in result.losses:
        if loss.share > SPARED_SHARE:
            colour = "#fdba74" if loss.share > LOST_SHARE else "#e5e5e5"
            end = max(loss.until, year_end(loss.year))
            axis.barh(loss.cell, end - loss.after, left=loss.after, height=0.8, color=colour, lw=0)  # type: ignore[arg-type]
    for cell in range(cells):
        seen = [time for time, one in zip(times, clear[:, cell], strict=True) if one]
        axis.plot(seen, [cell] * len(seen), "|", color="#404040", ms=4, mew=0.6)  # type: ignore[arg-type]
    for kind in (LOST, SMALL, SPARED):
        some = [find for find in finds if find.kind == kind]
        when: list[Any] = [times[find.first] for find in some]
        axis.plot(when, [f.cell for f in some], "o", ms=6, mec="white", color=COLOURS[kind], label=NAMES[kind])
    for number, find in enumerate(finds[:MAX_FINDS], start=1):
        axis.annotate(
            str(number), (times[find.first], find.cell), (0, 5), textcoords="offset points", ha="center", fontsize=7
        )
    axis.set_yticks(range(cells), [_name(cell, result.history.cols) for cell in range(cells)])
    axis.set_ylabel("cell (row, column)")
    axis.invert_yaxis()
    axis.set_title(f"First alarms of a logging year: {method.replace('_', ' ')}", fontsize=10)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _map(axis: Axes, result: ForestEvaluation) -> None:
    """The reference: the logging year in which each pixel was lost."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    years = result.years
    known = sorted(set(np.unique(years).tolist()) - {0})
    palette = ["#166534", "#facc15", "#fb923c", "#dc2626", "#7e22ce", "#0ea5e9", "#f472b6"][: len(known) + 1]
    ranks = np.searchsorted([0, *known], years)
    edges = np.arange(len(palette) + 1) - 0.5
    axis.imshow(ranks, cmap=ListedColormap(palette), norm=BoundaryNorm(edges.tolist(), len(palette)))
    for row in range(1, result.history.rows):
        axis.axhline(row * CELL / 2 - 0.5, color="white", lw=0.8)
    for col in range(1, result.history.cols):
        axis.axvline(col * CELL / 2 - 0.5, color="white", lw=0.8)
    for year, colour in zip(known, palette[1:], strict=False):
        axis.plot([], [], "s", color=colour, label=f"{year - 1}/{year % 100:02d}")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, fontsize=8, frameon=False, columnspacing=1)
    axis.set_title("Lost, by hindsight", fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def _chips(upper: Axes, lower: Axes, result: ForestEvaluation, find: Find, number: int) -> None:
    """The cell on the nearest cloudless dates of the growing season before and after the alarm."""
    history = result.history
    alarm = history.times[find.first]
    by_time = {one.sensing_time: one for one in result.stream.acquisitions}
    before, after = seasons_around(alarm, history.times, history.spectra()[1].mean(axis=(1, 2)))
    for axis, time in ((upper, before), (lower, after)):
        if time is None:
            continue
        pixels, top, left = chip(by_time[time], *divmod(find.cell, history.cols))
        axis.imshow(pixels, interpolation="nearest")
        corners = np.array([[0, 0], [CELL, 0], [CELL, CELL], [0, CELL], [0, 0]]) - 0.5
        axis.plot(left + corners[:, 0], top + corners[:, 1], color="white", lw=0.8)
        axis.set_title(f"{time.date()}", fontsize=8, pad=2)
    seen = "" if before is None else f"\n{before.date()}"
    name = f"{number}: cell {_name(find.cell, history.cols)}\nalarm {alarm.date()}"
    upper.set_title(name + seen, fontsize=8, pad=2)
    if find.kind != LOST:
        lower.set_title(f"{lower.get_title()}{SHORT[find.kind]}", fontsize=8, pad=2, color=COLOURS[find.kind])


def seasons_around(
    alarm: datetime, times: Sequence[datetime], valid: NDArray[np.floating]
) -> tuple[datetime | None, datetime | None]:
    """The last cloudless look of the growing season before an alarm and the first from it on; None where there is none.

    Args:
        alarm: when.
        times: of all looks, in order.
        valid: share of each look's sub-cells that were valid, 0..1, (T,).
    """
    shown = [time for time, share in zip(times, valid, strict=True) if share >= CLOUDLESS and in_season(time)]
    before, after = [time for time in shown if time < alarm], [time for time in shown if time >= alarm]
    return (before[-1] if before else None), (after[0] if after else None)


def chip(acquisition: Acquisition, row: int, col: int) -> tuple[NDArray[np.uint8], int, int]:
    """True colour of a cell with context, uint8 (height, width, 3), and the cell's upper left pixel in it."""
    grid, side = acquisition.grid, CELL + 2 * CONTEXT_PX
    top = max(0, min(row * CELL - CONTEXT_PX, grid.height - side))
    left = max(0, min(col * CELL - CONTEXT_PX, grid.width - side))
    height, width = min(side, grid.height), min(side, grid.width)
    dn = np.empty((3, height, width), dtype=np.uint16)
    with acquisition.open(RGB) as reader:
        reader.read(Window(top, left, height, width), dn)
    infos = [acquisition.band(name) for name in RGB]
    planes = [(plane + np.float32(i.offset)) / i.quantification for plane, i in zip(dn, infos, strict=True)]
    shown = np.clip(np.stack(planes, axis=-1) / BRIGHTEST, 0, 1) ** 0.7
    return np.rint(255 * shown).astype(np.uint8), row * CELL - top, col * CELL - left


def _name(cell: int, cols: int) -> str:
    return f"{cell // cols}, {cell % cols}"
