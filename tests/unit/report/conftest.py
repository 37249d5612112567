"""A run made by hand: small enough to check in one's head, with every kind of cell and picture in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from rasterio.crs import CRS

from onboard.report.outcome import CellStatus, Detection, Outcome, PassResult, Pictures
from onboard.sense.grid import CELL, Grid

START = datetime(2024, 3, 2, 9, 6, 11, tzinfo=UTC)
UTM = CRS.from_epsg(32635).to_wkt()


def make_grid(rows: int = 12, cols: int = 16, crs: str = UTM, x: float = 400_000.0, up: float = -10.0) -> Grid:
    return Grid(crs, (10.0, 0.0, x, 0.0, up, 4_900_000.0), cols * CELL + 5, rows * CELL)


def make_pass(index: int = 1, grid: Grid | None = None, truth: bool = True, status: int | None = None) -> PassResult:
    """Pass `index` (0 is a first look); its row 0 is unknown and its last column was not looked at."""
    grid = grid or make_grid()
    rng = np.random.default_rng(index)
    score = rng.gamma(2.0, 0.02, (grid.rows, grid.cols)).astype(np.float32)
    changed = rng.random((grid.rows, grid.cols)) < 0.1
    score[changed] += np.float32(0.3)
    state = np.full((grid.rows, grid.cols), CellStatus.FIRST_LOOK if index == 0 else CellStatus.SCORED, np.uint8)
    state[0], state[:, -1] = CellStatus.UNKNOWN, CellStatus.NOT_LOOKED_AT
    if status is not None:
        state[:] = status
    score[state != CellStatus.SCORED] = np.nan
    share = np.where(changed, np.float32(0.5), np.float32(0.0)).astype(np.float32)
    name = f"S2A_{index:03d}"
    return PassResult(name, START + timedelta(days=5 * index), grid, state, score, share if truth else None)


def make_detections(passes: tuple[PassResult, ...], count: int = 9) -> tuple[Detection, ...]:
    ranked = []
    for p in passes:
        cells = np.argwhere(p.status == CellStatus.SCORED)
        scores = p.score[cells[:, 0], cells[:, 1]]
        best = np.argsort(-scores)[:count]
        ranked += [(float(s), p, int(r), int(c)) for s, (r, c) in zip(scores[best], cells[best], strict=True)]
    ranked.sort(key=lambda item: -item[0])
    picture = np.arange(32 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(32, 32, 3)
    shown = (
        Pictures(picture, picture, "stream", START),
        Pictures(picture[:8, :8], picture, "memory", START),
        Pictures(None, picture, "memory", None),
        None,
    )
    return tuple(
        Detection(
            rank=rank,
            product_id=p.product_id,
            sensing_time=p.sensing_time,
            reference_times=(p.sensing_time - timedelta(days=5),),
            grid=p.grid,
            row=row,
            col=col,
            score=score,
            value=score * 2,
            size=900 + rank,
            product=f"p{rank:04d}.jp2",
            truth=None if p.truth is None else float(p.truth[row, col]),
            pictures=shown[rank % 4],
        )
        for rank, (score, p, row, col) in enumerate(ranked[:count], start=1)
    )


def make_outcome(passes: tuple[PassResult, ...] | None = None, count: int = 9, **changes: Any) -> Outcome:
    passes = (make_pass(0), make_pass(1), make_pass(2)) if passes is None else passes
    detections = make_detections(passes, count)
    fields: dict[str, Any] = {
        "streams": ("sim:7",),
        "bundle": {"name": "s2-10", "version": "1.0.0", "precision": "int8", "bands": ["B02", "B03", "B04"]},
        "passes": passes,
        "detections": detections,
        "budget_bytes": 20_000,
        "used_bytes": sum(d.size for d in detections),
        "wall_seconds": 2.0,
        "tiles": 576,
        "stage_seconds": {"read": 0.5, "encode": 1.0, "score": 0.25},
        "counters": {"truncated": 1, "remainder_px": 812},
        "refused": (("b.tif", "it ends in the middle of block 7", "truncated"),),
        "settings": {"score": {"rule": "cosine"}, "history": 3},
    }
    return Outcome(**{**fields, **changes})


@pytest.fixture
def outcome() -> Outcome:
    return make_outcome()


@pytest.fixture
def build() -> Callable[..., Outcome]:
    return make_outcome


@pytest.fixture
def build_pass() -> Callable[..., PassResult]:
    return make_pass


@pytest.fixture
def build_grid() -> Callable[..., Grid]:
    return make_grid
