"""Where an acquisition belongs: the grid of cells of a place that is known, or of a new one. Writes new grids alone."""

from __future__ import annotations

from onboard.errors import InputError
from onboard.infer.bundle import Bundle
from onboard.run import Run
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import CELL
from onboard.store import Store


def place(acquisition: Acquisition, grid_id: int | None, bundle: Bundle, store: Store, run: Run) -> int:
    """The grid an acquisition belongs to; the first of a stream may found one.

    Args:
        grid_id: of the acquisitions before it in its stream; None: it is the first.
        run: its `grids` learn of the grid.

    Raises:
        InputError: it lacks a band, holds no cell, or lies elsewhere than those before it.
    """
    missing = bundle.lacking(tuple(b.name for b in acquisition.bands))
    if missing:
        raise InputError(
            acquisition.where, f"lacks {', '.join(missing)}, which bundle {bundle.name} needs", "missing-band"
        )
    if acquisition.grid.rows * acquisition.grid.cols == 0:
        size = f"{acquisition.grid.width} x {acquisition.grid.height} px"
        raise InputError(acquisition.where, f"{size} is smaller than one cell of {CELL} x {CELL} px", "too-small")
    if grid_id is not None:
        reason = run.grids[grid_id].mismatch(acquisition.grid)
        if reason:
            raise InputError(acquisition.where, f"no revisit of this place: {reason}", "grid")
        return grid_id
    for known_id, known in store.state.grids():
        if known.mismatch(acquisition.grid) is None:
            run.grids[known_id] = known
            return known_id
    grid_id = store.state.add_grid(acquisition.grid)
    run.grids[grid_id] = acquisition.grid
    return grid_id
