"""Scores over time: when a run holds more passes than maps fit a page, this plot says which of them mattered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from onboard.report import words
from onboard.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, frame, points, svg, ticks
from onboard.report.markup import Html, join, tag
from onboard.report.outcome import Detection, PassResult
from onboard.report.plots import key
from onboard.report.tally import Cells, count, scores_of

STRIP = 20.0
"""Height of the strip that shows what became of each pass's cells, SVG units."""

LEGEND = (
    ("dot", "highest, with chosen cells"),
    ("dot none", "highest, none chosen"),
    ("line second", "median"),
    ("strip scored", "scored"),
    ("strip first", "first look"),
    ("strip unknown", "unknown"),
)


def timeline(passes: Sequence[PassResult], chosen: Sequence[Detection]) -> Html:
    """Median and highest score of each pass over its date; the strip below shows what became of its cells."""
    stamps = [words.utc(p.sensing_time).timestamp() for p in passes]
    values = [scores_of(p).astype(np.float64) for p in passes]
    scored = [v for v in values if v.size]
    span = max(stamps) - min(stamps) or 86_400.0
    x = Axis(min(stamps) - span * 0.02, max(stamps) + span * 0.02, LEFT, WIDTH - RIGHT)
    low = min([0.0, *(float(np.median(v)) for v in scored)])
    high = max([low + 1e-9, *(float(v.max()) for v in scored)])
    y = Axis(low, low + (high - low) * 1.05, HEIGHT - BOTTOM - STRIP - 6, TOP + 10)
    numbers = Counter((d.product_id, d.sensing_time) for d in chosen)
    medians, highest, marks = [], [], []
    for result, stamp, v in zip(passes, stamps, values, strict=True):
        at = x(stamp)
        marks += _strip(at, count([result]), HEIGHT - BOTTOM - STRIP)
        if v.size:
            medians.append((at, y(float(np.median(v)))))
            highest.append((at, y(float(v.max()))))
            marks.append(_dot(result, highest[-1], float(v.max()), numbers[(result.product_id, result.sensing_time)]))
    strip = Axis(0, 1, HEIGHT - BOTTOM, TOP + 10)
    grid = frame(x, y, (), [(v, f"{v:g}") for v in ticks(y.low, y.high, 4)], "", "score")
    dates = frame(x, strip, _dates(x), (), "date (UTC)", "")
    lines = [tag("polyline", points=points(p), class_=c) for p, c in ((highest, "line thin"), (medians, "line second"))]
    return join(key(LEGEND), svg("Scores over time", grid, dates, lines, marks))


def _dot(result: PassResult, at: tuple[float, float], highest: float, chosen: int) -> Html:
    said = f"{words.date(result.sensing_time)}: highest {words.score(highest)}, {chosen} chosen ({result.product_id})"
    return tag("circle", tag("title", said), cx=at[0], cy=at[1], r=3.5, class_="dot" if chosen else "dot none")


def _strip(at: float, cells: Cells, top: float) -> list[Html]:
    parts, used = [], 0.0
    for kind, part in (("scored", cells.scored), ("first", cells.first_look), ("unknown", cells.unknown)):
        height = STRIP * part / max(1, cells.total)
        if height:
            y, tall = f"{top + used:.2f}", f"{height:.2f}"
            parts.append(tag("rect", x=f"{at - 1.5:g}", y=y, width=3, height=tall, class_=f"strip {kind}"))
        used += height
    return parts


def _dates(x: Axis) -> list[tuple[float, str]]:
    """Five dates evenly spaced: passes are irregular, and months are of no meaning to them."""
    stamps = [x.low + (x.high - x.low) * share for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    return [(stamp, datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d")) for stamp in stamps]
