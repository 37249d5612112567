"""The score map of one pass as an HTML figure: the picture, the chosen cells, the truth, a scale bar, values to hover.

The picture is an indexed PNG, one cell a few pixels; outlines are SVG over it in cell units. North is up: a grid whose
rows run northwards is turned over, and page.js is told so.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onboard.report import words
from onboard.report.axes import ticks
from onboard.report.colour import LEVELS, Scale, paint, palette
from onboard.report.markup import Html, tag
from onboard.report.outcome import CellStatus, Detection, PassResult
from onboard.report.png import data_uri, encode
from onboard.report.tally import POSITIVE_SHARE
from onboard.sense.grid import CELL, METRES_PER_DEGREE, Grid

MAP_PX = 720
MAX_RANKS = 2000
MAX_HALO = 4000
CODE_MAX = 65_000
"""Scores travel to page.js as uint16, 0..CODE_MAX from the pass's lowest to its highest; above it, the status."""

Cell = TypeVar("Cell", np.uint8, np.float32)


def score_map(result: PassResult, chosen: Sequence[Detection], scale: Scale) -> Html:
    """The figure; `chosen` are the detections of this pass, best first."""
    rows, cols = result.score.shape
    flip = result.grid.transform[4] > 0
    status, score = _turn(result.status, flip), _turn(result.score, flip)
    zoom = max(1, min(24, MAP_PX // max(rows, cols)))
    cells = [(rows - 1 - d.row if flip else d.row, d.col) for d in chosen]
    truth = None if result.truth is None else _turn(result.truth, flip)
    overlay = [
        _outline(truth > POSITIVE_SHARE, "truth") if truth is not None else None,
        _outline(_mask(rows, cols, cells), "chosen"),
        tag("rect", width=1, height=1, class_="cursor", visibility="hidden"),
    ]
    label = f"Score map of {result.product_id}, {words.moment(result.sensing_time)}"
    box = tag(
        "div",
        tag("img", src=data_uri(encode(paint(status, score, scale, zoom), palette())), alt=label),
        tag("svg", overlay, viewBox=f"0 0 {cols} {rows}", preserveAspectRatio="none", aria_hidden="true"),
        _scale_bar(result.grid, cols),
        tag("span", "N \u2191", class_="north") if result.grid.crs else None,
        class_="map",
        style=f"aspect-ratio: {cols} / {rows}",
        tabindex=0,
        role="group",
        aria_label=f"{label}. Arrow keys move from cell to cell.",
        data_rows=rows,
        data_cols=cols,
        data_flip="1" if flip else None,
        data_corners=json.dumps(corners(result.grid, rows, cols)),
        data_ranks=json.dumps({f"{r},{c}": d.rank for (r, c), d in list(zip(cells, chosen, strict=True))[:MAX_RANKS]}),
        **_codes(status, score),
    )
    caption = tag(
        "figcaption", tag("b", words.moment(result.sensing_time)), " ", tag("span", result.product_id, class_="id")
    )
    hint = tag("p", "Point at a cell, or use the arrow keys.", class_="readout", aria_live="polite")
    return tag("figure", caption, tag("div", box, class_="frame"), hint, class_="score-map")


def neighbourhood(result: PassResult, detection: Detection, scale: Scale, radius: int = 7) -> Html:
    """The score map around one cell, up to (2 radius + 1) cells square, the cell outlined in the middle."""
    radius = min(radius, max(result.score.shape) - 1)
    side = 2 * radius + 1
    status = np.full((side, side), CellStatus.NOT_LOOKED_AT, np.uint8)
    score = np.full((side, side), np.nan, np.float32)
    rows, cols = result.score.shape
    top, left = detection.row - radius, detection.col - radius
    r0, r1, c0, c1 = max(0, top), min(rows, top + side), max(0, left), min(cols, left + side)
    status[r0 - top : r1 - top, c0 - left : c1 - left] = result.status[r0:r1, c0:c1]
    score[r0 - top : r1 - top, c0 - left : c1 - left] = result.score[r0:r1, c0:c1]
    flip = result.grid.transform[4] > 0
    image = paint(_turn(status, flip), _turn(score, flip), scale, 8)
    middle = _outline(_mask(side, side, [(radius, radius)]), "chosen")
    return tag(
        "span",
        tag("img", src=data_uri(encode(image, palette())), alt=f"Scores around the cell, {side} x {side} cells"),
        tag("svg", middle, viewBox=f"0 0 {side} {side}", aria_hidden="true"),
        class_="shot",
    )


def legend(scale: Scale | None, truth: bool) -> Html:
    """The colour ramp with ticks (None: nothing was scored), and what other colours and outlines mean."""
    others = [("unknown", "unknown"), ("first", "first look"), ("missed", "not looked at"), ("outline", "chosen")]
    others += [("truth", f"truth: more than {100 * POSITIVE_SHARE:g} % changed")] if truth else []
    key = tag("span", [tag("span", tag("i", class_=f"swatch {kind}"), text) for kind, text in others], class_="key")
    return tag("div", _ramp(scale) if scale else None, key, class_="legend")


def corners(grid: Grid, rows: int, cols: int) -> list[list[float]] | None:
    """(longitude, latitude) of the picture's upper left, upper right, lower left, lower right; None without a CRS."""
    if not grid.crs:
        return None
    lower_left, lower_right, upper_right, upper_left, _ = grid.cell_ring(0, 0, rows, cols)
    order = [upper_left, upper_right, lower_left, lower_right]
    if grid.transform[4] > 0:
        order = [lower_left, lower_right, upper_left, upper_right]
    crossing = max(x for x, _ in order) - min(x for x, _ in order) > 180.0  # page.js interpolates, then wraps again
    return [[round(x + 360.0 if crossing and x < 0 else x, 6), round(y, 6)] for x, y in order]


def cell_metres(grid: Grid) -> float:
    """Width of a cell on the ground, metres; nan without a CRS."""
    width = CELL * grid.pixel_size[0]
    if not grid.crs or grid.pixel_size_m == grid.pixel_size[1]:
        return width if grid.crs else math.nan
    return width * METRES_PER_DEGREE * math.cos(math.radians(grid.transform[5]))


def _ramp(scale: Scale) -> list[Html]:
    image = data_uri(encode(np.arange(LEVELS, dtype=np.uint8)[None, :], palette()))
    width = scale.high - scale.low
    at = [(100 * (v - scale.low) / width, v) for v in ticks(scale.low, scale.high, 5)]
    marks = [tag("span", f"{v:g}", style=f"left: {share:.2f}%") for share, v in at if 0 <= share <= 100]
    return [
        tag("span", "little change"),
        tag("span", tag("img", src=image, alt="colour ramp"), tag("span", marks, class_="marks"), class_="ramp"),
        tag("span", "much change"),
    ]


def _turn(cells: NDArray[Cell], flip: bool) -> NDArray[Cell]:
    return cells[::-1] if flip else cells


def _codes(status: NDArray[np.uint8], score: NDArray[np.float32]) -> dict[str, object]:
    known = (status == CellStatus.SCORED) & np.isfinite(score)
    low, high = (float(score[known].min()), float(score[known].max())) if known.any() else (0.0, 0.0)
    codes = (CODE_MAX + 1 + status.astype(np.uint16)).astype("<u2")
    codes[known] = np.rint((score[known].astype(np.float64) - low) / ((high - low) or 1.0) * CODE_MAX)
    packed = base64.b64encode(codes.tobytes()).decode("ascii")
    return {"data_low": repr(low), "data_high": repr(high), "data_codes": packed}


def _mask(rows: int, cols: int, cells: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Cells as a mask (rows, cols), grown on a large grid, where the outline of one cell would hide it."""
    grow = max(rows, cols) // 160
    mask = np.zeros((rows, cols), np.bool_)
    for row, col in cells:
        mask[max(0, row - grow) : row + grow + 1, max(0, col - grow) : col + grow + 1] = True
    return mask


def _outline(inside: NDArray[np.bool_], kind: str) -> list[Html]:
    """The border of a mask in cell units, drawn twice: a dark halo below a bright line is seen on every colour."""
    padded = np.pad(inside, 1)
    runs = [f"M{start} {line}H{stop}" for line, start, stop in _runs(padded[1:] != padded[:-1])]
    runs += [f"M{line} {start}V{stop}" for line, start, stop in _runs((padded[:, 1:] != padded[:, :-1]).T)]
    kinds = ("halo", kind) if len(runs) < MAX_HALO else (kind,)
    return [tag("path", d="".join(runs), class_=name) for name in kinds] if runs else []


def _runs(edges: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """(line, start, stop) of each unbroken run of True along the rows; the padding cell is counted off."""
    steps = np.diff(edges.astype(np.int8), axis=1, prepend=0, append=0)
    starts, stops = np.argwhere(steps == 1), np.argwhere(steps == -1)
    for (line, start), (_, stop) in zip(starts.tolist(), stops.tolist(), strict=True):
        yield line, start - 1, stop - 1


def _scale_bar(grid: Grid, cols: int) -> Html | None:
    metres = cell_metres(grid) * cols
    if not math.isfinite(metres) or metres <= 0:
        return None
    wanted = metres * 0.25
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(m * power for m in (1, 2, 5) if m * power <= wanted)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return tag("span", label, class_="scale-bar", style=f"width: {100 * length / metres:.2f}%")
