"""The cards of the top detections: before, after, and the scores around, each with what a person needs to judge it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from onboard.report import words
from onboard.report.colour import Scale
from onboard.report.maps import neighbourhood
from onboard.report.markup import Html, tag
from onboard.report.outcome import Detection, PassResult, Pictures
from onboard.report.places import chosen_of
from onboard.report.png import data_uri, encode
from onboard.report.tally import POSITIVE_SHARE
from onboard.report.verdict import centre

CARDS = 24
THUMB_PX = 128
"""Longest side of a thumbnail; larger pictures are thinned, so that a report stays a few megabytes."""

FROM = {"stream": "before: from the stream", "memory": "before: memory, 8\u00d78 px means"}


def gallery(detections: Sequence[Detection], passes: Sequence[PassResult], scale: Scale) -> Html:
    """Cards of the first `CARDS` detections, in rank order."""
    highest = max((d.score for d in detections if math.isfinite(d.score)), default=1.0)
    cards = [_card(d, _pass_of(d, passes), scale, highest) for d in detections[:CARDS]]
    return tag("div", cards, class_="cards")


def _pass_of(detection: Detection, passes: Sequence[PassResult]) -> PassResult | None:
    return next((p for p in passes if chosen_of(p, (detection,))), None)


def _card(d: Detection, result: PassResult | None, scale: Scale, highest: float) -> Html:
    shots = _shots(d, result, scale)
    where = centre(d.grid, d.row, d.col)
    bar = 100 * max(0.0, min(1.0, d.score / highest)) if highest > 0 and math.isfinite(d.score) else 0.0
    facts = [
        ("score", words.score(d.score)),
        ("value", words.score(d.value)),
        ("size", words.size(d.size)),
        ("cell", f"row {d.row}, col {d.col}"),
    ]
    return tag(
        "article",
        tag(
            "header",
            tag("span", d.rank, class_="rank"),
            tag("div", tag("b", where), tag("span", words.moment(d.sensing_time), class_="id"), class_="where"),
        ),
        tag("button", shots, type="button", class_="shots", aria_label=f"Enlarge rank {d.rank}"),
        tag("div", tag("i", style=f"width: {bar:.1f}%"), class_="meter", aria_hidden="true"),
        tag("dl", [tag("div", tag("dt", k), tag("dd", v)) for k, v in facts], class_="facts"),
        tag("footer", _provenance(d.pictures), _truth(d.truth), class_="foot"),
        tag("a", d.product, href="products/" + quote(d.product), class_="id"),
        class_="card",
        id=f"rank-{d.rank}",
    )


def _shots(d: Detection, result: PassResult | None, scale: Scale) -> list[Html]:
    pictures = d.pictures
    past = words.date(pictures.before_time) if pictures and pictures.before_time else "before"
    shots = [
        _shot(pictures.before if pictures else None, "nothing kept", past, "Before"),
        _shot(pictures.after if pictures else None, "no picture", words.date(d.sensing_time), "After"),
    ]
    if result is not None:
        shots.append(tag("span", neighbourhood(result, d, scale), tag("small", "score around"), class_="pane"))
    return shots


def _shot(picture: NDArray[np.uint8] | None, missing: str, caption: str, kind: str) -> Html:
    if picture is None or not picture.size:
        inner = tag("span", missing, class_="shot none")
    else:
        step = max(1, math.ceil(max(picture.shape[:2]) / THUMB_PX))
        png = encode(np.ascontiguousarray(picture[::step, ::step]))
        inner = tag("span", tag("img", src=data_uri(png), alt=f"{kind}, {caption}"), class_="shot")
    return tag("span", inner, tag("small", caption), class_="pane")


def _provenance(pictures: Pictures | None) -> Html:
    if pictures is None or pictures.before is None:
        return tag("span", "before: nothing kept", class_="badge none")
    kind = pictures.before_from
    return tag("span", FROM.get(kind, f"before: {kind}"), class_=f"badge {kind if kind in FROM else 'none'}")


def _truth(truth: float | None) -> Html | None:
    if truth is None or not math.isfinite(truth):
        return None
    mark, kind = ("\u2713", "hit") if truth > POSITIVE_SHARE else ("\u2717", "miss")
    said = f"{mark} {words.share(truth)} changed"
    return tag("span", said, class_=f"badge {kind}", title="share of its pixels that truly changed")
