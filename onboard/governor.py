"""What is dropped when strips come faster than they can be scored, in a declared order, and when it is taken up again.

Pure: it is told how long strips took, by whatever clock, and says what is done with the next one. Rules:

1. A strip (`sense.chunks`) has `deadline_s_per_row` for each of its rows of cells, and for each row that was skipped
   just before it: while nothing is looked at, the sensor's time passes all the same.
2. A strip that took longer has missed its deadline: one step more is dropped, with all before it in `LADDER`. A step
   that does not act while strips are scored is dropped along with the next that does.
3. After `PATIENCE` strips in a row within `EASE` of their deadline the last step is taken up again. Where that misses
   at once, the patience doubles, up to `MAX_PATIENCE`: a machine that is just too slow does not swing.
4. A strip that is looked at is always scored. One that is skipped is "not looked at", never unchanged.
5. Without a deadline nothing is ever dropped, and no time is asked for.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple


class Step(IntEnum):
    """What can be dropped; a level is the last step that is."""

    NOTHING = 0
    SUPER_RESOLUTION = 1
    DENOISING = 2
    LOSSLESS = 3
    """Cells are not coded without loss at the end of the run; they wait as they are, for the next run to code them."""
    HISTORY = 4
    """A cell is compared with its newest clear look alone."""
    EVERY_OTHER_STRIP = 5

    @property
    def words(self) -> str:
        """As a person says it."""
        return self.name.lower().replace("_", " ")


LADDER = tuple(Step)
AFTERWARDS = frozenset({Step.SUPER_RESOLUTION, Step.DENOISING, Step.LOSSLESS})
"""Steps that free time after the last strip, and none before: enhancing and coding begin when all has been scored. No
product is denoised yet; the step is there for its place in the order."""
ACTING = tuple(step for step in LADDER if step not in AFTERWARDS)
PATIENCE = 4
MAX_PATIENCE = 64
EASE = 0.6
"""Share of its deadline within which a strip must stay for a step to be taken up again."""


class Decision(NamedTuple):
    """What was done with a strip.

    Attributes:
        strip: its number in the acquisition.
        row, rows: its first row of cells, and how many.
        level: what was dropped.
        looked: False: skipped.
        seconds: it took; 0 where skipped.
        deadline_s: it had.
    """

    strip: int
    row: int
    rows: int
    level: Step
    looked: bool
    seconds: float
    deadline_s: float

    @property
    def kept(self) -> bool:
        """Whether it was scored within its deadline."""
        return self.looked and self.seconds <= self.deadline_s


class Governor:
    """Decides strip by strip.

    Args:
        deadline_s_per_row: seconds for a row of cells; None: no deadline.

    Attributes:
        level: what is dropped now.
        worst: the greatest level so far.
    """

    def __init__(self, deadline_s_per_row: float | None) -> None:
        self._per_row = deadline_s_per_row
        self.level = self.worst = Step.NOTHING
        self._patience, self._calm, self._climbed = PATIENCE, 0, False
        self._owed_rows, self._last_skipped = 0, False

    def next(self, strip: int, row: int, rows: int) -> Decision:
        """What is to be done with the strip of `rows` rows of cells from `row`; `seconds` are not known yet."""
        if self._per_row is None:
            return Decision(strip, row, rows, Step.NOTHING, True, 0.0, math.inf)
        if self.level is Step.EVERY_OTHER_STRIP and not self._last_skipped:
            self._last_skipped, self._owed_rows = True, self._owed_rows + rows
            return Decision(strip, row, rows, self.level, False, 0.0, 0.0)
        deadline = (rows + self._owed_rows) * self._per_row
        self._owed_rows, self._last_skipped = 0, False
        return Decision(strip, row, rows, self.level, True, 0.0, deadline)

    def observe(self, decision: Decision, seconds: float) -> Decision:
        """Learn how long a strip took that was looked at; the decision with its outcome."""
        done = decision._replace(seconds=seconds)
        if self._per_row is None:
            return done
        if done.level is not self.level:
            return done  # decided before the last change: what it took says nothing of the level of now
        if not done.kept:
            if self._climbed:
                self._patience = min(2 * self._patience, MAX_PATIENCE)
            self._calm, self._climbed = 0, False
            self._drop()
            return done
        self._climbed = False
        self._calm = self._calm + 1 if seconds <= EASE * done.deadline_s else 0
        if self._calm >= self._patience and self.level is not Step.NOTHING:
            self._calm, self._climbed = 0, True
            self._take_up()
        return done

    def _drop(self) -> None:
        self.level = next((step for step in ACTING if step > self.level), self.level)
        self.worst = max(self.worst, self.level)

    def _take_up(self) -> None:
        self.level = next(step for step in reversed(ACTING) if step < self.level)
