from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ground.scenes import pairs
from ground.scenes.pairs import Jitter, RandomTiles
from onboard.errors import InputError
from onboard.sense.normalise import NormaliseRule

RGBN = ("B02", "B03", "B04", "B08")
RULE = NormaliseRule()
STILL = Jitter(0.0, 0.0)


def write(path: Path, bands, pixels: np.ndarray, pixel=10.0) -> None:
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(
        path, "w", dtype=pixels.dtype, crs="EPSG:32631", transform=from_origin(5e5, 5e6, pixel, pixel), **profile
    ) as out:
        out.write(pixels)
        out.descriptions = tuple(bands)


def place(folder: Path, seed: int, height=40, width=72) -> Path:
    """Two dates of four 10 m bands, and label files that nobody may open: they are no TIFFs at all."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for date in ("t1", "t2"):
        write(folder / f"{date}_10m.tif", RGBN, rng.integers(200, 4000, (4, height, width)).astype(np.uint16))
    (folder / "dates.txt").write_text("date_1: 20160101\ndate_2: 20180101\n")
    for label in ("change.tif", "mask.tif"):
        (folder / label).write_bytes(b"a label: hands off")
    return folder


@pytest.fixture
def data(tmp_path):
    for i, name in enumerate(("alpha", "beta", "gamma")):
        place(tmp_path / "deep" / "down" / name, i)
    return tmp_path


def load(data, bands=RGBN):
    return pairs.load_scenes(pairs.find_folders([data]), bands, RULE)


def test_finds_every_place_and_never_a_label(data):
    scenes, left_out = load(data)
    assert [scene.place for scene in scenes] == ["alpha", "alpha", "beta", "beta", "gamma", "gamma"]
    assert left_out == []
    assert scenes[0].dn.shape == (4, 40, 72)
    assert scenes[0].dn.dtype == np.uint16
    assert all(
        not name.endswith(("change.tif", "mask.tif")) for name in pairs.file_hashes(pairs.find_folders([data]), RGBN)
    )


def test_a_scene_without_the_bands_is_left_out_with_the_reason(data):
    with pytest.raises(InputError, match="B12"):
        load(data, (*RGBN, "B12"))


def test_input_is_standardised_per_scene_and_band(data):
    cells = load(data)[0][0].cells()
    assert cells.shape == (2, 4, 32, 32)
    assert cells.dtype == np.float32
    assert np.abs(np.median(cells, axis=(0, 2, 3))).max() < 0.1
    assert np.abs(cells).max() <= RULE.limit


def test_samples_repeat_and_differ(data):
    scenes, _ = load(data)
    first = RandomTiles(scenes, 16, seed=1, epoch=0, jitter=Jitter())
    again = RandomTiles(scenes, 16, seed=1, epoch=0, jitter=Jitter())
    later = RandomTiles(scenes, 16, seed=1, epoch=1, jitter=Jitter())
    assert first[3].shape == (4, 32, 32)
    assert first[3].equal(again[3])
    assert not first[3].equal(first[4])
    assert not first[3].equal(later[3])
    with pytest.raises(IndexError):
        first[16]


def test_a_sample_is_a_symmetry_of_a_crop(data):
    scenes, _ = load(data)
    full = {scene.tile(0, 0, 40).tobytes() for scene in scenes}
    assert len(full) == len(scenes)
    tile = RandomTiles(scenes, 1, 0, 0, STILL)[0].numpy()
    crops = {scene.tile(row, col).tobytes() for scene in scenes for row in range(40 - 31) for col in range(72 - 31)}
    turned = [np.rot90(t, k, (1, 2)) for t in (tile, tile[:, :, ::-1]) for k in range(4)]
    assert any(np.ascontiguousarray(t).tobytes() in crops for t in turned)


def test_jitter_is_of_the_size_it_says():
    rng = np.random.default_rng(0)
    draws = [Jitter(0.05, 0.1).draw(4, rng) for _ in range(3000)]
    gains, offsets = np.array([d[0] for d in draws]), np.array([d[1] for d in draws])
    assert gains.shape[1:] == (4, 1, 1)
    assert gains.std() == pytest.approx(0.05, rel=0.1)
    assert offsets.std() == pytest.approx(0.10, rel=0.1)
    assert np.corrcoef(offsets[:, 0, 0, 0], offsets[:, 1, 0, 0])[0, 1] == pytest.approx(0.5, abs=0.07)


def test_hold_out_takes_whole_places_and_always_the_same(data):
    scenes, _ = load(data)
    training, out = pairs.hold_out(scenes, (), 0.1)
    assert len({scene.place for scene in out}) == 1
    assert {scene.place for scene in out}.isdisjoint(scene.place for scene in training)
    assert pairs.hold_out(scenes[::-1], (), 0.1)[1][0].place == out[0].place
    assert {scene.place for scene in pairs.hold_out(scenes, ["beta"], 0.1)[1]} == {"beta"}
    assert pairs.hold_out(scenes, (), 0.0)[1] == []
    with pytest.raises(InputError, match="delta"):
        pairs.hold_out(scenes, ["delta"], 0.1)


def test_no_imagery_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        pairs.find_folders([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no GeoTIFF"):
        pairs.find_folders([tmp_path])


def test_sampled_cells_are_whole_cells(data):
    scenes, _ = load(data)
    assert pairs.sample_cells(scenes, 10, 0).shape == (10, 4, 32, 32)
    assert len(pairs.sample_cells(scenes, 1000, 0)) == 6 * 2
