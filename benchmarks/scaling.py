"""Cost of a tile as the swath, the remembered history and the archive grow 1x to 64x: it must stay flat.

Processor time of the stages that each tile goes through, one after the other in one thread (`benchmarks/alone.py`).
Swath: a granule of 16 rows of cells, 10 to 640 cells wide. History: 1 to 64 passes of the place in the memory, of which
three count. Archive: 1 to 64 places in memory and state. `*_growth` is the cost at 64x over the least of the first
three; `--plot` draws what benchmarks/results holds last, beside the batches, runtimes and precisions of `roofline`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import alone, granule
from onboard.change.record import record_dtype
from onboard.infer.bundle import load_bundle
from onboard.sense.chunks import Chunk
from onboard.sense.stream import open_stream
from onboard.store import Store

TIMES = (1, 2, 4, 8, 16, 32, 64)
SWATH_CELLS = 10
SWATH_ROWS = 16
SIDE = 1_280
PASSES = 3
"""One to compare with, one that fills the queue, one that is measured."""
RESULTS = Path(__file__).with_name("results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeat", type=int, default=3, help="medians of so many runs (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="1x, 8x and 64x, one run of each")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the last results, measure nothing")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.plot:
        from benchmarks.scaling_plot import draw

        draw(RESULTS, args.plot)
        args.no_record = True
        return {"metrics": {}, "runs": {}}
    times, repeat = (TIMES[::3], 1) if args.quick else (TIMES, args.repeat)
    found: dict[str, dict[int, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="onboard-scaling-") as name:
        work, seeds = Path(name), {}
        *past, stream = granule.prepare(SIDE, "tiled", PASSES)
        base = _seeded(work / "base", past, args.bundle)
        for factor in times:
            width = factor * SWATH_CELLS * 32
            *narrow, wide = [granule.prepare_one(width, SWATH_ROWS * 32, "tiled", n + 1) for n in range(PASSES)]
            seeds["swath", factor] = (wide, _seeded(work / f"swath-{factor}", narrow, args.bundle))
            for kind, grow in (("history", _deeper), ("archive", _wider)):
                seeded = work / f"{kind}-{factor}"
                seeds[kind, factor] = (stream, _grown(base, seeded, grow, factor, past[-1], args.bundle))
        for _ in range(repeat):  # in turn: what disturbs the machine for a while disturbs all alike
            for (kind, factor), (stream, seeded) in seeds.items():
                store = work / "store"
                shutil.copytree(seeded, store)
                taken = alone.stages(stream, [store], _settings(args.bundle))[0]
                found.setdefault(kind, {}).setdefault(factor, []).append(taken)
                shutil.rmtree(store)
    metrics: dict[str, Any] = {}
    for kind, by_factor in found.items():
        costs = {factor: statistics.median(map(_per_tile_us, runs)) for factor, runs in by_factor.items()}
        metrics |= {f"{kind}_us_per_tile_{factor}x": round(cost, 1) for factor, cost in costs.items()}
        *before, largest = sorted(costs)
        metrics[f"{kind}_growth"] = round(costs[largest] / min(costs[factor] for factor in before[:3]), 2)
    return {"metrics": metrics, "runs": {f"{k}_{f}x": runs for k, by in found.items() for f, runs in by.items()}}


def _per_tile_us(stages: dict[str, float]) -> float:
    return sum(stages.get(stage, 0.0) for stage in alone.PER_TILE) / stages["tiles"] * 1e6


def _seeded(store: Path, streams: Sequence[Path], bundle: str) -> Path:
    """A store that remembers passes, and whose queue the last of them has filled."""
    for stream in streams:
        alone.stages(stream, [store], _settings(bundle))
    return store


def _settings(bundle: str) -> dict[str, Any]:
    """A small queue: what is coded for it goes with its size, not with the tiles."""
    return {"bundle": bundle, "budget_bytes": 100_000}


def _grown(
    base: Path, target: Path, grow: Callable[[Store, int, Path, str], None], factor: int, stream: Path, bundle: str
) -> Path:
    shutil.copytree(base, target)
    with Store(target) as store:
        grow(store, factor, stream, bundle)
    return target


def _deeper(store: Store, factor: int, stream: Path, bundle: str) -> None:
    """The remembered pass again, so many times in all, each some days earlier."""
    (acquisition,) = open_stream(str(stream)).acquisitions
    for number in range(1, factor):
        time = acquisition.sensing_time - timedelta(days=90 + 5 * number)
        _copy(store, acquisition.grid, acquisition.grid, time, f"p{number}", bundle, acquisition)


def _wider(store: Store, factor: int, stream: Path, bundle: str) -> None:
    """The same pass over so many places in all, in memory and state."""
    (acquisition,) = open_stream(str(stream)).acquisitions
    grid = acquisition.grid
    artefact = store.memory.artefacts(grid, acquisition.sensing_time + timedelta(days=1))[0]
    row = store.state.acquisitions(artefact)[-1]
    chunks = list(store.state.chunks(row.id))
    for number in range(1, factor):
        a, b, c, d, e, f = grid.transform
        there = replace(grid, transform=(a, b, c + number * 2 * SIDE * 10, d, e, f))
        _copy(store, grid, there, acquisition.sensing_time, f"g{number}", bundle, acquisition)
        made = store.state.begin(
            store.state.add_grid(there), acquisition.sensing_time, f"g{number}", artefact, row.settings,
            (row.rows, row.cols), [], row.statistics,
        )  # fmt: skip
        store.state.commit(made.id, chunks, [], {}, 10_000_000)
        store.state.finish(made.id)


def _copy(store: Store, here: Any, there: Any, time: Any, name: str, bundle: str, acquisition: Any) -> None:
    """Remember a pass a second time."""
    model = load_bundle(bundle)
    dtype = record_dtype(model.latent, model.bands)
    later = acquisition.sensing_time + timedelta(days=1)
    artefact = store.memory.artefacts(here, later)[0]
    past = store.memory.past(here, later, artefact, dtype, 1)[0]
    identity = store.memory.enter(there, time, name, artefact, dtype, past.statistics)
    whole = Chunk(0, 0, 0, here.rows, here.cols)
    store.memory.write(identity, [(whole, store.memory.read(past.id, whole, dtype)[0])])


def last(results: Path, benchmark: str) -> dict[str, Any]:
    """The last recorded result of a benchmark."""
    lines = (results / f"{benchmark}.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found
