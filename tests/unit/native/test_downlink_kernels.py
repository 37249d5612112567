"""What the downlink has kernels for gives the bits of its NumPy twins too."""

from datetime import UTC, datetime

import numpy as np
import pytest

from onboard.downlink.context import in_context
from onboard.downlink.draft import CellDrafts, read
from onboard.downlink.estimate import estimate_bytes
from onboard.downlink.mosaic import as_bytes, halved
from onboard.downlink.product import Product
from onboard.native.pixels import Drafter
from onboard.sense.acquisition import BandInfo
from onboard.sense.grid import Grid


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (16, 16), (37, 29)], ids=str)
def test_probabilities_in_context(compiled, by_numpy, shape):
    rng = np.random.default_rng(14)
    score = rng.random(shape, dtype=np.float32)
    score[rng.random(shape) < 0.4] = np.nan
    whole = by_numpy(in_context, score)
    assert (in_context(score) == whole).all()
    for block in (np.s_[: (shape[0] + 1) // 2, shape[1] // 2 :], np.s_[shape[0] // 3 :, : shape[1]]):
        assert (in_context(score, block) == whole[block]).all()
        assert (by_numpy(in_context, score, block) == whole[block]).all()


@pytest.mark.parametrize("shape", [(10, 32, 32), (1, 2, 2), (7, 32, 64), (3, 64, 96)], ids=str)
def test_bands_of_a_block_as_one_image(compiled, by_numpy, shape):
    rng = np.random.default_rng(15)
    for _ in range(20):
        dn = rng.integers(0, 65_536, (*shape[:2], shape[2] + 5), dtype=np.uint16)[..., 3 : 3 + shape[2]]
        half = [band for band in range(shape[0]) if rng.random() < 0.5]
        for band in half:
            dn[band] = dn[band, ::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
        assert as_bytes(dn, half) == by_numpy(as_bytes, dn, half)
        for band in half[::3]:  # nearly
            dn[band, -1, -1] ^= 1
        assert halved(dn) == by_numpy(halved, dn) == [band for band in half if band not in half[::3]]
    odd = rng.integers(0, 65_536, (3, 7, 5), dtype=np.uint16)
    assert as_bytes(odd, []) == by_numpy(as_bytes, odd, [])


def test_estimated_bytes(compiled, by_numpy):
    rng = np.random.default_rng(19)
    dn = rng.integers(0, 65_536, (5, 96, 128), dtype=np.uint16)
    dn[3] = dn[3, ::2, ::2].repeat(2, 0).repeat(2, 1)  # a band at 20 m
    rows, cols = (part.reshape(-1) for part in np.indices((3, 4)))
    assert (estimate_bytes(dn, rows, cols) == by_numpy(estimate_bytes, dn, rows, cols)).all()


def test_drafts_of_single_cells(compiled, by_numpy):
    rng = np.random.default_rng(23)
    dn = rng.integers(0, 65_536, (5, 96, 700), dtype=np.uint16)[..., 5:-55]
    for band, width in ((1, 640), (3, 640), (4, 300)):  # at 20 m, the last of them not everywhere
        dn[band, :, :width] = dn[band, ::2, :width:2].repeat(2, 0).repeat(2, 1)
    rows, cols = (part.reshape(-1) for part in np.indices((3, 20)))
    scores = [float(f"{one:.6g}") for one in rng.random(60)]
    infos = tuple(BandInfo(f'B"score":0.0{band}', -1000.0) for band in range(5))
    time = datetime(2023, 1, 21, 10, 30, tzinfo=UTC)
    like = Product(
        Grid("", (10.0, 0.0, 5e5, 0.0, -10.0, 5e6), 900, 900), 0, 0, '"score":', time, infos, dn, "ab" * 32, 0
    )

    def made(*places):
        return list(CellDrafts(like).of(dn, *places, (7, 9), scores))

    found = made(rows, cols)
    assert found == by_numpy(made, rows, cols) and len({len(one) for one in found}) > 1
    product = read(found[41])
    assert (product.row, product.col, product.score) == (7 + 2, 9 + 1, scores[41])
    assert (product.dn == dn[:, 64:96, 32:64]).all()
    for places in ((rows - 1, cols), (rows, cols + 1), (rows, cols[1:])):
        with pytest.raises(ValueError):
            list(Drafter(5).cells(dn, *places))
