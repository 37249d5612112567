"""A small forest with a clearing, made from nothing."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

BANDS = ("B2", "B3", "B4", "B8", "B8A", "B11")
FOREST = (300, 500, 300, 3500, 3700, 1700)
CLEARED = (450, 650, 650, 2600, 2700, 2400)
DATES = [
    f"{year}-{day}" for year in (2016, 2017, 2018) for day in ("05-20", "06-10", "07-05", "07-30", "08-20", "09-15")
]


@pytest.fixture(scope="session")
def forest_dir(tmp_path_factory):
    """18 clear dates of 3 x 3 cells; the cell in the middle loses a quarter between 2017-09-15 and 2018-05-20."""
    folder = tmp_path_factory.mktemp("forest")
    random = np.random.default_rng(0)
    stands = 1 + 0.1 * random.standard_normal((48, 48)).repeat(2, axis=0).repeat(2, axis=1)
    for date in DATES:
        dn = np.array(FOREST)[:, None, None] * stands * (1 + 0.02 * random.standard_normal((6, 96, 96)))
        if date >= "2018":
            dn[:, 40:56, 40:56] = np.array(CLEARED)[:, None, None]
        profile = {"driver": "GTiff", "count": 6, "height": 96, "width": 96, "dtype": "uint16", "crs": "EPSG:3035"}
        with rasterio.open(folder / f"{date}.tif", "w", **profile, transform=Affine(10, 0, 5e6, 0, -10, 2e6)) as target:
            target.descriptions = BANDS
            target.write(dn.astype(np.uint16))
    return folder
