"""report.html: what a run found, on one page that needs nothing but itself: no network, no framework."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

import onboard
from onboard.report import gallery, plots, tables, words
from onboard.report.colour import Scale, scale_of
from onboard.report.energy import energy
from onboard.report.governed import governed
from onboard.report.maps import legend, score_map
from onboard.report.markup import Html, tag
from onboard.report.outcome import Outcome, PassResult
from onboard.report.places import Place, chosen_of, places
from onboard.report.tally import Agreement, Cells, agree, chosen_hits, count, scores_of
from onboard.report.timeline import timeline
from onboard.report.verdict import centre, extent, verdict

MAX_MAPS = 6
"""Maps shown over all places; a longer series shows its newest and the timeline."""

TIMELINE_FROM = 4
CONVENTIONS = "Positions are WGS84, times UTC, sizes in SI units."

Shown = dict[int, tuple[PassResult, ...]]

# Says to the browser what the file promises: nothing is loaded from anywhere, whatever an input managed to write here.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def render(outcome: Outcome) -> str:
    """The whole page; the same outcome gives the same text."""
    cells, agreed = count(outcome.passes), agree(outcome.passes, outcome.settings.get("prior"))
    sites = places(outcome.passes)
    shown = {id(site): _worth_showing(site, max(1, MAX_MAPS // max(1, len(sites)))) for site in sites}
    values = [scores_of(p) for site in sites for p in shown[id(site)]]
    scale = scale_of(np.concatenate(values) if values else np.empty(0, np.float32))
    body = [
        _header(outcome, sites),
        tag(
            "main",
            tables.figures(_figures(outcome, cells, agreed)),
            _top(outcome, scale),
            _maps(outcome, sites[:MAX_MAPS], shown, scale),
            _truth(outcome, agreed),
            [_series(outcome, site) for site in sites[:MAX_MAPS] if len(site.passes) >= TIMELINE_FROM],
            _distribution(outcome),
            tag(
                "div",
                _section("Downlink budget", tables.budget(outcome, cells)),
                _section("Time by stage", tables.timing(outcome)),
                class_="pair",
            ),
            _section("Passes", tables.pass_list(outcome.passes, outcome.detections)) if outcome.passes else None,
            _section("Deadlines", deadlines) if (deadlines := governed(outcome)) else None,
            _section("Energy", joules) if (joules := energy(outcome)) else None,
            tag("div", _section("Faults and refusals", tables.faults(outcome)), _settings(outcome), class_="pair"),
        ),
        tag("footer", f"onboard-detect {onboard.__version__}. {CONVENTIONS}", class_="colophon"),
        tag("dialog", id="zoom", aria_label="Enlarged detection"),
        tag("script", Html(_asset("page.js"))),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Change report {words.period([p.sensing_time for p in outcome.passes])}"),
        tag("style", Html(_asset("page.css"))),
    ]
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", tag("body", body), lang="en") + "\n"


def _asset(name: str) -> str:
    return files("onboard.report").joinpath(name).read_text(encoding="utf-8")


def _section(title: str, *content: object, note: str | None = None) -> Html:
    return tag("section", tag("h2", title), tag("p", note, class_="note") if note else None, content)


def _worth_showing(place: Place, most: int) -> tuple[PassResult, ...]:
    """The newest passes with scores, newest first; the newest of all where none has any."""
    scored = [p for p in place.passes if scores_of(p).size]
    return tuple((scored or list(place.passes[-1:]))[::-1][:most])


def _header(outcome: Outcome, sites: Sequence[Place]) -> Html:
    bundle, passes = outcome.bundle, outcome.passes
    name = " ".join(str(bundle[key]) for key in ("name", "version") if bundle.get(key))
    precision = bundle.get("precision") or outcome.settings.get("precision") or words.DASH
    where = [f"{_middle(site)}, {extent(site.grid)}" for site in sites]
    if len(sites) == 1:
        where = [_middle(sites[0]), extent(sites[0].grid)]
    facts = [
        ("Where", _few(where) or [words.DASH]),
        ("When", [words.period([p.sensing_time for p in passes]), words.plural(len(passes), "pass", "passes")]),
        ("Model", [name or words.DASH, f"{precision} weights" if precision != words.DASH else ""]),
        ("Stream", _few(outcome.streams)),
    ]
    listed = [tag("div", tag("dt", key), [tag("dd", line) for line in lines if line]) for key, lines in facts]
    return tag(
        "header",
        tag(
            "div",
            tag("p", "onboard-detect", class_="kicker"),
            tag("h1", "Change report"),
            tag("p", verdict(outcome), class_="verdict"),
            tag("dl", listed, class_="facts"),
        ),
        class_="top",
    )


def _few(lines: Sequence[str], most: int = 3) -> list[str]:
    left = len(lines) - most
    return [*lines[:most], f"and {left} more"] if left > 0 else list(lines)


def _middle(site: Place) -> str:
    return centre(site.grid, site.rows // 2, site.cols // 2)


def _figures(outcome: Outcome, cells: Cells, agreed: Agreement | None) -> list[tuple[str, str, str]]:
    o, (hits, known) = outcome, chosen_hits(outcome.detections)
    queued = len(o.detections)
    best = max((d.score for d in o.detections if math.isfinite(d.score)), default=math.nan)
    compared = f"{words.share(queued, cells.scored)} of those compared" if cells.scored else ""
    budget = f"{words.share(o.used_bytes, o.budget_bytes)} of {words.size(o.budget_bytes)}"
    rate = f"{o.tiles / o.wall_seconds:,.0f}" if o.wall_seconds > 0 else words.DASH
    found = [
        ("Cells compared", f"{cells.scored:,}", f"{words.share(cells.scored, cells.total)} of {cells.total:,}"),
        ("Products queued", f"{queued:,}", compared),
        ("Highest score", words.score(best), "among the chosen"),
        ("Downlink used", words.size(o.used_bytes), budget),
        ("Tiles per second", rate, f"{o.tiles:,} tiles in {words.seconds(o.wall_seconds)}"),
    ]
    if agreed is not None and known:
        found.insert(3, ("Precision", words.share(hits, known), f"{hits:,} of {known:,} chosen truly changed"))
    return found


def _top(outcome: Outcome, scale: Scale) -> Html:
    if not outcome.detections:
        return _section("Top detections", tag("p", "No cell was chosen in this run.", class_="empty"))
    left = len(outcome.detections) - gallery.CARDS
    note = "In the order they are sent: by value per byte. Select a card to enlarge it."
    note += f" The other {left:,} are in detections.geojson." if left > 0 else ""
    return _section("Top detections", gallery.gallery(outcome.detections, outcome.passes, scale), note=note)


def _maps(outcome: Outcome, sites: Sequence[Place], shown: Shown, scale: Scale) -> Html | None:
    if not sites:
        return None
    drawn = [p for site in sites for p in shown[id(site)]]
    scored, judged = any(scores_of(p).size for p in drawn), any(p.truth is not None for p in drawn)
    parts: list[Html] = [legend(scale if scored else None, judged)]
    for number, site in enumerate(sites, start=1):
        maps = [score_map(p, chosen_of(p, outcome.detections), scale) for p in shown[id(site)]]
        if len(sites) > 1:
            parts.append(tag("h3", f"Place {number}: {_middle(site)}"))
        parts.append(tag("div", maps, class_="maps one" if len(maps) == 1 else "maps"))
    left = len(outcome.passes) - len(drawn)
    note = "One square is a cell of 32 \u00d7 32 pixels. All maps share one scale of colours; newest first."
    if left > 0:
        note += f" {words.plural(left, 'pass has', 'passes have')} no map here; score.tif holds them all."
    return _section("Score maps", *parts, note=note)


def _truth(outcome: Outcome, agreed: Agreement | None) -> Html | None:
    if agreed is None:
        return None
    hits, known = chosen_hits(outcome.detections)
    chosen = (hits / agreed.positives, hits / known) if agreed.positives and known else None
    curve = plots.precision_recall(agreed, chosen)
    chance = agreed.positives / agreed.cells if agreed.cells else math.nan
    entries = [
        ("Precision, chosen", words.share(hits, known), f"{hits:,} of {known:,}"),
        ("Average precision", words.score(agreed.average_precision), f"by chance {words.score(chance)}"),
        ("Truly changed", f"{agreed.positives:,}", f"of {agreed.cells:,} scored cells"),
    ]
    ledger = tag("div", tables.figures(entries), tables.recalls(agreed))
    diagram = plots.reliability(agreed)
    none = tag("p", "No scored cell truly changed: nothing to find.", class_="empty")
    note = "This stream knows what truly changed: a cell counts as changed when more than 5 % of its valid pixels did."
    promised = None
    if diagram:
        prior = words.share(float(outcome.settings["prior"]))
        said = f"A score is a probability, declared for a stream in which {prior} of the cells change; the truth is "
        said += "weighted to that. On the dashed line it keeps its promise; below, it promises too much."
        promised = tag("div", tag("div", diagram), tag("p", said, class_="note"), class_="pair bare")
    both = tag("div", tag("div", curve or none), ledger, class_="pair bare")
    return _section("Against the truth", both, promised, note=note)


def _series(outcome: Outcome, site: Place) -> Html:
    return _section("Scores over time", timeline(site.passes, outcome.detections), note=f"Around {_middle(site)}.")


def _distribution(outcome: Outcome) -> Html:
    drawn = plots.histogram(outcome.passes, outcome.detections)
    return _section("Scores", drawn or tag("p", "No cell was scored in this run.", class_="empty"))


def _settings(outcome: Outcome) -> Html:
    return _section("Settings", tables.settings(outcome))
