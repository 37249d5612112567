"""The rung of estimates: regions that were chosen, enlarged twice from their pixels and those around them.

An enhanced region is one product more, worth less than the last bit of what was measured: it goes down after the cells
it was made of, leaves the queue before them, and says which model made it. It is made in the run that looks at its
pass, while the pass can still be read; broken off, it is not made up for. `DetectConfig.enhances` turns it off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from onboard.change.prescan import statistics_from_list
from onboard.config import DetectConfig
from onboard.downlink.ladder import Rung
from onboard.downlink.product import Product, ProductError, decode, encode
from onboard.errors import InputError
from onboard.infer.bundle import Bundle
from onboard.restore.clean import read_around
from onboard.restore.enhance import BandScale, halo, restore
from onboard.restore.filled import FILL_ROUNDS, fill
from onboard.restore.model import Network
from onboard.run import Run
from onboard.sense.acquisition import NODATA_DN, SATURATED_DN, BandInfo, Reader
from onboard.sense.bands import NATIVE_RESOLUTION_M
from onboard.sense.grid import CELL, Grid, Window
from onboard.sense.normalise import BandStatistics
from onboard.store import Store
from onboard.store.rows import NewProduct, QueueRow

TOP = NormalDist().inv_cdf(0.999)
"""Standard deviations above the median of log reflectance that fill the network's 8 bits."""


def enhance_chosen(
    store: Store, run: Run, config: DetectConfig, bundle: Bundle, artefact: str, network: Network,
    stop: Callable[[], bool],
) -> int:  # fmt: skip
    """Add an enhanced product for the lossy regions of this run that fit the budget, best first.

    Args:
        artefact: SHA-256 of the bundle's artefact; regions that another chose are left as they are.
        stop: asked before each region; True ends it.

    Returns:
        how many cells were enhanced, at most `config.enhanced_cells`.
    """
    known, least = set(), dict[int, float]()
    for item in store.queue.items():
        if item.rung is Rung.ENHANCED:
            known.add((item.acquisition, item.row, item.col))
        elif item.chip > 0:
            least[item.chip] = min(item.value, least.get(item.chip, item.value))
    todo: dict[int, list[tuple[QueueRow, Product]]] = {}
    left = config.enhanced_cells
    for item in store.queue.fitting(config.budget_bytes):
        place = item.acquisition, item.row, item.col
        if item.rung is not Rung.LOSSY or item.acquisition not in run.sources or place in known or item.id not in least:
            continue
        try:
            chip = decode(store.queue.payload(item.id) or b"")
        except ProductError:
            continue  # counted when it is to be sent
        cells = int(chip.inside().sum())
        if chip.model == artefact and cells <= left and _native(chip):
            left -= cells
            todo.setdefault(item.acquisition, []).append((item, chip))
    done = 0
    for acquisition, regions in todo.items():
        source, row = run.sources[acquisition], store.state.acquisition(acquisition)
        statistics = dict(zip(bundle.bands, statistics_from_list(row.statistics["bands"]), strict=True))
        names = tuple(info.name for info in _native(regions[0][1]))
        scales = [_scale(source.band(name), statistics[name], bundle.normalise.shift) for name in names]
        try:
            with source.open(names) as reader:
                for item, chip in regions:
                    if stop():
                        return done
                    cells = int(chip.inside().sum())
                    # as if all its cells were worth as little as the least: it comes after each of them
                    _enter(store, item, cells * least[item.id], _enhanced(reader, source.grid, chip, network, scales))
                    done += cells
        except InputError as error:
            run.refused.append(error)
    return done


def _native(chip: Product) -> list[BandInfo]:
    """The bands that the model was trained for: those of 10 m."""
    return [info for info in chip.bands if NATIVE_RESOLUTION_M.get(info.name) == 10]


def _scale(info: BandInfo, statistics: BandStatistics, shift: float) -> BandScale:
    """DN that fill the 8 bits, frozen for the whole pass: regions beside each other fit together."""
    reflectance = math.exp(statistics.median + TOP * statistics.spread) - shift
    return BandScale(min(max(reflectance * info.quantification - info.offset, 1.0), float(SATURATED_DN)))


def _enhanced(reader: Reader, grid: Grid, chip: Product, network: Network, scales: Sequence[BandScale]) -> Product:
    """The region at twice its resolution, with the pixels around it as they were measured."""
    model, cells = network.model, chip.inside()
    rows, cols = (side * CELL for side in cells.shape)
    around = halo(model) + FILL_ROUNDS
    dn = read_around(reader, grid, Window(chip.row * CELL, chip.col * CELL, rows, cols), around, len(scales))
    valid = (dn != NODATA_DN) & (dn != SATURATED_DN)
    inner = slice(FILL_ROUNDS, -FILL_ROUNDS)
    filled = (dn if valid.all() else fill(dn, valid))[:, inner, inner]
    fine, _, _ = restore(network, filled, tuple(scales), SATURATED_DN - 1)
    lost = ~valid[:, around : around + rows, around : around + cols].repeat(model.scale, 1).repeat(model.scale, 2)
    lost |= ~cells.repeat(CELL * model.scale, 0).repeat(CELL * model.scale, 1)
    fine = np.where(lost, np.uint16(NODATA_DN), np.maximum(fine, NODATA_DN + 1))
    made_by = {
        "task": model.task, "model": model.name, "version": model.version, "scale": model.scale,
        "artefact": network.artefact.key, "sha256": network.artefact.sha256,
        "full_scale": [round(one.full_scale, 1) for one in scales],
    }  # fmt: skip
    return replace(
        chip, bands=tuple(_native(chip)), dn=fine, rung=Rung.ENHANCED, cell_px=CELL * model.scale, restored=made_by
    )


def _enter(store: Store, item: QueueRow, value: float, product: Product) -> None:
    payload = encode(product, "klt")
    new = NewProduct(item.row, item.col, product.score, value, payload, len(payload), rung=Rung.ENHANCED, coded=True)
    store.queue.enter_region(item.acquisition, new, [])
