"""Budgets of an on-board computer: read from TOML, and turned into chunk, batch and queue sizes before a run starts.

A budget that cannot hold is refused with the arithmetic. Reads `budget.toml` or a file of that form; measures nothing.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from onboard.config import DetectConfig
from onboard.errors import UsageError
from onboard.sense.acquisition import Acquisition
from onboard.sense.chunks import plan_sample, sample_chunks
from onboard.sense.grid import CELL
from onboard.sense.raster import DECODED_BYTES

STAGES: Mapping[str, tuple[str, ...]] = {
    "read": ("read",),
    "look": ("prepare", "encode", "remember"),
    "score": ("recall", "score"),
    "choose": ("choose",),
    "store": ("store",),
    "code": ("code",),
}
"""What the keys of `watts` stand for: stages of `clock.Stages`."""

CHUNK_CELLS = (512, 256, 128, 96, 64, 48, 32, 16)
"""Sizes of a chunk that are tried, largest first: larger ones cost less time a cell. One thread takes less than
several: the largest pays where threads wait for each other's interpreter, and chunks read ahead where a core is free to
read them; the system reads ahead in the file by itself."""
MB = 1e6

RESIDENT_MB = {"onnx": 88.0, "tflite": 64.0}
"""Interpreter, libraries, runtime and model once loaded, what start-up alone needed given back (measured on x86-64)."""
FIXED_MB = 10.0
"""Page caches of the store, records of groups that are not yet committed, GDAL's handles."""
DECODERS_MB = 18.0
"""What decoding JPEG 2000 takes besides, files open for each band and thread included."""
SAMPLE_BYTES = 21
"""Of the pre-scan's fit, for each band and sub-cell of a sampled cell."""
SUB_CELLS = 64
SCORE_BYTES_PER_CELL = 24_000
"""Temporaries of a comparison, one on each thread that looks."""
TILE_WORK = 8
"""Activations of the network, in times its input."""
REPORT_BYTES_PER_CELL = 150
LESS_CACHE_MB = (48.0, 32.0, 24.0)
"""For decoded blocks, where all they need does not fit."""


@dataclass(frozen=True)
class Budget:
    """What a run may take; None: not limited. See `budget.toml` for the units.

    Attributes:
        name: of the profile, for messages.
        watts: of `board` and of the keys of `STAGES`.
    """

    name: str = "none"
    memory_mb: float | None = None
    runtime: str | None = None
    threads: int | None = None
    deadline_ms_per_row: float | None = None
    storage_mb: float | None = None
    pass_mb: float | None = None
    energy_j_per_row: float | None = None
    watts: Mapping[str, float] = field(default_factory=dict)

    def energy_j(self, wall_s: float, stage_seconds: Mapping[str, float]) -> float:
        """Joules of a run: the board's watts while it lasts, those of each stage while a thread is busy in it."""
        busy = {key: sum(stage_seconds.get(name, 0.0) for name in names) for key, names in STAGES.items()}
        return self.watts.get("board", 0.0) * wall_s + sum(self.watts.get(key, 0.0) * s for key, s in busy.items())


class MemoryPlan(NamedTuple):
    """Sizes that hold a memory budget, and the arithmetic: (what, MB) at the moment that takes most."""

    chunk_px: int
    read_ahead: int
    cache_bytes: int
    arithmetic: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        told = " + ".join(f"{mb:.1f} {what}" for what, mb in self.arithmetic)
        return f"{told} = {self.peak_mb:.1f} MB"

    @property
    def peak_mb(self) -> float:
        """Of a whole run."""
        return sum(mb for _, mb in self.arithmetic)


def load_budget(name: str) -> Budget:
    """A profile that ships, or the only table (or `[budget]`) of a TOML file.

    Raises:
        UsageError: no such profile or file, or a value that is none.
    """
    shipped = tomllib.loads(files("onboard").joinpath("budget.toml").read_text(encoding="utf-8"))
    if name in shipped:
        return _parse(name, shipped[name])
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"--profile {name}: neither a file nor one of {', '.join(shipped)}")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{name}: cannot be read as TOML ({error})") from error
    tables = [value for value in raw.values() if isinstance(value, dict)]
    if len(tables) != 1:
        raise UsageError(f"{name}: one table wanted, as in [my-satellite]; it has {len(tables)}")
    return _parse(next(key for key, value in raw.items() if value is tables[0]), tables[0])


