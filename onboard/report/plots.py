"""The plots of report.html: score histogram and precision over recall. Inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onboard.report import words
from onboard.report.axes import BOTTOM, HALF, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, decades, frame, points, svg, ticks
from onboard.report.markup import Html, join, tag
from onboard.report.outcome import Detection, PassResult
from onboard.report.tally import Agreement, scores_of

BINS = 60
CURVE_POINTS = 240
LOWEST = 0.001
"""Where the axes of the reliability diagram begin."""


def histogram(passes: Sequence[PassResult], chosen: Sequence[Detection]) -> Html | None:
    """Scores of all passes on a logarithmic count, the chosen ones in front of them. None where nothing was scored."""
    found = [values for values in map(scores_of, passes) if values.size]
    if not found:
        return None
    low, high = min(float(v.min()) for v in found), max(float(v.max()) for v in found)
    if high <= low:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    # Binned pass by pass: a hundred passes of a granule never lie side by side in memory.
    edges = np.linspace(low, high, BINS + 1)
    counts = np.sum([np.histogram(values, edges)[0] for values in found], axis=0)
    marked = np.histogram([d.score for d in chosen if math.isfinite(d.score)], edges)[0]
    x = Axis(low, high, LEFT, WIDTH - RIGHT)
    y = Axis(0.5, max(10.0, float(counts.max()) * 1.3), HEIGHT - BOTTOM, TOP + 10, log=True)
    bars = [
        _bar(x(edges[i]), x(edges[i + 1]), y.start, y(float(n)), kind)
        for kind, row in (("bar", counts), ("bar chosen", marked))
        for i, n in enumerate(row)
        if n
    ]
    x_ticks = [(v, f"{v:g}") for v in ticks(low, high, 7)]
    y_ticks = [(v, f"{v:,.0f}") for v in decades(y.high)]
    legend = key((("bar", "all scored cells"), ("bar chosen", "chosen for the downlink")))
    drawing = svg("Histogram of scores", frame(x, y, x_ticks, y_ticks, "score", "cells (log scale)"), bars)
    return join(legend, drawing)


def precision_recall(found: Agreement, chosen: tuple[float, float] | None) -> Html | None:
    """Precision over recall; `chosen` (recall, precision) is where the budget stopped. None without a positive."""
    curve = found.curve
    if not curve.recall.size:
        return None
    step = max(1, curve.recall.size // CURVE_POINTS)
    keep = np.unique(np.append(np.arange(0, curve.recall.size, step), curve.recall.size - 1))
    x, y = Axis(0, 1, LEFT, HALF - RIGHT), Axis(0, 1, HEIGHT - BOTTOM, TOP + 10)
    path, before = [], 0.0
    for recall, precision in zip(curve.recall[keep].tolist(), curve.precision[keep].tolist(), strict=True):
        # Steps, as average precision sums them: the area under this line is the number beside it.
        path += [(x(before), y(precision)), (x(recall), y(precision))]
        before = recall
    base = found.positives / found.cells
    fifths = [(v / 5, f"{v * 20} %") for v in range(6)]
    parts = [
        *frame(x, y, fifths, fifths, "recall: share of the truly changed cells found", "precision"),
        tag("line", x1=x.start, x2=x.end, y1=y(base), y2=y(base), class_="base"),
        tag("text", f"chance {words.share(base)}", x=x.end - 4, y=y(base) - 5, class_="tick end"),
        tag("polyline", points=points(path), class_="line"),
    ]
    if chosen is not None:
        at = (x(chosen[0]), y(chosen[1]))
        parts.append(tag("circle", cx=at[0], cy=at[1], r=5, class_="dot"))
        side, kind = (-9, "label end") if chosen[0] > 0.7 else (9, "label")
        parts.append(tag("text", "the chosen", x=at[0] + side, y=at[1] + 16, class_=kind))
    return svg("Precision over recall", parts, width=HALF)


def reliability(found: Agreement) -> Html | None:
    """Observed over stated probability, both logarithmic; the diagonal is what was promised. None without enough."""
    table = found.reliability
    if table is None or table.stated.size < 2:
        return None
    x, y = (
        Axis(LOWEST, 1.0, LEFT, HALF - RIGHT, log=True),
        Axis(LOWEST, 1.0, HEIGHT - BOTTOM, TOP + 10, log=True),
    )
    marks = [(v, words.share(v)) for v in (0.001, 0.01, 0.1, 1.0)]
    path = [(x(a), y(b)) for a, b in zip(table.stated.tolist(), table.observed.tolist(), strict=True)]
    return svg(
        "Reliability",
        [
            *frame(x, y, marks, marks, "stated probability of change (log)", "share that changed (log)"),
            tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.end, class_="base"),
            tag("polyline", points=points(path), class_="line"),
            [tag("circle", cx=px, cy=py, r=3.5, class_="dot") for px, py in path],
        ],
        width=HALF,
    )


def _bar(left: float, right: float, base: float, top: float, kind: str) -> Html:
    width = max(0.6, right - left - 1.0)
    return tag("rect", x=f"{left:g}", y=f"{top:g}", width=f"{width:.2f}", height=f"{base - top:.2f}", class_=kind)


def key(entries: Sequence[tuple[str, str]]) -> Html:
    """The legend of a plot: (CSS class of the mark, what it means)."""
    return tag("p", [tag("span", tag("i", class_=f"swatch {kind}"), text) for kind, text in entries], class_="key")
