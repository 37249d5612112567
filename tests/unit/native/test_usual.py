"""What is learnt of two looks: the kernels and NumPy, bit for bit."""

import numpy as np
import pytest

from onboard.change.predict import medians_of_rows, moments, what_is_left
from onboard.change.record import record_dtype
from onboard.change.seen import Pair
from onboard.native import usual as native
from onboard.sense.bands import BAND_SETS


def looks(bands, count, hidden, seed=0):
    rng, dtype = np.random.default_rng(seed), record_dtype(16, bands)
    both = np.zeros((2, count), dtype)
    for name in ("fine", "coarse"):
        both[name] = rng.integers(0, 256, both[name].shape)
    both["valid"] = np.where(rng.random((2, count)) < hidden, rng.integers(0, 2**63, (2, count), np.uint64), 2**64 - 1)
    pair = Pair(both[0]).against(both[1])
    valid = np.ones(pair.now.fine.shape[1:], bool) if pair.hidden is None else ~pair.hidden
    return both, pair, valid


@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("bands", [BAND_SETS["s2-10"], BAND_SETS["rgbn"], ("B08", "B12")], ids=len)
def test_moments_and_what_is_left(compiled, bands, hidden):
    (now, past), pair, valid = looks(bands, 150, hidden)
    found = native.moments(now, past)
    assert (found == moments(pair.now, pair.past, valid)).all()
    assert found[-1, -1] == valid.sum()
    weights = np.random.default_rng(1).normal(size=(3, 2 * len(bands) + 1))
    mine, twin = np.empty((2, 3, int(valid.sum())), np.float32)
    native.left(now, past, weights, mine)
    what_is_left(pair.now, pair.past, valid, weights, twin)
    assert (np.sort(mine) == np.sort(twin)).all()  # in an order of their own


@pytest.mark.parametrize("count", [1, 2, 3, 8, 1_000, 4_097])
@pytest.mark.parametrize("kind", ["exponential", "tiny", "ties", "zeros", "wide"])
def test_medians(compiled, count, kind):
    rng = np.random.default_rng(count)
    values = {
        "exponential": lambda: rng.exponential(size=(5, count)),
        "tiny": lambda: rng.exponential(size=(5, count)) * 1e-42,
        "ties": lambda: rng.integers(0, 3, (5, count)) / 7,
        "zeros": lambda: np.zeros((5, count)),
        "wide": lambda: 10.0 ** rng.uniform(-38, 38, (5, count)),
    }[kind]().astype(np.float32)
    found = native.medians(values)
    assert (found == np.median(values, axis=1)).all()
    assert (found == medians_of_rows(values.copy())).all()


def test_what_does_not_fit_is_refused(compiled):
    (now, past), _, valid = looks(BAND_SETS["rgbn"], 10, 0.5)
    with pytest.raises(ValueError, match="records"):
        native.moments(now, past[:5])
    with pytest.raises(ValueError, match="weights"):
        native.left(now, past, np.zeros((2, 8)), np.empty((2, int(valid.sum())), np.float32))
    with pytest.raises(ValueError, match="sub-cells"):
        native.left(now, past, np.zeros((2, 9)), np.empty((2, int(valid.sum()) - 1), np.float32))
