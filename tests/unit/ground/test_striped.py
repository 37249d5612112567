"""Scenes with the stripes of a sensor: as they are seen, what a denoiser tells of them, and how that is measured."""

import json

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from ground.cli.evaluate import app
from ground.scenes.noise import WHOLE, Sensor
from ground.scenes.pictures import Picture
from ground.scenes.resample import enlarge
from ground.scenes.striped import striped
from ground.training.crops import refined_pairs
from onboard.restore.destripe import without
from onboard.restore.model import Network, load_model


def ground(seed, side, bands):
    """Fields with streets along the columns, all bands much alike, float32 (bands, side, side) in 0..1."""
    rng = np.random.default_rng(seed)
    fields = np.clip(enlarge(rng.random((side // 8, side // 8), dtype=np.float32), 8), 0, 1)
    streets = np.repeat(rng.normal(0, 0.05, (side // 40, side)), 40, 0)[:side].repeat(2, 1)[:, :side]
    return np.stack([0.2 + 0.4 * fields + streets * (0.8 + 0.05 * band) for band in range(bands)]).astype(np.float32)


@pytest.fixture(scope="module")
def teller():
    return Network(load_model("denoise-s2-10"))


def stack(seed=0, side=320):
    """Ten bands, the last six with pixels twice as large."""
    values = ground(seed, side, 10)
    values[4:] = values[4:, ::2, ::2].repeat(2, 1).repeat(2, 2)
    return Picture(f"{seed}", "0" * 64, values, 1.0, 6)


def test_each_band_is_seen_in_its_own_pixels():
    picture = stack()
    seen = striped(picture.values, picture.coarse, Sensor(), np.random.default_rng(0))
    assert seen.dn.shape == picture.values.shape
    assert (seen.dn[4:, ::2, ::2].repeat(2, 1).repeat(2, 2) == seen.dn[4:]).all()
    assert (seen.offsets[4:, ::2] == seen.offsets[4:, 1::2]).all()
    assert not (seen.offsets[:4, ::2] == seen.offsets[:4, 1::2]).all()
    off = seen.dn / WHOLE - picture.values
    assert 0.9 < off[0].std() / np.hypot(picture.values[0].mean() / 20, 0.007) < 1.1


def test_crops_to_learn_from_are_without_what_a_denoiser_tells(teller):
    (pair,) = refined_pairs([stack()], Sensor(), 3, 1, teller)
    seen = striped(stack().values, 6, Sensor(), np.random.default_rng((3, 8, 0)))
    offsets = seen.refined(teller)
    assert pair.grid == 2
    assert np.allclose(pair.given * WHOLE, without(seen.dn, offsets[:, None]))
    assert np.array_equal(pair.wanted, stack().values)
    left = [np.diff((seen.dn - pair.wanted * WHOLE).mean(1) - one).std() for one in (seen.offsets, offsets)]
    assert left[1] < 0.8 * left[0]


def test_stripes_are_measured_with_what_a_denoiser_tells(tmp_path):
    for place in range(2):
        (tmp_path / str(place)).mkdir()
        for name, bands, size in (("10m", 4, 1), ("20m", 6, 2)):
            cube = (4000 * ground(place, 400, 10)[-bands:, ::size, ::size]).astype(np.uint16)
            profile = {"driver": "GTiff", "width": 400 // size, "height": 400 // size, "count": bands}
            with rasterio.open(tmp_path / str(place) / f"t1_{name}.tif", "w", dtype="uint16", **profile) as out:
                out.write(cube)
    done = CliRunner().invoke(app, ["stripes", str(tmp_path), "--lines", "400", "--bundle", "denoise-s2-10"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["metrics"]
    assert found["pass_lines"] == 800
    assert found["stripes_left_db_400_lines_told"] < found["stripes_left_db_400_lines"] - 0.5
