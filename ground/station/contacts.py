"""When products came: arrivals grouped into contacts, and drawings of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ground.station.chips import Chip
from onboard.report import words
from onboard.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, frame, points, svg, ticks
from onboard.report.markup import Html, join, tag

GAP = timedelta(minutes=5)
"""Silence that ends a contact."""
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 2592000)
MOST_POINTS = 600
STRIP_WIDTH, STRIP_HEIGHT = 240.0, 18.0


@dataclass(frozen=True)
class Contact:
    """Products that came without a gap of `GAP`, in the order of arrival; at least one."""

    chips: tuple[Chip, ...]

    @property
    def start(self) -> datetime:
        """When the first product was whole."""
        return self.chips[0].received

    @property
    def end(self) -> datetime:
        """When the last one was."""
        return self.chips[-1].received

    @property
    def size(self) -> int:
        """Bytes of all its products."""
        return sum(chip.size for chip in self.chips)


def contacts(chips: Sequence[Chip]) -> list[Contact]:
    """All contacts, oldest first."""
    groups: list[list[Chip]] = []
    for chip in sorted(chips, key=lambda c: (c.received, c.sha256)):
        if not groups or chip.received - groups[-1][-1].received > GAP:
            groups.append([])
        groups[-1].append(chip)
    return [Contact(tuple(group)) for group in groups]


def timeline(found: Sequence[Contact]) -> Html:
    """Bytes on the ground over time; each contact a band. At least one contact."""
    start, end = found[0].start.timestamp(), found[-1].end.timestamp()
    margin = max(1.0, (end - start) * 0.02)
    x = Axis(start - margin, end + margin, LEFT + 14, WIDTH - RIGHT)
    total = sum(contact.size for contact in found)
    y = Axis(0.0, total * 1.08, HEIGHT - BOTTOM, TOP + 10)
    bands, line, used = [], [(x(start), y(0))], 0
    for contact in found:
        left, right = x(contact.start.timestamp()), x(contact.end.timestamp())
        said = (
            f"{words.moment(contact.start)}: {words.plural(len(contact.chips), 'product')}, {words.size(contact.size)}"
        )
        width = max(4.0, right - left)
        bands.append(
            tag("rect", tag("title", said), x=left - (width - right + left) / 2, y=y.end, width=f"{width:.2f}",
                height=y.start - y.end, class_="contact")
        )  # fmt: skip
        for chip in contact.chips:
            line.append((x(chip.received.timestamp()), y(used)))
            used += chip.size
            line.append((x(chip.received.timestamp()), y(used)))
    every = max(1, len(line) // MOST_POINTS)
    line = [*line[:-1:every], line[-1]]
    area = [*line, (line[-1][0], y(0)), (line[0][0], y(0))]
    levels = [(v, words.size(v)) for v in ticks(0.0, y.high, 4)]
    return svg(
        "Bytes on the ground over time", bands, frame(x, y, time_ticks(x), levels, "received (UTC)", "on the ground"),
        tag("polygon", points=points(area), class_="area"), tag("polyline", points=points(line), class_="line"),
    )  # fmt: skip


def time_ticks(x: Axis, about: int = 6) -> list[tuple[float, str]]:
    """Round times within an axis of seconds since 1970, with as much of the date as tells them apart."""
    span = x.high - x.low
    step = next((s for s in STEPS_S if span / s <= about), STEPS_S[-1])
    form = "%Y-%m-%d" if step >= 86400 else "%d %b %H:%M" if span > 86400 else "%H:%M" if step >= 60 else "%H:%M:%S"
    first = int(-(-x.low // step)) * step
    marks = range(first, int(x.high) + 1, step)
    return [(float(at), datetime.fromtimestamp(at, UTC).strftime(form)) for at in marks]


def strip(contact: Contact, colour: dict[str, str]) -> Html:
    """What came when within one contact: a mark a product, in the colour of its score."""
    length = max(1.0, (contact.end - contact.start).total_seconds())
    every = max(1, len(contact.chips) // MOST_POINTS)
    marks = []
    for chip in contact.chips[::every]:
        at = (chip.received - contact.start).total_seconds() / length * (STRIP_WIDTH - 4) + 2
        marks.append(
            tag(
                "line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=2, y2=STRIP_HEIGHT - 2, style=f"stroke:{colour[chip.sha256]}"
            )
        )
    box = f"0 0 {STRIP_WIDTH:g} {STRIP_HEIGHT:g}"
    return join(tag("svg", marks, viewBox=box, class_="arrivals", role="img", aria_label="arrivals within the contact"))
