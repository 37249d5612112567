import numpy as np
import pytest

from onboard.change.predict import medians_of_rows


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1_001])
def test_medians_of_rows_are_numpys(count):
    rows = np.random.default_rng(count).exponential(size=(4, count)).astype(np.float32)
    found = medians_of_rows(rows.copy())
    assert found.dtype == np.float32
    assert (found == np.median(rows, axis=1)).all()


def test_medians_of_nothing_are_unknown():
    assert np.isnan(medians_of_rows(np.empty((4, 0), np.float32))).all()
