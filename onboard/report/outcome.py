"""What a run leaves, as plain data: the input of every writer in this package. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard.governor import Decision
from onboard.sense.grid import Grid
from onboard.strips import Timing


class CellStatus(IntEnum):
    """What became of a cell in one pass."""

    NOT_LOOKED_AT = 0
    """Skipped, unreadable or outside the acquisition: nothing is claimed about it."""
    UNKNOWN = 1
    """Too few valid pixels (no-data, cloud, saturation)."""
    FIRST_LOOK = 2
    """Looked at and remembered, but there is no clear past to compare with."""
    SCORED = 3


@dataclass(frozen=True)
class PassResult:
    """Scores of one acquisition, cell by cell.

    Attributes:
        status: uint8 (rows, cols), a `CellStatus`.
        score: float32 (rows, cols), higher = more change; nan where not SCORED.
        truth: float32 (rows, cols) share of truly changed valid pixels 0..1 (simulated sources), else None.
        decisions: of the governor, strip by strip; empty without a deadline.
    """

    product_id: str
    sensing_time: datetime
    grid: Grid
    status: NDArray[np.uint8]
    score: NDArray[np.float32]
    truth: NDArray[np.float32] | None = None
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class Pictures:
    """Before and after of one cell for the eye: uint8 (height, width, 3), or None where nothing is left to show.

    `before_from` says where "before" comes from: "stream" (pixels of the past pass) or "memory" (4x4 px band means).
    """

    before: NDArray[np.uint8] | None
    after: NDArray[np.uint8]
    before_from: str
    before_time: datetime | None


@dataclass(frozen=True)
class Detection:
    """One cell in the downlink queue, best first.

    Attributes:
        rank: 1 is sent first.
        score: higher = more change.
        value: what the planner maximises per byte.
        size: bytes of the coded product.
        product: file name below `products/`.
        queue_id: its row in the store's queue.
        truth: share of truly changed pixels (simulated sources), else None.
    """

    rank: int
    product_id: str
    sensing_time: datetime
    reference_times: tuple[datetime, ...]
    grid: Grid
    row: int
    col: int
    score: float
    value: float
    size: int
    product: str
    truth: float | None = None
    pictures: Pictures | None = None
    queue_id: int = 0
    label: str | None = None
    label_score: float | None = None


@dataclass(frozen=True)
class Outcome:
    """A whole run.

    Attributes:
        passes: every finished pass of the streams given, in time order.
        detections: the cells in the queue, best first; pictures are filled for the top ones.
        budget_bytes, used_bytes: the downlink budget and what the queue takes of it, on all rungs of the ladder.
        others: (queue id, file name) of the products that are not one cell without loss.
        wall_seconds: from the start of the command, its imports done, until its products were coded.
        stage_seconds: CPU-side wall seconds by stage ("read", "prepare", "encode", "score", "code", "store", ...).
        counters: faults and skips by kind, e.g. {"truncated": 1, "remainder_px": 812}.
        refused: (where, reason, kind) of each refused input.
        timing: latencies of this run's strips and commits.
        budgets: of the profile, and what was used of them; empty without one.
        settings: the configuration that produced it (score rule, history, bundle, precision, versions).
    """

    streams: tuple[str, ...]
    bundle: Mapping[str, Any]
    passes: tuple[PassResult, ...]
    detections: tuple[Detection, ...]
    budget_bytes: int
    used_bytes: int
    wall_seconds: float
    tiles: int
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[tuple[str, str, str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[tuple[int, str], ...] = ()
    timing: Timing = field(default_factory=Timing)
    budgets: Mapping[str, Any] = field(default_factory=dict)
