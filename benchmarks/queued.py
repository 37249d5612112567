"""A store whose queue holds coded products, without looking at any imagery: what the link is tried with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from onboard.downlink.product import Product, encode
from onboard.sense.acquisition import BandInfo
from onboard.sense.grid import CELL, Grid
from onboard.store import Store
from onboard.store.rows import NewProduct

TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
BANDS = ("B02", "B03", "B04", "B08")
TIME = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
_PLENTY = 1 << 40


def products(count: int, seed: int = 0, bands: tuple[str, ...] = BANDS, crs: str = "EPSG:32633") -> list[Product]:
    """Cells of noise beside each other; about 1.5 kB a band once coded."""
    from rasterio.crs import CRS

    rng = np.random.default_rng(seed)
    side = 64 * CELL
    grid = Grid(CRS.from_string(crs).to_wkt() if crs else "", TRANSFORM, side, side)
    infos = tuple(BandInfo(name, -1000.0) for name in bands)
    dn = rng.integers(1500, 1500 + 3000, (count, len(bands), CELL, CELL), dtype=np.uint16)
    return [
        Product(
            grid, i // 64, i % 64, "S2A_TEST", TIME + timedelta(days=5 * (seed % 1000)), infos, dn[i], "0" * 64,
            1.0 - i / (2 * count),
        )
        for i in range(count)
    ]  # fmt: skip


def fill(folder: Path, payloads: list[bytes], settled: bool = True) -> None:
    """Put products into the queue of a store, best first; `settled` says that they are coded."""
    with Store(folder) as store:
        grids = store.state.grids()
        grid = grids[0][0] if grids else store.state.add_grid(Grid("", TRANSFORM, 64 * CELL, 64 * CELL))
        name = f"p{len(store.state.acquisitions('a'))}"
        row = store.state.begin(grid, TIME, name, "a", "s", (64, 64), [], {})
        # equal sizes as far as the rank is concerned: the order of the list is the order of the queue
        new = [
            NewProduct(i // 64, i % 64, 1 - i / 1e5, 1 - i / 1e5, payload, 1000) for i, payload in enumerate(payloads)
        ]
        store.state.commit(row.id, [], new, {}, _PLENTY)
        if settled:
            store.queue.settle(
                [(item.id, payload) for item, payload in zip(waiting(store, row.id), payloads, strict=True)]
            )


def waiting(store: Store, acquisition: int):  # type: ignore[no-untyped-def]
    """The queue rows of one acquisition, best first."""
    return [item for item in store.queue.items() if item.acquisition == acquisition]


def coded(count: int, seed: int = 0, bands: tuple[str, ...] = BANDS) -> list[bytes]:
    """Products as they go down."""
    return [encode(product) for product in products(count, seed, bands)]
