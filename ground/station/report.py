"""report.html of the archive: what is on the ground, where it lies, what came when; one page that needs only itself.

While a station receives, the page reloads itself every few seconds and says how long ago the last product came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import numpy as np

import onboard
from ground.receive.archive import CATALOG
from ground.station.chips import Chip
from ground.station.contacts import Contact, contacts, strip, timeline
from ground.station.detections import GEOJSON, GEOPARQUET
from ground.station.map import granule_map, legend
from ground.station.picture import Picture, stretched, thumbnail
from onboard.report import words
from onboard.report.colour import LEVELS, Scale, palette, scale_of
from onboard.report.markup import Html, tag
from onboard.report.png import data_uri, encode
from onboard.report.tables import figures, table

MOST_MAPS, MOST_CARDS, MOST_ROWS = 4, 24, 40
RELOAD_S = 5
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Live:
    """The station that receives while the page is written.

    Attributes:
        listens: its address.
    """

    listens: str


def render(chips: Sequence[Chip], pictures: dict[str, Picture], now: datetime, live: Live | None) -> str:
    """The whole page.

    Args:
        chips: all of the archive, by sensing time.
        pictures: by granule, from the page before; brought up to date here.
        now: when the page is made.
    """
    scale = scale_of(np.array([chip.score for chip in chips], dtype=np.float32))
    colour = {chip.sha256: score_colour(chip.score, scale) for chip in chips}
    met = contacts(chips)
    body = [
        _header(chips, met, now, live),
        tag(
            "main",
            figures(_figures(chips, met)),
            _maps(chips, pictures, scale, colour),
            _came(met, colour),
            _newest(chips, colour),
            _acquisitions(chips),
        ),
        tag(
            "footer",
            f"onboard-detect {onboard.__version__}. Positions are WGS84, times UTC, sizes in SI units. Also here: ",
            [tag("a", name, href=name) for name in (GEOJSON, GEOPARQUET, CATALOG)],
            class_="colophon",
        ),
        tag("script", Html(_asset("report.js"))),
    ]  # fmt: skip
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "Ground archive"),
        tag("style", Html(files("onboard.report").joinpath("page.css").read_text(encoding="utf-8"))),
        tag("style", Html(_asset("report.css"))),
    ]
    reload = {"data_reload": RELOAD_S} if live else {}
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", tag("body", body, **reload), lang="en") + "\n"


def score_colour(score: float, scale: Scale) -> str:
    """`#rrggbb` on the ramp of the score maps."""
    share = min(1.0, max(0.0, (score - scale.low) / (scale.high - scale.low)))
    red, green, blue = palette()[round((0.25 + 0.75 * share) * (LEVELS - 1)), :3]  # black is lost on a dark map
    return f"#{red:02x}{green:02x}{blue:02x}"


def _asset(name: str) -> str:
    return files("ground.station").joinpath(name).read_text(encoding="utf-8")


def _section(title: str, *content: object, note: str | None = None) -> Html:
    return tag("section", tag("h2", title), tag("p", note, class_="note") if note else None, content)


def _ago(time: datetime) -> Html:
    """A time that the page counts on from."""
    return tag("time", words.moment(time), datetime=time.isoformat(), class_="ago")


def _header(chips: Sequence[Chip], met: Sequence[Contact], now: datetime, live: Live | None) -> Html:
    if chips:
        granules, passes = len({c.granule for c in chips}), len({c.collection for c in chips})
        verdict: list[object] = [
            f"{words.plural(len(chips), 'product')} of {words.plural(passes, 'acquisition')} over "
            f"{words.plural(granules, 'place')}, in {words.plural(len(met), 'contact')}. The last one came ",
            _ago(met[-1].end),
            ".",
        ]
    else:
        verdict = ["Nothing has come down yet."]
    state = (
        tag("span", tag("i"), f"receiving on {live.listens}", class_="state on")
        if live
        else tag("span", tag("i"), f"as of {words.moment(now)}", class_="state")
    )
    return tag(
        "header",
        tag(
            "div",
            tag("p", "onboard-detect", state, class_="kicker"),
            tag("h1", "Ground archive"),
            tag("p", verdict, class_="verdict"),
        ),
        class_="top",
    )


def _figures(chips: Sequence[Chip], met: Sequence[Contact]) -> list[tuple[str, str, str]]:
    if not chips:
        return [("Products", "0", "in the archive")]
    seen = [c for c in chips if c.is_picture] or list(chips)
    cells = {(c.granule, c.row + i, c.col + j) for c in seen for i in range(c.rows) for j in range(c.cols)}
    size = sum(chip.size for chip in chips)
    best, newest = max(seen, key=lambda c: c.score), chips[-1]
    delays = sorted((c.received - c.sensing_time).total_seconds() for c in chips)
    last = met[-1]
    return [
        ("Products", f"{len(chips):,}", f"{words.plural(len(last.chips), 'product')} in the last contact"),
        ("On the ground", words.size(size), f"{words.size(last.size)} in the last contact"),
        ("Cells seen", f"{len(cells):,}", f"{len(cells) * 0.1024:,.1f} km\u00b2 at 10 m"),
        ("Highest score", words.score(best.score), f"cell {best.row}, {best.col} on {words.date(best.sensing_time)}"),
        ("Newest image", words.date(newest.sensing_time), words.utc(newest.sensing_time).strftime("%H:%M UTC")),
        ("Sensed to received", _delay(delays[len(delays) // 2]), "median over all products"),
    ]


def _delay(seconds: float) -> str:
    if seconds < 7200:
        return words.seconds(max(0.0, seconds)) if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.0f} d"


def _maps(chips: Sequence[Chip], pictures: dict[str, Picture], scale: Scale, colour: dict[str, str]) -> Html | None:
    chips = [chip for chip in chips if chip.is_picture]
    if not chips:
        return None
    granules: dict[str, list[Chip]] = {}
    for chip in chips:
        granules.setdefault(chip.granule, []).append(chip)
    order = sorted(granules, key=lambda name: max(c.received for c in granules[name]), reverse=True)
    for name in set(pictures) - set(order[:MOST_MAPS]):
        del pictures[name]
    span = (chips[0].sensing_time, chips[-1].sensing_time)
    maps = [granule_map(granules[name], pictures, colour, span) for name in order[:MOST_MAPS]]
    left = len(order) - len(maps)
    note = "The newest chip of each cell, in true colour. Point at one to read it; select it for its file."
    note += f" The {left} other places are in catalog.json." if left else ""
    buttons = [
        tag("button", text, type="button", data_layer=layer, aria_pressed="true" if layer == "picture" else "false")
        for layer, text in (("picture", "Picture"), ("score", "Score"), ("age", "Age"))
    ]
    group = tag("div", buttons, class_="layers", role="group", aria_label="What the map shows")
    bar = tag("div", group, legend(scale, span), class_="map-bar")
    return _section("Map", bar, tag("div", maps, class_="places one" if len(maps) == 1 else "places"), note=note)


def _came(met: Sequence[Contact], colour: dict[str, str]) -> Html | None:
    if not met:
        return None
    rows = [
        (
            words.utc(contact.start).strftime("%Y-%m-%d %H:%M:%S"),
            strip(contact, colour),
            words.seconds((contact.end - contact.start).total_seconds()),
            f"{len(contact.chips):,}",
            words.size(contact.size),
            words.score(max(chip.score for chip in contact.chips)),
        )
        for contact in met[::-1][:MOST_ROWS]
    ]
    head = ("Contact (UTC)", "What came when", "Took", "Products", "Bytes", "Highest score")
    note = "A contact ends with five minutes of silence. A mark is a product, in the colour of its score."
    return _section("What came when", timeline(met), table(head, rows, text_columns=2), note=note)


def _newest(chips: Sequence[Chip], colour: dict[str, str]) -> Html | None:
    chips = [chip for chip in chips if chip.is_picture]
    if not chips:
        return None
    newest = sorted(chips, key=lambda c: (c.received, c.score), reverse=True)[:MOST_CARDS]
    cards = [_card(chip, colour[chip.sha256]) for chip in newest]
    left = len(chips) - len(cards)
    note = (
        f"The last to arrive; the other {left:,} are in detections.geojson."
        if left > 0
        else "The last to arrive first."
    )
    return _section("Newest products", tag("div", cards, class_="chips"), note=note)


def _card(chip: Chip, colour: str) -> Html:
    colours = thumbnail(chip)
    image = (
        tag("img", src=data_uri(encode(stretched(colours))), alt=f"Cell {chip.row}, {chip.col}")
        if colours is not None
        else tag("span", "no picture", class_="shot none")
    )
    href = f"stac/{chip.collection}/{chip.cog.name}"
    return tag(
        "a",
        tag("span", image, class_="shot"),
        tag(
            "span",
            tag("b", tag("i", style=f"background:{colour}"), words.score(chip.score)),
            tag("span", f"cell {chip.row}, {chip.col}"),
            tag("span", words.date(chip.sensing_time)),
            tag("small", f"{words.size(chip.size)}, ", _ago(chip.received)),
            class_="said",
        ),
        href=href,
        title=chip.product_id,
        class_="chip",
    )


def _acquisitions(chips: Sequence[Chip]) -> Html | None:
    if not chips:
        return None
    groups: dict[str, list[Chip]] = {}
    for chip in chips:
        groups.setdefault(chip.collection, []).append(chip)
    rows = [
        (
            words.utc(members[0].sensing_time).strftime("%Y-%m-%d %H:%M"),
            tag("a", members[0].product_id, href=f"stac/{Path(name).name}/collection.json", class_="id"),
            members[0].granule,
            f"{len(members):,}",
            words.size(sum(c.size for c in members)),
            words.score(max(c.score for c in members)),
            words.moment(max(c.received for c in members)),
        )
        for name, members in sorted(groups.items(), reverse=True)[:MOST_ROWS]
    ]
    head = ("Sensed (UTC)", "Acquisition", "Place", "Products", "Bytes", "Highest score", "Last received")
    return _section("Acquisitions", table(head, rows, text_columns=3))
