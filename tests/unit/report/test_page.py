from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from onboard.report.markup import VOID, Html, tag
from onboard.report.outcome import CellStatus, Outcome
from onboard.report.page import MAX_MAPS, render
from onboard.report.verdict import verdict

EVIL = "<script>alert('x')</script>\"'&"


class Checker(HTMLParser):
    """Every element closed in order, no id twice, every reference inside the file."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(name)
        values = dict(attributes)
        assert len(values) == len(attributes), f"attribute twice in {self.get_starttag_text()}"
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.links += [str(values[key]) for key in ("src", "href", "action") if values.get(key)]
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name


def check(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open
    assert len(set(checker.ids)) == len(checker.ids)
    assert all(link.startswith(("data:image/png;base64,", "products/")) for link in checker.links)
    assert not re.search(r"https?://|@import|url\(", text)
    return checker


def maps(text: str) -> int:
    return text.count('class="score-map"')


def test_well_formed_self_contained_and_repeatable(outcome: Outcome) -> None:
    text = render(outcome)
    page = check(text)
    assert text == render(outcome)
    assert page.seen.count("article") == 9
    assert maps(text) == 2  # the first look has no scores to map
    assert "before: from the stream" in text
    assert "before: memory" in text
    assert "before: nothing kept" in text
    assert "Against the truth" in text
    assert "it ends in the middle of block 7" in text


def test_every_string_is_escaped(outcome: Outcome) -> None:
    nasty = tuple(replace(p, product_id=EVIL) for p in outcome.passes)
    detections = tuple(
        replace(d, product_id=EVIL, product=EVIL, pictures=d.pictures and replace(d.pictures, before_from=EVIL))
        for d in outcome.detections
    )
    text = render(
        replace(
            outcome,
            streams=(EVIL,),
            bundle={"name": EVIL, "version": EVIL, EVIL: EVIL},
            passes=nasty,
            detections=detections,
            stage_seconds={EVIL: 1.0},
            counters={EVIL: 1},
            refused=((EVIL, EVIL, EVIL),),
            settings={EVIL: {EVIL: [EVIL]}, "precision": EVIL},
        )
    )
    page = check(text)
    assert page.seen.count("script") == 1
    assert "<script>alert" not in text


@pytest.mark.parametrize("status", [CellStatus.UNKNOWN, CellStatus.FIRST_LOOK, CellStatus.NOT_LOOKED_AT])
def test_nothing_scored(build: Callable[..., Outcome], build_pass: Any, status: int) -> None:
    outcome = build((build_pass(1, status=status),))
    text = render(outcome)
    check(text)
    assert maps(text) == 1
    assert "No cell was scored" in text
    assert "No cell was chosen" in text


def test_verdicts(build: Callable[..., Outcome], build_pass: Any) -> None:
    assert "330 cells were compared with the past in 3 passes; 9 products are queued" in verdict(build())
    assert "A first look: 165 cells are remembered" in verdict(build((build_pass(0),)))
    assert "Nothing could be judged: 192 cells" in verdict(build((build_pass(1, status=CellStatus.UNKNOWN),)))
    assert "no product is queued under the budget of 20.0 kB" in verdict(build(count=0))
    assert "Nothing could be looked at: 1 input was refused." in verdict(build(()))


def test_empty_run(build: Callable[..., Outcome]) -> None:
    nothing: dict[str, Any] = {key: {} for key in ("stage_seconds", "counters", "settings", "bundle")}
    text = render(build((), wall_seconds=0.0, tiles=0, refused=(), **nothing))
    check(text)
    assert "No input was refused." in text
    assert maps(text) == 0


def test_no_truth(build: Callable[..., Outcome], build_pass: Any) -> None:
    text = render(build((build_pass(1, truth=False),)))
    check(text)
    assert "Against the truth" not in text


def test_a_hundred_passes_show_few_maps_and_a_timeline(build: Callable[..., Outcome], build_pass: Any) -> None:
    text = render(build(tuple(build_pass(i) for i in range(100)), count=200))
    check(text)
    assert maps(text) == MAX_MAPS
    assert "Scores over time" in text
    assert text.count("<article") == 24


def test_a_whole_granule_stays_small(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    grid = build_grid(343, 343)
    text = render(build(tuple(build_pass(i, grid) for i in range(7)), count=3000))
    check(text)
    assert len(text) < 7_000_000


def test_several_places_and_no_crs(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    grids = [build_grid(x=300_000.0 + 50_000.0 * i) for i in range(9)] + [build_grid(crs=""), build_grid(3, 2, up=10.0)]
    text = render(build(tuple(build_pass(i + 1, grid) for i, grid in enumerate(grids))))
    check(text)
    assert maps(text) == MAX_MAPS
    assert "Place 1" in text


def test_odd_scores(build: Callable[..., Outcome], build_pass: Any) -> None:
    result = build_pass(1)
    for value in (0.0, -3.0, 1e-9, 1e9):
        flat = np.where(np.isnan(result.score), np.nan, value).astype(np.float32)
        check(render(build((replace(result, score=flat),))))
    broken = replace(result, score=np.full_like(result.score, np.nan))  # SCORED without a score: shown as nothing
    check(render(build((broken,), count=0)))


def test_markup_escapes_unless_told() -> None:
    assert tag("p", "<b>", Html("<i>"), None, [1, "&"], class_='a"b', hidden=True, id=None) == (
        '<p class="a&quot;b" hidden>&lt;b&gt;<i>1&amp;</p>'
    )
