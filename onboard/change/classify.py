"""What class of event is a detection? Heads applied to what the memory holds of one cell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from onboard.change.heads import Head, HeadError
from onboard.change.record import Records
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store.memory import Memory


class Label(NamedTuple):
    """The head that fits best, and its score 0..1."""

    name: str
    score: float


def load_head(path: Path) -> Head:
    """A head from its file; HeadError when it cannot be read or is damaged."""
    try:
        return Head.from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise HeadError(f"{path}: cannot be read ({error.strerror})") from error


class Classifier:
    """Names the class of single cells.

    Args:
        heads: at least one, of this artefact.
        memory: what is remembered.
        artefact, dtype: of the records.
        history: clear past looks that a look is compared with.
        lookback: passes searched for them.

    Raises:
        HeadError: a head is of another artefact.
    """

    def __init__(
        self, heads: Sequence[Head], memory: Memory, artefact: str, dtype: np.dtype[Any], history: int, lookback: int
    ) -> None:
        for head in heads:
            head.apply(np.zeros(0, dtype=dtype), [], artefact)  # says now what it would say at every cell
        self._heads, self._memory, self._artefact, self._dtype = tuple(heads), memory, artefact, dtype
        self._history, self._lookback = history, lookback

    def label(self, grid: Grid, time: datetime, product_id: str, row: int, col: int) -> Label | None:
        """The class of a cell in a pass; None where the look, or its past, is not remembered or not clear."""
        chunk = Chunk(0, row, col, 1, 1)
        # the memory gives passes before a time: just after the pass asked for, it is among the first
        passes = self._memory.past(
            grid, time + timedelta(microseconds=1), self._artefact, self._dtype, self._lookback + 2
        )
        now = [one for one in passes if one.sensing_time == time and one.product_id == product_id]
        if not now:
            return None
        record, _ = self._memory.read(now[0].id, chunk, self._dtype)
        past: list[Records] = []
        for one in passes:
            if one.sensing_time < time and len(past) < self._history:
                before, _ = self._memory.read(one.id, chunk, self._dtype)
                if before["flags"][0]:
                    past.append(before)
        scores = [float(head.apply(record, past, self._artefact)[0]) for head in self._heads]
        if np.isnan(scores).all():
            return None
        best = int(np.nanargmax(scores))
        return Label(self._heads[best].name, scores[best])
