"""What goes in and out of the store, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.sense.chunks import Chunk


@dataclass(frozen=True)
class AcquisitionRow:
    """An acquisition as the state knows it. `statistics` is what its pre-scan froze."""

    id: int
    grid_id: int
    sensing_time: datetime
    product_id: str
    settings: str
    rows: int
    cols: int
    reference_times: tuple[datetime, ...]
    statistics: dict[str, Any]
    done: bool


@dataclass(frozen=True)
class ChunkRow:
    """What was found in one chunk: arrays of (rows, cols) cells; `truth` from simulated sources only."""

    chunk: Chunk
    status: NDArray[np.uint8]
    score: NDArray[np.float32]
    truth: NDArray[np.float32] | None


@dataclass(frozen=True)
class NewProduct:
    """A candidate on its way into the queue: a whole product, and about how many bytes it will take once coded.

    `priority` is that of the operator's query that asked for it, 0 where nobody did.
    """

    row: int
    col: int
    score: float
    value: float
    payload: bytes
    size: int
    priority: int = 0


@dataclass(frozen=True)
class QueueRow:
    """One product in the downlink queue; `size` is the estimate until it is `coded`."""

    id: int
    acquisition: int
    row: int
    col: int
    score: float
    value: float
    estimate: int
    size: int
    coded: bool
    sha256: str
    priority: int
