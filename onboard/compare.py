"""A look against what is remembered of its cells: recall and score of one chunk, on the thread that looked at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.change.pair import Comparison
from onboard.change.record import Records, is_clear
from onboard.change.rule import ScoreRule
from onboard.change.score import score_cells
from onboard.clock import Stages
from onboard.infer.bundle import Tensor
from onboard.report.outcome import CellStatus
from onboard.sense.chunks import Chunk
from onboard.store.memory_reader import MemoryReader


@dataclass(frozen=True)
class Compared:
    """What came of a chunk's cells.

    Attributes:
        score: float32 (cells,), nan = unknown.
        status: uint8 (cells,) of `CellStatus`.
        damaged: records that failed their checksum, and count as never seen.
    """

    score: NDArray[np.float32]
    status: NDArray[np.uint8]
    damaged: int


class Comparer:
    """Compares chunks of one acquisition; lent to one thread at a time.

    Args:
        memory: that nothing else reads with.
        past: passes by their id in the memory, newest first, each with what compares it (None: distances alone).
        dtype: of the records.
        output: the artefact's output tensor.
        history: k, how many clear past looks count in a chunk.
    """

    def __init__(
        self,
        memory: MemoryReader,
        past: Sequence[tuple[int, Comparison | None]],
        dtype: np.dtype[Any],
        rule: ScoreRule,
        output: Tensor,
        history: Callable[[Chunk], int],
        stages: Stages,
    ) -> None:
        self._memory, self._past, self._dtype = memory, past, dtype
        self._rule, self._output, self._history, self._stages = rule, output, history, stages

    def compare(self, now: Records, chunk: Chunk) -> Compared:
        """Against past passes, newest first, until every clear cell has its k looks."""
        looks: list[tuple[Records, Comparison | None]] = []
        both: list[NDArray[np.bool_]] = []
        damaged = 0
        with self._stages.time("recall"):
            clear, history = is_clear(now), self._history(chunk)
            seen = np.where(clear, 0, history)
            while len(looks) < len(self._past) and (seen < history).any():
                # as many at once as are needed at least
                some = self._past[len(looks) :][: history if not looks else 1]
                records, bad = self._memory.read_all([identity for identity, _ in some], chunk, self._dtype)
                damaged += bad
                looks += [(one, comparison) for one, (_, comparison) in zip(records, some, strict=True)]
                both.append(is_clear(records) & clear)
                seen += both[-1].sum(axis=0)
        with self._stages.time("score"):
            shown = np.concatenate(both) if both else None
            score = score_cells(now, looks, self._rule, self._output, history, shown)
            status = np.full(len(now), CellStatus.SCORED, dtype=np.uint8)
            status[np.isnan(score)] = CellStatus.FIRST_LOOK
            status[~clear] = CellStatus.UNKNOWN
        return Compared(score, status, damaged)
