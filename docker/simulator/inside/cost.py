"""Runs under the counting plugin: one pass of a stream, stage by stage, with a mark (see count.c) around each stage.

The store has been filled by `onboard-detect` on the host (its bytes do not depend on the processor); here the newest
pass is looked at once more, by the same modules as in `onboard.loop`, on one thread, each stage twice: to warm up, and
between marks. Prints one JSON object: the stages in the order of their marks, and how many cells each of them was for.

    python cost.py STREAM STORE RUNTIME
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np

from onboard.arrival import Arrival
from onboard.change.look import Looker
from onboard.change.prescan import Frozen
from onboard.change.record import record_dtype
from onboard.change.rule import ScoreRule
from onboard.change.score import score_cells
from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.downlink.draft import read
from onboard.downlink.product import encode
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.report.outcome import CellStatus
from onboard.restore.enhance import BandScale, halo, restore
from onboard.restore.model import Network, load_model
from onboard.sense.acquisition import SATURATED_DN
from onboard.sense.aligned import read_chunk
from onboard.sense.bands import NATIVE_RESOLUTION_M
from onboard.sense.chunks import plan_chunks
from onboard.sense.grid import CELL
from onboard.sense.stream import open_stream
from onboard.store import Store
from onboard.store.rows import ChunkRow

MARK = 0x0B5E
BUNDLE = "s2-10"
RESTORER = "sr-x2-s2"
BLOCK_CELLS = 8
"""Along a side of what is restored: a region with its halo."""
T = TypeVar("T")


class Marks:
    """Names what happens between the plugin's marks."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []

    def around(self, name: str, cells: int, work: Callable[[], T]) -> T:
        """Run twice, the second time between two marks."""
        work()
        self._mark(2 * len(self.stages))
        found = work()
        self._mark(2 * len(self.stages) + 1)
        self.stages.append((name, cells))
        return found

    def _mark(self, number: int) -> None:
        try:
            os.getpriority(MARK, number)
        except OSError:
            return  # as it should: the kernel knows no such priority


def tiles_of(looker: Looker, dn: np.ndarray) -> np.ndarray:
    """All tiles of a chunk."""
    height, width = dn.shape[1:]
    found = []
    for lines, part in looker.parts(height, width):
        records = np.zeros(part.stop - part.start, looker.dtype)
        valid = np.empty((lines.stop - lines.start, width), np.bool_)
        found.append(looker.prepare(dn[:, lines], None, records, valid)[0].copy())
    return np.concatenate(found)


def main(argv: list[str]) -> int:
    """Entry point."""
    stream, folder, runtime = open_stream(argv[0]), Path(argv[1]), argv[2]
    bundle, marks, last = load_bundle(BUNDLE), Marks(), stream.acquisitions[-1]
    config = DetectConfig(bundle=BUNDLE, runtime=runtime, threads=1)
    encoder = load_encoder(bundle, runtime, "int8", batch=config.batch)
    artefact, output = encoder.artefact.sha256, encoder.artefact.output
    dtype, rule = record_dtype(bundle.latent, bundle.bands), ScoreRule.from_dict(bundle.score)
    with Store(folder) as store, last.open(bundle.bands) as reader:
        ((grid_id, grid),) = store.state.grids()
        row = store.state.find(grid_id, last.sensing_time, last.product_id, artefact)
        assert row is not None
        frozen = Frozen.from_dict(row.statistics)
        past = store.memory.past(grid, last.sensing_time, artefact, dtype, config.lookback)
        arrival = Arrival(last, reader, bundle, encoder, rule, config, Stages())
        comparisons = arrival.comparisons(frozen, past)
        chunks = plan_chunks(grid.rows, grid.cols, last.block_shape, config.chunk_px)
        chunk = max(chunks, key=lambda one: one.cells)
        cells, bands = chunk.cells, len(bundle.bands)
        marks.around("nothing", cells, lambda: None)
        still, buffer = np.zeros((cells, 2), dtype=np.int64), np.empty(cells * CELL * CELL * bands, dtype=np.uint16)
        pixels = marks.around("read", cells, lambda: read_chunk(reader, chunk, grid, bands, still, buffer))
        looker: Looker = arrival.looker(frozen.bands, chunks)
        look = marks.around("prepare", cells, lambda: looker.look(pixels.dn, pixels.quality, encode=False))
        tiles, latents = tiles_of(looker, pixels.dn), np.empty((cells, bundle.latent), np.uint8)
        marks.around("encode", cells, lambda: encoder.encode(tiles, latents))
        now = look.records
        now["latent"] = latents

        def recall() -> list[np.ndarray]:
            return list(store.memory.read_all([identity for identity, _ in comparisons], chunk, dtype)[0])

        found = marks.around("recall", cells, recall)
        looks = [(records, comparison) for records, (_, comparison) in zip(found, comparisons, strict=True)]
        marks.around("score, 1 past look", cells, lambda: score_cells(now, looks[:1], rule, output, config.history))
        score = marks.around("score", cells, lambda: score_cells(now, looks, rule, output, config.history))
        memory = store.memory.enter(grid, last.sensing_time, last.product_id, artefact, dtype, [])
        shape, numbers = (chunk.rows, chunk.cols), count(1 << 20)  # beyond those of the chunks as they were flown
        status = np.full(shape, CellStatus.SCORED, dtype=np.uint8)

        def commit() -> None:
            store.memory.write(memory, [(chunk, now)])
            one = ChunkRow(replace(chunk, index=next(numbers)), status, score.reshape(shape), None)
            store.state.commit(row.id, [one], [], {}, config.budget_bytes)

        marks.around("store", cells, commit)
        payloads = [store.queue.payload(item.id) for item in store.queue.items()[:8]]
        products = [read(payload) for payload in payloads if payload]
        marks.around("code a product", len(products), lambda: [encode(product) for product in products])
        network = Network(load_model(RESTORER), "int8")
        side, around = BLOCK_CELLS * CELL, halo(network.model)
        fine = [i for i, name in enumerate(bundle.bands) if NATIVE_RESOLUTION_M[name] == 10]
        block = np.ascontiguousarray(pixels.dn[fine, : side + 2 * around, : side + 2 * around])
        scales = (BandScale(4000.0),) * len(fine)
        marks.around("restore", BLOCK_CELLS**2, lambda: restore(network, block, scales, SATURATED_DN - 1))
    print(json.dumps({"stages": marks.stages, "past": len(looks), "cells": cells}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
