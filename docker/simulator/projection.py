"""`python docker/simulator/projection.py`: counted instructions as speed and energy of boards. PROJECTED, not measured.

tiles/s = cores x clock x IPC / instructions per tile; joules per granule = power x tiles / (tiles/s). Instructions are
counted (cost.json); clock is the maker's, IPC and power are assumed and stand beside the result. Memory bandwidth, heat
and the kernel are not in it: expect a real board within a factor of two, and measure it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from host import HERE

GRANULE_TILES = 343 * 343
"""Whole cells of 320 m in a Sentinel-2 granule."""
STAGES = ("read", "prepare", "encode", "recall", "score", "store")
"""Of every tile; coding products is extra, and bounded by the budget."""


@dataclass(frozen=True)
class Board:
    """A board as assumed.

    Attributes:
        processor: whose instructions were counted in its place.
        cores: that work (`--threads`); the others are left to the rest of the spacecraft.
        clock_hz: the maker's.
        ipc: instructions per cycle, assumed from what such cores do in integer SIMD code out of the cache.
        watts: of the whole board under this load, assumed.
    """

    name: str
    processor: str
    cores: int
    clock_hz: float
    ipc: float
    watts: float


BOARDS = (
    Board("Raspberry Pi 4B", "cortex-a72", 2, 1.5e9, 1.2, 5.0),
    Board("Raspberry Pi 5", "cortex-a76", 2, 2.4e9, 2.0, 7.0),
    Board("Jetson Orin Nano, CPU", "cortex-a76", 2, 1.5e9, 2.0, 7.0),
)


def project(board: Board, figures: dict[str, dict[str, int]]) -> tuple[str, int, float, float]:
    """(runtime, instructions per tile, tiles/s, joules per granule) with the runtime that takes fewer instructions."""
    totals = {
        key.split()[1]: sum(stages[name] for name in STAGES)
        for key, stages in figures.items()
        if key.split()[0] == board.processor
    }
    runtime = min(totals, key=lambda name: totals[name])
    rate = board.cores * board.clock_hz * board.ipc / totals[runtime]
    return runtime, totals[runtime], rate, board.watts * GRANULE_TILES / rate


def main() -> int:
    """Print the table."""
    figures = json.loads((HERE / "cost.json").read_text())
    print("| PROJECTED, on no hardware | assumed | runtime | instructions/tile (counted) | tiles/s | J/granule |")
    print("|---|---|---|---:|---:|---:|")
    for board in BOARDS:
        runtime, total, rate, joules = project(board, figures)
        assumed = f"{board.cores} cores x {board.clock_hz / 1e9:g} GHz, IPC {board.ipc:g}, {board.watts:g} W"
        print(f"| {board.name} | {assumed} | {runtime} | {total:,} | {rate:,.0f} | {joules:,.0f} |")
    return 0


if __name__ == "__main__":
    main()
