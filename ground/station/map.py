"""The map of one granule: a true-colour picture of its chips, an outline each, layers of score and age over it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ground.station.chips import Chip, grid_of
from ground.station.picture import Picture, cell_metres, extent_of
from onboard.report import words
from onboard.report.axes import ticks
from onboard.report.colour import LEVELS, Scale, palette
from onboard.report.markup import Html, tag
from onboard.report.png import data_uri, encode

MOST_OUTLINES = 4000
"""Chips with an outline; of more, those with the highest scores."""
NEWEST, OLDEST = (132, 232, 192), (22, 62, 76)
"""Colours of the newest and the oldest look that is shown."""

Span = tuple[datetime, datetime]


def granule_map(chips: Sequence[Chip], pictures: dict[str, Picture], colour: dict[str, str], span: Span) -> Html:
    """The figure.

    Args:
        chips: of one granule, by sensing time, at least one.
        pictures: what was drawn before, by granule; brought up to date.
        colour: of each chip's score.
        span: sensing times that get the colours `OLDEST` and `NEWEST`.
    """
    name, extent = chips[0].granule, extent_of(chips)
    if name not in pictures or pictures[name].extent != extent:
        pictures[name] = Picture(extent)
    pictures[name].draw(chips)
    top, left, rows, cols = extent
    newest: dict[tuple[int, int, int, int], Chip] = {}
    for chip in chips:
        newest[chip.row, chip.col, chip.rows, chip.cols] = chip
    shown = sorted(newest.values(), key=lambda c: -c.score)[:MOST_OUTLINES]
    outlines = [_outline(chip, top, left, colour[chip.sha256], span) for chip in reversed(shown)]
    box = tag(
        "div",
        tag("img", src=data_uri(encode(pictures[name].image())), alt=f"Chips of {name} in true colour"),
        tag("svg", outlines, viewBox=f"0 0 {cols} {rows}", preserveAspectRatio="none"),
        _scale_bar(chips[0], cols),
        tag("span", "N \u2191", class_="north") if chips[0].crs and chips[0].transform[4] < 0 else None,
        class_="place",
        style=f"aspect-ratio: {cols} / {rows}; max-width: calc(72vh * {cols / rows:.3f})",
        data_layer="picture",
    )
    caption = tag(
        "figcaption",
        tag("b", _where(chips)),
        tag("span", f"{words.plural(len(chips), 'chip')}, {words.period([c.sensing_time for c in chips])}"),
        tag("span", name, class_="id"),
    )
    hint = tag("p", "Point at a chip.", class_="readout", aria_live="polite")
    return tag("figure", caption, tag("div", box, class_="frame"), hint, class_="score-map")


def legend(scale: Scale, span: Span) -> Html:
    """What the colours of scores and ages mean; the page shows the one that fits the layer."""
    first = round(0.25 * (LEVELS - 1))
    image = data_uri(encode(np.arange(first, LEVELS, dtype=np.uint8)[None, :], palette()))
    width = scale.high - scale.low
    at = [(100 * (v - scale.low) / width, v) for v in ticks(scale.low, scale.high, 4)]
    marks = [tag("span", f"{v:g}", style=f"left: {share:.2f}%") for share, v in at if 0 <= share <= 100]
    ramp = tag("span", tag("img", src=image, alt="colour ramp"), tag("span", marks, class_="marks"), class_="ramp")
    ages = tag("i", class_="ages", style=f"background: linear-gradient(90deg, {_hex(OLDEST)}, {_hex(NEWEST)})")
    return tag(
        "div",
        tag("span", tag("span", "score"), ramp, class_="of-score"),
        tag("span", f"sensed {words.date(span[0])}", ages, words.date(span[1]), class_="of-age"),
        class_="legend",
    )


def age_colour(time: datetime, span: Span) -> str:
    """Between `OLDEST` and `NEWEST`, linear in time."""
    whole = (span[1] - span[0]).total_seconds()
    share = min(1.0, max(0.0, (time - span[0]).total_seconds() / whole)) if whole > 0 else 1.0
    return _hex(tuple(round(a + share * (b - a)) for a, b in zip(OLDEST, NEWEST, strict=True)))


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{value:02x}" for value in colour)


def _outline(chip: Chip, top: int, left: int, colour: str, span: Span) -> Html:
    said = " \u00b7 ".join(
        (
            f"cell {chip.row}, {chip.col}",
            f"score {words.score(chip.score)}",
            f"sensed {words.moment(chip.sensing_time)}",
            f"received {words.moment(chip.received)}",
            words.size(chip.size),
        )
    )
    mark = tag(
        "rect", x=chip.col - left, y=chip.row - top, width=chip.cols, height=chip.rows, data_said=said,
        style=f"--s:{colour};--a:{age_colour(chip.sensing_time, span)}",
    )  # fmt: skip
    return tag("a", mark, href=f"stac/{chip.collection}/{chip.cog.name}", tabindex=-1)


def _where(chips: Sequence[Chip]) -> str:
    grid = grid_of(chips)
    if not grid.crs:
        return "No coordinate system"
    last = chips[-1]
    ring = grid.cell_ring(last.row, last.col, last.rows, last.cols)
    return words.position(sum(p[0] for p in ring[:4]) / 4, sum(p[1] for p in ring[:4]) / 4)


def _scale_bar(chip: Chip, cols: int) -> Html | None:
    metres = cell_metres(chip) * cols
    if not chip.crs or metres < 100:  # degrees, or nothing at all
        return None
    length = max(m * 10.0**p for m in (1, 2, 5) for p in range(2, 6) if m * 10.0**p <= max(100.0, metres * 0.3))
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return tag("span", label, class_="scale-bar", style=f"width: {100 * length / metres:.2f}%")
