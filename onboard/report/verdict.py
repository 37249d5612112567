"""The run in one or two sentences, for the reader who reads nothing else."""

from __future__ import annotations

import math

from onboard.report import words
from onboard.report.maps import cell_metres
from onboard.report.outcome import Detection, Outcome
from onboard.report.tally import Cells, chosen_hits, count
from onboard.sense.grid import CELL, Grid


def verdict(outcome: Outcome) -> str:
    """What was found, in words; plain text."""
    cells = count(outcome.passes)
    said = [_found(outcome, cells)]
    hits, known = chosen_hits(outcome.detections)
    if known:
        said.append(f"Measured against the truth, {hits:,} of {known:,} chosen cells really changed.")
    if outcome.refused and outcome.passes:
        said.append(f"{words.plural(len(outcome.refused), 'input was', 'inputs were')} refused (see below).")
    return " ".join(said)


def centre(grid: Grid, row: float, col: float) -> str:
    """Where the middle of a cell lies, in words: degrees, or the cell's index on a grid without a CRS."""
    if not grid.crs:
        return f"row {row:g}, column {col:g}"
    ring = grid.cell_ring(int(row), int(col))[:4]
    return words.position(_mean_longitude([x for x, _ in ring]), sum(y for _, y in ring) / 4)


def extent(grid: Grid) -> str:
    """Size of an area: kilometres, or pixels without a CRS."""
    width, height = cell_metres(grid) * grid.cols / 1000, grid.pixel_size_m * CELL * grid.rows / 1000
    if not (math.isfinite(width) and math.isfinite(height)):
        return f"{grid.width} \u00d7 {grid.height} px, not georeferenced"
    return f"{width:.3g} \u00d7 {height:.3g} km"


def _found(outcome: Outcome, cells: Cells) -> str:
    if not outcome.passes:
        return f"Nothing could be looked at: {words.plural(len(outcome.refused), 'input was', 'inputs were')} refused."
    if cells.scored and outcome.detections:
        return _chosen(outcome, cells, outcome.detections[0])
    if cells.scored:
        budget = words.size(outcome.budget_bytes)
        return f"{_compared(outcome, cells)}; no product is queued under the budget of {budget}."
    if cells.first_look:
        remembered = "1 cell is" if cells.first_look == 1 else f"{cells.first_look:,} cells are"
        return f"A first look: {remembered} remembered, and there is no past yet to compare them with."
    if cells.unknown:
        held = f"{words.plural(cells.unknown, 'cell')} held too few valid pixels"
        return f"Nothing could be judged: {held} (cloud, no data, saturation)."
    return "No cell was looked at."


def _chosen(outcome: Outcome, cells: Cells, best: Detection) -> str:
    queued = "1 product is" if len(outcome.detections) == 1 else f"{len(outcome.detections):,} products are"
    used, budget = words.size(outcome.used_bytes), words.size(outcome.budget_bytes)
    where = f"{centre(best.grid, best.row, best.col)}, {words.date(best.sensing_time)}"
    return (
        f"{_compared(outcome, cells)}; {queued} queued, {used} of a budget of {budget}. "
        f"First in the queue, with a score of {words.score(best.score)}: {where}."
    )


def _compared(outcome: Outcome, cells: Cells) -> str:
    of = f" in {words.plural(len(outcome.passes), 'pass', 'passes')}" if len(outcome.passes) > 1 else ""
    return f"{words.plural(cells.scored, 'cell was', 'cells were')} compared with the past{of}"


def _mean_longitude(values: list[float]) -> float:
    """Mean of nearby longitudes, also across the antimeridian."""
    if max(values) - min(values) > 180.0:
        values = [v + 360.0 if v < 0 else v for v in values]
    mean = sum(values) / len(values)
    return mean - 360.0 if mean > 180.0 else mean
