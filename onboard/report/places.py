"""Passes sorted by place: one `Place` for each grid of a run, and the way from a detection back to its pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from onboard.report.outcome import Detection, PassResult
from onboard.sense.grid import Grid


@dataclass(frozen=True)
class Place:
    """All passes over one grid.

    Attributes:
        grid: the grid of the first pass; it defines the cells.
        rows, cols: cells that hold every pass (a revisit may be a little larger or smaller than the first).
        passes: in time order, never empty.
    """

    grid: Grid
    rows: int
    cols: int
    passes: tuple[PassResult, ...]


def places(passes: Sequence[PassResult]) -> tuple[Place, ...]:
    """Group passes by grid, in order of first appearance."""
    groups: list[tuple[Grid, list[PassResult]]] = []
    for result in passes:
        members = next((m for grid, m in groups if same_place(grid, result.grid)), None)
        if members is None:
            members = []
            groups.append((result.grid, members))
        members.append(result)
    return tuple(_place(grid, members) for grid, members in groups)


@lru_cache(maxsize=256)
def same_place(one: Grid, other: Grid) -> bool:
    """Whether the cells of two grids are the same places (cached: it compares coordinate systems)."""
    return one == other or one.mismatch(other) is None


def chosen_of(result: PassResult, detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """The detections that belong to one pass and lie inside it, best first."""
    rows, cols = result.score.shape
    return tuple(
        d
        for d in detections
        if (d.product_id, d.sensing_time) == (result.product_id, result.sensing_time)
        and same_place(d.grid, result.grid)
        and 0 <= d.row < rows
        and 0 <= d.col < cols
    )


def _place(grid: Grid, members: list[PassResult]) -> Place:
    ordered = tuple(sorted(members, key=lambda result: result.sensing_time))
    rows = max(result.score.shape[0] for result in ordered)
    cols = max(result.score.shape[1] for result in ordered)
    return Place(grid, rows, cols, ordered)
