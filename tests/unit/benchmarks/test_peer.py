"""The pipelines that `onboard-detect` is compared with do what they say, on a file of sixteen tiles."""

import numpy as np
import pytest

from benchmarks import granule
from benchmarks.peer import _encode, _least_cosine, _network, _row_by_row, _scaled, _tile_by_tile


def test_the_score_is_the_least_cosine_distance():
    rng = np.random.default_rng(0)
    now, past = rng.normal(size=(5, 8)).astype("f4"), rng.normal(size=(3, 5, 8)).astype("f4")
    expected = [
        min(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in past[:, cell]) for cell, a in enumerate(now)
    ]
    assert _least_cosine(now, past) == pytest.approx(expected, rel=1e-4)


def test_both_run_over_every_tile(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = [next(folder.glob("*.tif")) for folder in granule.prepare(128, "tiled", 2)]
    network = _network()
    tile = _scaled(np.full((1, len(granule.BANDS), 32, 32), 2000, np.uint16))
    assert np.abs(tile).max() <= 1
    assert _encode(network, tile).shape == (1, 128)
    assert _tile_by_tile(files, network, 16) > 0
    assert _row_by_row(files, network, 99) > 0  # as many rows as there are
