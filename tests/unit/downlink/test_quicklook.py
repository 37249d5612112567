"""The thumbnail of a pass, from the means that its records hold."""

import numpy as np
import pytest

from onboard.change.record import fine_bands, record_dtype, seal
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.closing import begin_quicklook
from onboard.downlink.product import MAX_SIDE_PX
from onboard.downlink.quicklook import THUMBNAIL_BANDS, Quicklook
from onboard.infer.bundle import load_bundle
from onboard.sense.acquisition import BandInfo
from onboard.sense.chunks import Chunk
from onboard.sense.normalise import BandStatistics

BUNDLE = load_bundle("s2-10")
INFOS = [BandInfo(name, -1000.0, 10_000.0) for name in THUMBNAIL_BANDS]
STATISTICS = [BandStatistics(-1.5 + 0.05 * n, 0.3, 9) for n in range(len(BUNDLE.bands))]


def records_of(reflectance):
    """Sealed records of cells of even reflectance (3, cells) in the visible bands."""
    found = np.zeros(reflectance.shape[1], record_dtype(BUNDLE.latent, BUNDLE.bands))
    for name, values in zip(THUMBNAIL_BANDS, reflectance, strict=True):
        band = BUNDLE.bands.index(name)
        x = (np.log(values + BUNDLE.normalise.shift) - STATISTICS[band].median) / STATISTICS[band].spread
        found["fine"][:, fine_bands(BUNDLE.bands).index(band)] = np.rint(x / INPUT_STEP + INPUT_ZERO)[:, None]
    seal(found)
    return found


def test_a_thumbnail_shows_each_cells_mean_where_there_is_one():
    reflectance = np.random.default_rng(0).uniform(0.03, 0.4, (3, 4, 6))
    quicklook = Quicklook((4, 6), BUNDLE)
    quicklook.add(Chunk(7, 0, 0, 4, 2), records_of(reflectance[:, :, :2].reshape(3, -1)))
    quicklook.add(Chunk(3, 1, 2, 2, 3), records_of(reflectance[:, 1:3, 2:5].reshape(3, -1)))
    assert quicklook.chunks == {3, 7}
    thumbnail = quicklook.thumbnail(STATISTICS, INFOS)
    seen = np.zeros((4, 6), bool)
    seen[:, :2] = seen[1:3, 2:5] = True
    assert (thumbnail.dn[:, ~seen] == 0).all()
    found = (thumbnail.dn[:, seen] - 1000.0) / 10_000
    step = 0.3 * INPUT_STEP * (reflectance[:, seen] + BUNDLE.normalise.shift)
    assert (np.abs(found - reflectance[:, seen]) <= 0.6 * step + 1e-4).all()


@pytest.mark.parametrize(
    ("rows", "budget", "bundle", "shown"),
    [(9, 10_000, "s2-10", True), (9, 10, "s2-10", False), (MAX_SIDE_PX + 1, 10_000, "s2-10", False)],
)
def test_nothing_is_gathered_where_no_thumbnail_goes_down(rows, budget, bundle, shown):
    assert (begin_quicklook(rows, 4, load_bundle(bundle), budget) is not None) == shown
