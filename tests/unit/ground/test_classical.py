"""Classical comparators remove noise, and the low rank keeps what bands have in common."""

import numpy as np
import pytest

from ground.evaluation.classical import CLASSICAL, classical, hard_threshold
from ground.scenes.resample import enlarge
from onboard.errors import InputError
from onboard.restore.enhance import BandScale, Noise


def cube(bands=4, side=96):
    rng = np.random.default_rng(0)
    base = enlarge(rng.random((side // 8, side // 8), dtype=np.float32), 8) * 1500 + 800
    return np.stack([base * (0.7 + 0.2 * i) for i in range(bands)]).astype(np.float32)


@pytest.mark.parametrize("name", CLASSICAL)
def test_each_of_them_removes_noise(name):
    clean = cube()
    noisy = np.clip(np.rint(clean + np.random.default_rng(1).normal(0, 100, clean.shape)), 0, 65535).astype(np.uint16)
    found = classical(name)(noisy, [BandScale(3000.0, Noise(100.0, 0.0))] * 4)
    assert np.square(found - clean).mean() < 0.5 * np.square(noisy - clean).mean()


def test_low_rank_needs_bands_and_all_of_them_the_noise():
    one = np.zeros((1, 32, 32), np.uint16)
    with pytest.raises(InputError, match="several bands"):
        classical("svd")(one, [BandScale(1.0, Noise(1.0, 0.0))])
    with pytest.raises(InputError, match="noise's level"):
        classical("tv")(one, [BandScale(1.0)])


def test_the_threshold_is_the_papers():
    assert hard_threshold(1.0) == pytest.approx(4 / 3**0.5, rel=1e-6)
    assert hard_threshold(0.0) == pytest.approx(2**0.5, rel=1e-6)
