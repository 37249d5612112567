"""Looking with a model that may fail, and the pass in which a new model takes over from an old one.

Records of different artefacts are never compared, so a place that only the old model remembers would be a first look to
the new one, and that pass blind. Instead both look at it: the new one fills its memory, the old one scores against its
own. From the next pass on the new one scores alone. What the old one had finished is not looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onboard.errors import ModelError
from onboard.keeper import Keeper, Model
from onboard.placing import place
from onboard.run import Run
from onboard.sense.acquisition import Acquisition

if TYPE_CHECKING:
    from onboard.loop import Detector


def look(detector: Detector, keeper: Keeper, acquisition: Acquisition, grid_id: int | None, run: Run) -> int:
    """One acquisition by the model that should; returns its grid.

    Raises:
        InputError: the acquisition cannot be used.
        OnboardError: no model is left.
    """
    while True:
        try:
            grid_id = place(acquisition, grid_id, detector.bundle, detector.store, run)
            _look_or_succeed(detector, keeper, acquisition, grid_id, run)
            return grid_id
        except ModelError as error:
            failed = detector.artefact
            detector.take(keeper.replace(error))
            if detector.artefact != failed and grid_id is not None:
                detector.abandon(acquisition, grid_id, failed)


def _look_or_succeed(detector: Detector, keeper: Keeper, acquisition: Acquisition, grid_id: int, run: Run) -> None:
    state, memory = detector.store.state, detector.store.memory
    time, grid = acquisition.sensing_time, run.grids[grid_id]
    if state.find(grid_id, time, acquisition.product_id, detector.artefact) is None:
        for tag in keeper.tags():
            row = state.find(grid_id, time, acquisition.product_id, tag)
            if row is not None and row.done:
                run.skipped += 1
                run.show(row.id, acquisition)
                return
    shown = detector.look_at(acquisition, grid_id, run)
    remembering = memory.artefacts(grid, time)
    old = keeper.older(remembering) if detector.artefact not in remembering and not detector.stop() else None
    if old is not None and not old.bundle.lacking(tuple(band.name for band in acquisition.bands)):
        shown = _score_with(old, detector, keeper, acquisition, grid_id, run) or shown
    run.show(shown, acquisition)


def _score_with(
    old: Model, detector: Detector, keeper: Keeper, acquisition: Acquisition, grid_id: int, run: Run
) -> int | None:
    """The row of the old model's look; None where it fails, which costs its scores and nothing else."""
    scoring = detector.like(old)
    skipped = run.skipped
    try:
        shown = scoring.look_at(acquisition, grid_id, run)
    except ModelError as error:
        keeper.drop(old, error)
        scoring.abandon(acquisition, grid_id, scoring.artefact)
        return None
    run.both += run.skipped == skipped
    run.skipped = skipped  # one acquisition, counted by the new model's look
    return shown
