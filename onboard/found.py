"""What was found in a chunk, as the row that the state keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard.report.outcome import CellStatus
from onboard.sense.chunks import Chunk
from onboard.store.rows import ChunkRow


def chunk_row(
    chunk: Chunk, status: NDArray[np.uint8], score: NDArray[np.float32], truth: NDArray[np.float32] | None
) -> ChunkRow:
    """Statuses and scores (cells,) as (rows, cols)."""
    shape = (chunk.rows, chunk.cols)
    return ChunkRow(chunk, status.reshape(shape), score.reshape(shape), None if truth is None else truth.reshape(shape))


def not_looked_at(chunk: Chunk) -> ChunkRow:
    """The row of a chunk that could not be read."""
    status = np.full(chunk.cells, CellStatus.NOT_LOOKED_AT, dtype=np.uint8)
    return chunk_row(chunk, status, np.full(chunk.cells, np.nan, dtype=np.float32), None)
