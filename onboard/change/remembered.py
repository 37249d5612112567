"""What a question about the memory begins with: whose latents it holds, which grid, and which look at which cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onboard.change.record import Records, is_clear, record_dtype
from onboard.errors import BundleError, EmptyStreamError, UsageError
from onboard.infer.bundle import OTHER_ENGINES, Artefact, Bundle, load_bundle, shipped_bundles
from onboard.store.recall import KnownGrid, Recall, RememberedPass


@dataclass(frozen=True)
class Model:
    """The bundle and artefact whose latents are remembered, and the layout of their records."""

    bundle: Bundle
    artefact: Artefact
    dtype: np.dtype[Any]

    @property
    def runtime(self) -> tuple[str, str]:
        """(runtime, precision) of the artefact."""
        name, _, precision = self.artefact.key.partition("-")
        return name, precision


@dataclass(frozen=True)
class CellLook:
    """One clear look at a cell: its record (1,), and those of earlier clear ones, newest first."""

    grid: KnownGrid
    seen: RememberedPass
    row: int
    col: int
    record: Records
    past: tuple[Records, ...]


def pick_model(name: str, recall: Recall) -> Model:
    """The bundle asked for, or for "auto" the shipped one that the newest remembered pass was looked at with.

    Raises:
        EmptyStreamError: nothing is remembered.
        BundleError: nothing is remembered with this bundle, or (auto) with any that ships.
    """
    known = recall.artefacts()
    if not known:
        raise EmptyStreamError(f"{recall.folder}: nothing is remembered yet")
    bundles = [load_bundle(one) for one in (shipped_bundles() if name == "auto" else (name,))]
    found = {
        artefact.tagged(engine).sha256: (bundle, artefact.tagged(engine))
        for bundle in bundles
        for artefact in bundle.artefacts.values()
        for engine in ("", *(OTHER_ENGINES if artefact.runtime == "tflite" else ()))
    }
    for sha256 in known:
        if sha256 in found:
            bundle, artefact = found[sha256]
            return Model(bundle, artefact, record_dtype(bundle.latent, bundle.bands))
    which = "any bundle that ships; name one with --bundle" if name == "auto" else f"bundle {name}"
    raise BundleError(f"{recall.folder}: what is remembered was not looked at with {which}")


def pick_grid(grids: Sequence[KnownGrid], identity: int | None) -> KnownGrid:
    """The grid of this id; without one, the only grid there is. UsageError where that leaves a choice or nothing."""
    if identity is None and len(grids) == 1:
        return grids[0]
    for one in grids:
        if one.id == identity:
            return one
    names = ", ".join(f"{one.id} ({one.grid.rows} x {one.grid.cols} cells)" for one in grids[:8]) or "none"
    names += ", ..." if len(grids) > 8 else ""
    asked = "name one with --grid" if identity is None else f"no grid {identity}"
    raise UsageError(f"{asked}; the store knows {names}")


def looks(
    recall: Recall, passes: Sequence[RememberedPass], grid: KnownGrid, row: int, col: int, dtype: np.dtype[Any]
) -> Iterator[tuple[RememberedPass, Records]]:
    """Clear looks at a cell, newest first: (pass, record (1,))."""
    for one in passes:
        if one.grid == grid.key:
            record = recall.cell(one.id, row, col, dtype)
            if record is not None and is_clear(record).all():
                yield one, record


def find_look(
    recall: Recall, passes: Sequence[RememberedPass], grid: KnownGrid, cell: tuple[int, int], dtype: np.dtype[Any],
    product_id: str | None = None, history: int = 0,
) -> CellLook | None:  # fmt: skip
    """The newest clear look at a cell, or the one of a product, with up to `history` before it; None without any."""
    found: tuple[RememberedPass, Records] | None = None
    past: list[Records] = []
    for one, record in looks(recall, passes, grid, *cell, dtype):
        if found is None:
            found = (one, record) if product_id in (None, one.product_id) else None
        elif one.sensing_time < found[0].sensing_time and len(past) < history:
            past.append(record)
        if found is not None and len(past) == history:
            break
    return None if found is None else CellLook(grid, found[0], *cell, found[1], tuple(past))
