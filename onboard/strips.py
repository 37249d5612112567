"""The strips of one acquisition as they pass through the loop: asks the governor about each, and times it.

Knows the clock through `Stages` alone. A strip's time for the governor is from the end of the one before it, waiting
for commits left out; its latency is from the start of its first read to its last score, whoever waits for it then.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from onboard.clock import Stages
from onboard.governor import Decision, Governor, Step
from onboard.sense.chunks import Chunk


@dataclass
class Timing:
    """Seconds, one for each strip that was scored, and one for each commit."""

    latency: list[float] = field(default_factory=list)
    commit: list[float] = field(default_factory=list)


class Strips:
    """The chunks that are still to be looked at, strip by strip.

    Args:
        chunks: in their order.
        timing: where latencies are added.
    """

    def __init__(self, chunks: Sequence[Chunk], governor: Governor, stages: Stages, timing: Timing) -> None:
        self._governor, self._stages, self._timing = governor, stages, timing
        self._left = Counter(chunk.strip for chunk in chunks)
        self._spans = {strip: _span(list(some)) for strip, some in groupby(chunks, key=lambda one: one.strip)}
        self._decided: dict[int, Decision] = {}
        self._spent: dict[int, tuple[float, float]] = {}
        self._last = stages.now()
        self._committing = 0.0
        self._finished: list[Decision] = []

    def skip(self, chunk: Chunk) -> bool:
        """Whether a chunk is passed over; decided for all of its strip when the first of it is due to be read."""
        if chunk.strip not in self._decided:
            self._decided[chunk.strip] = self._governor.next(chunk.strip, *self._spans[chunk.strip])
        return not self._decided[chunk.strip].looked

    def history(self, chunk: Chunk, usual: int) -> int:
        """How many clear past looks count."""
        return 1 if self._decided[chunk.strip].level >= Step.HISTORY else usual

    def done(self, chunk: Chunk, span: tuple[float, float] | None = None) -> None:
        """A chunk has been scored, or passed over.

        Args:
            span: when its read began and when its last score was there; None: it has none.
        """
        strip = chunk.strip
        if span is not None:
            begun, scored = self._spent.get(strip, span)
            self._spent[strip] = min(begun, span[0]), max(scored, span[1])
        self._left[strip] -= 1
        if self._left[strip]:
            return
        decision, now = self._decided.pop(strip), self._stages.now()
        if strip in self._spent:
            begun, scored = self._spent.pop(strip)
            self._timing.latency.append(scored - begun)
        if decision.looked:
            decision = self._governor.observe(decision, now - self._last - self._committing)
        self._last, self._committing = now, 0.0
        self._finished.append(decision)

    def committed(self, seconds: float, waited: float) -> None:
        """A chunk group was committed in so many seconds, of which the loop waited for some."""
        self._committing += waited
        self._timing.commit.append(seconds)

    def decisions(self) -> list[Decision]:
        """Of the strips that were finished since the last call; empty without a deadline."""
        found, self._finished = self._finished, []
        return [one for one in found if not math.isinf(one.deadline_s)]


def _span(chunks: Sequence[Chunk]) -> tuple[int, int]:
    """(first row of cells, how many)."""
    first = min(one.row for one in chunks)
    return first, max(one.row + one.rows for one in chunks) - first