def _parse(name: str, raw: dict[str, Any]) -> Budget:
    known = {item.name for item in fields(Budget)} - {"name"}
    for key, value in raw.items():
        if key not in known:
            raise UsageError(f"budget {name}: {key} is none of {', '.join(sorted(known))}")
        if key == "runtime":
            sound = value in ("onnx", "tflite")
        elif key == "watts":
            sound = isinstance(value, dict) and set(value) <= {"board", *STAGES} and all(map(_positive, value.values()))
        elif key == "threads":
            sound = isinstance(value, int) and _positive(value)
        else:
            sound = _positive(value)
        if not sound:
            raise UsageError(f"budget {name}: {key} = {value!r} cannot be")
    return Budget(name, **raw)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def plan_memory(
    budget: Budget, runtime: str, bands: int, threads: int, cells: int, sample_cells: int, cache_mb: float
) -> MemoryPlan:
    """The largest chunks and the deepest queue that the memory budget holds; a batch is never more than a chunk.

    Args:
        budget: with a `memory_mb`.
        runtime: of the model.
        bands: of the model.
        threads: that look at chunks.
        cells: of the largest acquisition.
        sample_cells: that its pre-scan learns from.
        cache_mb: of decoded blocks, where files are compressed.

    Raises:
        UsageError: none does; with the arithmetic of the least.
    """
    assert budget.memory_mb is not None
    plan: MemoryPlan | None = None
    sizes, ahead = (CHUNK_CELLS, (1, 0)) if threads > 1 else (CHUNK_CELLS[1:], (0,))
    for chunk_cells, read_ahead in product(sizes, ahead):
        plan = _plan(runtime, bands, threads, cells, sample_cells, cache_mb, chunk_cells, read_ahead)
        if plan.peak_mb <= budget.memory_mb:
            return plan
    assert plan is not None
    raise UsageError(
        f"budget {budget.name}: memory_mb = {budget.memory_mb:g} cannot hold {plan}"
        + (" (--threads 1 takes less)" if threads > 1 else "")
        + (" (--runtime tflite takes less)" if runtime == "onnx" else "")
    )


def _plan(
    runtime: str, bands: int, threads: int, cells: int, sample_cells: int, cache_mb: float, chunk_cells: int,
    read_ahead: int,
) -> MemoryPlan:  # fmt: skip
    """The arithmetic of one choice."""
    batch = min(DetectConfig.batch, chunk_cells)
    cell_mb = bands * CELL * CELL / MB  # one byte a sample
    queued = threads + read_ahead
    always = [
        (f"{runtime} and libraries", RESIDENT_MB[runtime]),
        ("store and handles", FIXED_MB),
    ]
    decoding = [("decoded blocks", cache_mb), ("decoders", DECODERS_MB)] if cache_mb else []
    moments = (
        [*decoding, ("pre-scan's fit", sample_cells * bands * SUB_CELLS * SAMPLE_BYTES / MB)],
        [
            *decoding,
            (f"{queued} chunks of {chunk_cells} cells read ahead", queued * chunk_cells * 2 * cell_mb),
            (f"{threads} x tiles and a band", threads * chunk_cells * (1 + 1 / bands) * cell_mb),
            (f"{threads} batches of {batch}", threads * batch * TILE_WORK * cell_mb),
            (f"{threads} comparisons", threads * chunk_cells * SCORE_BYTES_PER_CELL / MB),
        ],
        [("report", cells * REPORT_BYTES_PER_CELL / MB)],
    )
    most = max(moments, key=lambda items: sum(mb for _, mb in items))
    arithmetic = tuple((what, mb) for what, mb in (*always, *most) if mb)
    return MemoryPlan(chunk_cells * CELL * CELL, read_ahead, round(cache_mb * MB), arithmetic)


def size_up(
    budget: Budget, runtime: str, bands: Sequence[str], threads: int, acquisitions: Iterable[Acquisition],
    config: DetectConfig,
) -> MemoryPlan:  # fmt: skip
    """`plan_memory` for a stream's acquisitions. See there for what it raises.

    Decoded blocks get less than they would need where the budget holds no plan otherwise: some are decoded twice then.
    """
    cells = sample = cache = 0
    for one in acquisitions:
        rows, cols = one.grid.rows, one.grid.cols
        chunks = plan_sample(rows, cols, one.block_shape) if rows and cols else []
        cells, cache = max(cells, rows * cols), max(cache, one.block_cache_bytes)
        scanned = sample_chunks(chunks, config.prescan_share, config.prescan_all_cells)
        sample = max(sample, min(config.fit_cells, sum(chunk.cells for chunk in scanned)))
    most = min(cache, DECODED_BYTES) / MB
    for cache_mb in (most, *(less for less in LESS_CACHE_MB if less < most)):
        try:
            return plan_memory(budget, runtime, len(bands), threads, cells, sample, cache_mb)
        except UsageError as error:
            refused = error
    raise refused
