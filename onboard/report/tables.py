"""The ledgers of report.html: key figures, budget, timing, passes, faults, settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onboard.report import words
from onboard.report.markup import Html, join, tag
from onboard.report.outcome import Detection, Outcome, PassResult
from onboard.report.summary import pixel_bytes, plain
from onboard.report.tally import Agreement, Cells, agree, count, quantiles

STAGE_COLOURS = 8
PASS_ROWS, PASS_FOLD = 200, 20
PASS_TEXT = ("Sensing time", "Product")
PASS_CELLS = ("Cells", "Scored", "First look", "Unknown", "Not looked at")
PASS_HEAD = (*PASS_TEXT, *PASS_CELLS, "Median", "99 %", "Highest", "Chosen")

Row = Sequence[object]


def figures(entries: Iterable[tuple[str, str, str]]) -> Html:
    """Large numbers in a row: (name, number, remark)."""
    tiles = [
        tag("div", tag("dt", name), tag("dd", value), tag("dd", remark, class_="remark"), class_="figure")
        for name, value, remark in entries
    ]
    return tag("dl", tiles, class_="figures")


def table(head: Sequence[str], rows: Iterable[Row], text_columns: int = 1) -> Html:
    """A table whose first `text_columns` columns are text and the others numbers."""
    kinds = ["text" if i < text_columns else "num" for i in range(len(head))]
    top = tag("tr", [tag("th", name, scope="col", class_=kind) for name, kind in zip(head, kinds, strict=True)])
    body = [tag("tr", [tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in rows]
    return tag("div", tag("table", tag("thead", top), tag("tbody", body)), class_="scroll")


def budget(outcome: Outcome, cells: Cells) -> Html:
    """The downlink budget as a bar and in numbers."""
    products, pixels = len(outcome.detections), pixel_bytes(outcome, cells)
    full = 100.0 * outcome.used_bytes / outcome.budget_bytes if outcome.budget_bytes else 0.0
    rows: list[Row] = [
        ("Budget", words.size(outcome.budget_bytes)),
        ("Used", f"{words.size(outcome.used_bytes)} ({words.share(outcome.used_bytes, outcome.budget_bytes)})"),
        ("Products", f"{products:,}"),
        ("Mean product", words.size(sum(d.size for d in outcome.detections) / products) if products else words.DASH),
    ]
    if pixels is not None:
        rows.append(("All pixels looked at, 16 bit", words.size(pixels)))
        rows.append(("Sent of them", words.share(outcome.used_bytes, pixels)))
    bar = tag("div", tag("i", style=f"width: {min(100.0, full):.2f}%"), class_="meter large", aria_hidden="true")
    return join(bar, table(("", ""), rows))


def timing(outcome: Outcome) -> Html:
    """Where the time went, what took most first: a stacked bar, and by stage the share and the microseconds a tile."""
    stages = sorted(((name, s) for name, s in outcome.stage_seconds.items() if s > 0), key=lambda one: -one[1])
    total = sum(s for _, s in stages)
    if outcome.wall_seconds > total:
        stages.append(("elsewhere", outcome.wall_seconds - total))
    whole = max(outcome.wall_seconds, total)
    if not whole:
        return tag("p", "No time was taken.", class_="empty")
    last = len(stages) - 1 if stages[-1][0] == "elsewhere" else -1
    kinds = [f"stage-{'x' if i == last or i >= STAGE_COLOURS else i}" for i in range(len(stages))]
    bar = [
        tag("i", style=f"width: {100 * s / whole:.3f}%", class_=kind, title=f"{name}: {words.seconds(s)}")
        for (name, s), kind in zip(stages, kinds, strict=True)
    ]
    rows = [
        (
            join(tag("i", class_=f"swatch {kind}"), name),
            words.seconds(s),
            words.share(s, whole),
            f"{1e6 * s / outcome.tiles:,.1f}" if outcome.tiles else words.DASH,
        )
        for (name, s), kind in zip(stages, kinds, strict=True)
    ]
    overlap = " Stages overlap, so they add up to more." if total > outcome.wall_seconds * 1.01 else ""
    rate = f"{outcome.tiles / outcome.wall_seconds:,.0f} tiles/s" if outcome.wall_seconds > 0 else words.DASH
    note = f"{outcome.tiles:,} tiles in {words.seconds(outcome.wall_seconds)} of wall time: {rate}.{overlap}"
    stages_table = table(("Stage", "Time", "Share", "\u00b5s per tile"), rows)
    return join(tag("p", note, class_="note"), tag("div", bar, class_="stack", aria_hidden="true"), stages_table)


def pass_list(passes: Sequence[PassResult], chosen: Sequence[Detection]) -> Html:
    """One line a pass, newest first."""
    head, rows, judged = [*PASS_HEAD], [], any(p.truth is not None for p in passes)
    for result in sorted(passes, key=lambda p: p.sensing_time, reverse=True)[:PASS_ROWS]:
        cells, found, agreed = count([result]), quantiles(result), agree([result])
        queued = sum((d.product_id, d.sensing_time) == (result.product_id, result.sensing_time) for d in chosen)
        row = [words.moment(result.sensing_time), tag("span", result.product_id, class_="id"), f"{cells.total:,}"]
        parts = (cells.scored, cells.first_look, cells.unknown, cells.not_looked_at)
        row += [words.share(n, cells.total) for n in parts]
        row += [words.score(found[name]) if found else words.DASH for name in ("p50", "p99", "max")]
        rows.append([*row, f"{queued:,}", *([_ap(agreed)] if judged else [])])
    if judged:
        head.append("AP")
    listed = table(head, rows, text_columns=len(PASS_TEXT))
    left = len(passes) - PASS_ROWS
    older = tag("p", f"{left:,} older passes: see summary.json.", class_="note") if left > 0 else None
    if len(passes) <= PASS_FOLD:
        return listed
    return tag("details", tag("summary", words.plural(len(passes), "pass", "passes")), listed, older)


def recalls(found: Agreement) -> Html:
    """Recall when the best 1, 5, 10 and 25 % of the cells are taken."""
    rows = [
        (
            f"best {100 * taken:g} % of the cells",
            tag("span", tag("i", style=f"width: {0.0 if math.isnan(r) else 100 * r:.1f}%"), class_="meter"),
            words.share(r),
        )
        for taken, r in found.recall.items()
    ]
    return table(("Taken", "", "Recall"), rows, text_columns=2)


def faults(outcome: Outcome) -> Html:
    """What was refused and what was skipped, counted by kind."""
    parts: list[Html] = []
    if outcome.counters:
        counted = [(tag("code", kind), f"{n:,}") for kind, n in sorted(outcome.counters.items())]
        parts.append(table(("Counter", "Count"), counted))
    if outcome.refused:
        rows = [(tag("span", where, class_="id"), reason, tag("code", kind)) for where, reason, kind in outcome.refused]
        parts.append(table(("Refused", "Reason", "Kind"), rows, text_columns=3))
    else:
        parts.append(tag("p", "No input was refused.", class_="empty"))
    return join(*parts)


def settings(outcome: Outcome) -> Html:
    """Everything that produced this run, bundle first."""
    rows = [*_flat("bundle", plain(outcome.bundle)), *_flat("", plain(outcome.settings))]
    if not rows:
        return tag("p", "None recorded.", class_="empty")
    return table(("Setting", "Value"), [(tag("code", key), value) for key, value in rows], text_columns=2)


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(f"{prefix}.{key}".lstrip("."), item)]
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, value if isinstance(value, str) else json.dumps(value))]


def _ap(found: Agreement | None) -> str:
    return words.score(found.average_precision) if found is not None else words.DASH
