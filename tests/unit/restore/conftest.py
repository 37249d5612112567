"""A model folder made of an untrained network: everything but its figures is as it ships."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from export.restorer import pack
from ground.models.restorers import build
from ground.scenes.pictures import Picture
from ground.training.crops import enlarged_pairs, noisy_pairs
from ground.training.restoration import RestoreRecipe, TrainedRestorer
from onboard.restore.model import load_model


def picture(seed=0, side=160):
    """A smooth field with edges, float32 (side, side) in 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = sum(np.sin(40 * (rng.normal() * x + rng.normal() * y)) for _ in range(4))
    field = 0.5 + 0.1 * waves + 0.1 * (np.hypot(x - 0.5, y - 0.4) < 0.3)
    return np.clip(field, 0, 1).astype(np.float32)


def make_model(folder, name, scale, imagery, noise=None, bands=1, network="anchored"):
    from ground.scenes.noise import model_of

    torch.manual_seed(scale)
    recipe = RestoreRecipe(network, scale, bands, imagery, noise=noise or {})
    net = build(network, bands, scale).eval()
    if net.mixed:
        net.mix(torch.rand(bands, 999) + torch.rand(1, 999), torch.full((bands,), 0.1))
    trained = TrainedRestorer(net, recipe, {"a.png": "0" * 64}, "0" * 64)
    shown = [picture(seed) if bands == 1 else np.stack([picture(seed + i) for i in range(bands)]) for seed in range(2)]
    pictures = [Picture(f"{seed}", "0" * 64, one, 255.0) for seed, one in enumerate(shown)]
    pairs = noisy_pairs(pictures, model_of(noise), 0) if noise else enlarged_pairs(pictures, scale, True)
    return load_model(str(pack(trained, pairs, folder, name, f"# {name}\n", most_lost_db=20.0)))


@pytest.fixture(scope="session")
def doubling(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models"), "x2", 2, "sentinel2")


@pytest.fixture(scope="session")
def cleaning(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models"), "clean", 1, "sentinel2", {"kind": "sensor", "snr": 20.0})


@pytest.fixture(scope="session")
def cleaning_pairs(tmp_path_factory):
    """A denoiser that sees two bands at once."""
    return make_model(tmp_path_factory.mktemp("models"), "two", 1, "sentinel2", {"kind": "sensor", "snr": 20.0}, 2)


@pytest.fixture(scope="session")
def mixing(tmp_path_factory):
    """A denoiser that sees components of three bands."""
    noise = {"kind": "sensor", "snr": 20.0}
    return make_model(tmp_path_factory.mktemp("models"), "mix", 1, "sentinel2", noise, 3, "anchored-mixed")


@pytest.fixture
def scene(tmp_path):
    """Two bands of uint16, odd sides, no-data in a corner."""
    dn = np.stack([picture(5, 210)[:, :157], picture(6, 210)[:, :157]])
    dn = (500 + 6000 * dn).astype(np.uint16)
    dn[:, :30, :20] = 0
    path = tmp_path / "scene.tif"
    transform = from_origin(300_000, 5_000_000, 10, 10)
    with rasterio.open(
        path, "w", driver="GTiff", width=157, height=210, count=2, dtype="uint16", nodata=0, crs="EPSG:32633",
        transform=transform,
    ) as out:  # fmt: skip
        out.write(dn)
        out.descriptions = ("B03", "B04")
        out.update_tags(SENSING_TIME="2018-01-01T00:00:00Z")
    return path


@pytest.fixture
def fields():
    """Makes fields of different brightness, with a wall and a coast along the columns, and some noise."""

    def ground(rows=400, cols=300, seed=0):
        """Fields of different brightness, with a bright wall along the columns, and some noise."""
        rng = np.random.default_rng(seed)
        fields = rng.integers(600, 2400, (rows // 50 + 1, cols // 50 + 1))
        scene = np.kron(fields, np.ones((50, 50)))[:rows, :cols]
        for row in range(rows):
            scene[row] = np.roll(scene[row], row // 50 * 13)
        scene += rng.normal(0, 40, (rows, cols))
        scene[:150, 120:160] += 900
        scene[:, 200:] += 700  # a coast along the columns
        return scene

    return ground
