"""What the governor did, for report.html: by pass how many strips were scored in time, and where steps were dropped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from onboard.governor import Decision, Step
from onboard.report import words
from onboard.report.markup import Html, join, tag
from onboard.report.outcome import Outcome, PassResult
from onboard.report.tables import table

MOST_LINES = 40
"""Changes of level that are listed; a machine at its limit makes one every few strips."""


def governed(outcome: Outcome) -> Html | None:
    """None where no pass had a deadline."""
    passes = [result for result in outcome.passes if result.decisions]
    if not passes:
        return None
    head = ("Product", "Strips", "In time", "Late", "Not looked at", "Most that was dropped")
    changes = [change for result in passes for change in _changes(result)]
    left = len(changes) - MOST_LINES
    more = tag("p", f"{left:,} more: see the store.", class_="note") if left > 0 else None
    listed = table(("Product", "From strip", "Dropped from there on"), changes[:MOST_LINES], text_columns=3)
    return join(table(head, [_line(result) for result in passes]), listed if changes else None, more)


def _line(result: PassResult) -> Sequence[object]:
    looked = [one for one in result.decisions if one.looked]
    kept = sum(one.kept for one in looked)
    worst = max(one.level for one in result.decisions)
    name = tag("span", result.product_id, class_="id")
    skipped = len(result.decisions) - len(looked)
    return name, len(result.decisions), kept, len(looked) - kept, skipped, worst.words


def _changes(result: PassResult) -> list[tuple[object, ...]]:
    """(product, strip, level) wherever the level is another than before."""
    levels = [next(same) for _, same in groupby(result.decisions, key=_level)]
    if levels and levels[0].level is Step.NOTHING:
        levels = levels[1:]
    return [(result.product_id, one.strip, one.level.words) for one in levels]


def _level(one: Decision) -> Step:
    return one.level


def in_time(outcome: Outcome) -> str:
    """One line for the log; empty without a deadline."""
    decided = [one for result in outcome.passes for one in result.decisions]
    looked = [one for one in decided if one.looked]
    if not decided:
        return ""
    late = [one for one in looked if not one.kept]
    return f"{len(looked) - len(late)} of {words.plural(len(decided), 'strip')} scored in time, {len(late)} late, " + (
        f"{len(decided) - len(looked)} not looked at"
    )
