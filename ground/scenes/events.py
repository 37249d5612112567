"""What a simulated disaster does to the network's input, tile by tile: negatives for triplets.

The difference of two passes of a `sim:` stream, before and with the disaster, within the simulator's exact mask; zero
outside it. In standardised log reflectance adding it multiplies the reflectance, as a burn or a flood would about do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ground.scenes.pairs import load_scene
from onboard.sense.grid import CELL, Window
from onboard.sense.normalise import NormaliseRule
from onboard.sense.simulated import SimulatedReader
from onboard.sense.simulator.spec import DISASTERS
from onboard.sense.stream import open_stream

SEEDS = (20, 21)
"""Of the landscapes; others than those that scores are measured or calibrated on."""
SIZE_PX = 512
LEAST_SHARE = 0.05
"""Of the tile's pixels that the event must cover, as for a positive tile of labelled imagery."""


@dataclass(frozen=True, eq=False)
class Events:
    """Simulated changes.

    Attributes:
        difference: float32 (n, B, 32, 32), in standard deviations of the scene; 0 outside the event.
        limits: lowest and highest input there is.
    """

    difference: NDArray[np.float32]
    limits: tuple[float, float]


@lru_cache(maxsize=2)
def simulated_events(
    bands: tuple[str, ...], rule: NormaliseRule, seeds: tuple[int, ...] = SEEDS, size: int = SIZE_PX
) -> Events:
    """Every cell that floods, fires, landslides and storms of `seeds` cover to 5 % or more (some ten seconds).

    Args:
        bands: canonical names in channel order.
        rule: the normalisation; each pass is standardised by its own statistics.
        seeds: landscapes for each kind.
        size: of a landscape, 10 m pixels.

    Raises:
        InputError: the simulator has no such band.
    """
    found = []
    for seed in seeds:
        for kind in DISASTERS:
            passes = open_stream(f"sim:{seed}?disaster={kind}&passes=2&size={size}&cloud=0&offset=0").acquisitions
            before, after = (load_scene(kind, one, bands, rule) for one in passes)
            with passes[1].open(bands) as reader:
                assert isinstance(reader, SimulatedReader)
                mask = reader.truth(Window(0, 0, size, size))
            for row in range(0, size - CELL + 1, CELL):
                for col in range(0, size - CELL + 1, CELL):
                    inside = mask[row : row + CELL, col : col + CELL]
                    if inside.mean() >= LEAST_SHARE:
                        found.append((after.tile(row, col) - before.tile(row, col)) * inside.astype(np.float32))
    return Events(np.stack(found), (-rule.limit, rule.limit))
