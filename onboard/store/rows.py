"""What goes in and out of the store, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.downlink.ladder import Rung
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


ALONE = -1
"""In place of a lossy region's id: the cell was asked for to the bit, and no region takes it in."""


@dataclass(frozen=True)
class Placed:
    """Where a draft lies in its file (`drafts`): page and bytes, and what these add up to."""

    place: int
    size: int
    seal: str


@dataclass(frozen=True)
class NewProduct:
    """A product on its way into the queue; a candidate is a draft, not yet coded for the ground.

    Attributes:
        row, col: upper-left cell.
        score: probability of change of the cell (the greatest, of several).
        value: what its cells are worth to the ground.
        payload: its bytes, or where the draft lies.
        size: bytes; of a candidate about how many it will take once coded.
        weight: what the value is the probability's multiple of: area and priority of a cell.
        rung: what it holds.
        coded: whether the payload is what goes down.
        priority: of the operator's query that asked for it; 0 where nobody did.
        chip: `ALONE` for a cell that was asked for to the bit, else 0.
    """

    row: int
    col: int
    score: float
    value: float
    payload: bytes | Placed
    size: int
    weight: float = 1.0
    rung: Rung = Rung.LOSSLESS
    coded: bool = False
    priority: int = 0
    chip: int = 0


@dataclass(frozen=True)
class QueueRow:
    """One product in the downlink queue; `size` is the estimate until it is `coded`.

    Attributes:
        density: worth per byte, by which it stays in the queue: value times what its rung brings, over the estimate.
        chip: of a cell, the queue id of the lossy region that holds it; 0 where none does, `ALONE` where none may.
        priority: of the operator's query that asked for it; 0 where nobody did.
    """

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
    rung: Rung
    weight: float
    density: float
    chip: int
    priority: int
    sensing_time: datetime
