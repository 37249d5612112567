"""The frame of a plot: where numbers fall on the page, round ticks, grid lines, labels. Inline SVG; see page.css."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onboard.report.markup import Html, tag

WIDTH, HALF, HEIGHT = 900.0, 500.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 20.0, 14.0, 40.0
"""SVG user units. A plot keeps its proportions: `WIDTH` for a whole row of the page, `HALF` beside something else."""


@dataclass(frozen=True)
class Axis:
    """Maps numbers from `low`..`high` to SVG units `start`..`end`; with `log`, by their logarithm (low > 0)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """SVG coordinate, rounded to a hundredth; beyond the ends it stays at the end."""
        low, high, at = self.low, self.high, max(value, self.low)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        share = min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 5 x 10^n apart) within `low`..`high`."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power > raw * 0.85)  # rather one tick too many than half
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def decades(high: float) -> list[float]:
    """1, 10, 100 ... up to `high`, for counts on a logarithmic axis."""
    return [10.0**n for n in range(math.floor(math.log10(max(high, 1.0))) + 1)]


Ticks = Sequence[tuple[float, str]]


def frame(x: Axis, y: Axis, x_ticks: Ticks, y_ticks: Ticks, x_name: str, y_name: str) -> list[Html]:
    """Horizontal grid lines, the base line, tick labels and the names of both axes."""
    parts = []
    for value, label in y_ticks:
        at = y(value)
        parts.append(tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", label, x=x.start - 7, y=at + 3.5, class_="tick end"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    for value, label in x_ticks:
        parts.append(tag("line", x1=x(value), x2=x(value), y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(tag("text", label, x=x(value), y=y.start + 16, class_="tick mid"))
    parts.append(tag("text", x_name, x=x.end, y=y.start + 32, class_="name end"))
    parts.append(tag("text", y_name, x=x.start, y=y.end - 4, class_="name"))
    return parts


def svg(title: str, *children: object, width: float = WIDTH) -> Html:
    """The drawing itself; `title` is what a screen reader says."""
    box = f"0 0 {width:g} {HEIGHT:g}"
    return tag("svg", tag("title", title), *children, viewBox=box, role="img", class_="plot", aria_label=title)


def points(pairs: Sequence[tuple[float, float]]) -> str:
    """The `points` attribute of a polyline."""
    return " ".join(f"{px:g},{py:g}" for px, py in pairs)
