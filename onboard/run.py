"""What a run did, on its way to the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition
from onboard.sense.grid import Grid
from onboard.strips import Timing


@dataclass
class Run:
    """What one call of `detect` did. Faults are listed in `refused` and counted in the store.

    `timing` holds the latency of each strip and commit; `enhanced` counts cells of which an estimate was made besides,
    `both` acquisitions that an old and a new model looked at (`succession`).
    """

    looked_at: list[int] = field(default_factory=list)
    grids: dict[int, Grid] = field(default_factory=dict)
    sources: dict[int, Acquisition] = field(default_factory=dict)
    refused: list[InputError] = field(default_factory=list)
    skipped: int = 0
    tiles: int = 0
    damaged_products: int = 0
    enhanced: int = 0
    interrupted: bool = False
    both: int = 0
    timing: Timing = field(default_factory=Timing)

    def show(self, row: int, acquisition: Acquisition) -> None:
        """Take the row of an acquisition into the report."""
        self.looked_at.append(row)
        self.sources[row] = acquisition
