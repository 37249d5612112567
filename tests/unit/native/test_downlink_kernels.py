"""What the downlink has kernels for gives the bits of its NumPy twins too."""

import numpy as np
import pytest

from onboard.downlink.context import in_context
from onboard.downlink.estimate import estimate_bytes
from onboard.downlink.mosaic import as_bytes, halved


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
