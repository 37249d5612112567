import importlib.metadata
from datetime import UTC, datetime

import numpy as np
import pytest

from ground.scenes import forest
from onboard.errors import InputError
from onboard.sense.stream import open_stream


def test_the_clearing_is_one_lasting_loss(forest_dir):
    losses, years = forest.lasting_losses(open_stream(str(forest_dir)).acquisitions)
    (loss,) = losses
    assert (loss.cell, loss.year, loss.share) == (4, 2018, 0.25)
    assert (loss.after.date().isoformat(), loss.until.date().isoformat()) == ("2017-09-15", "2018-05-20")
    expected = np.zeros((48, 48), dtype=int)
    expected[20:28, 20:28] = 2018
    assert (years == expected).all()


def test_a_fall_that_does_not_last_is_none():
    series = np.zeros(20, dtype=np.float32)
    series[10:12] = -0.5
    assert forest.falls(series) == []
    series[10:] = -0.5
    assert forest.falls(series) == [(9, 10)]
    series[9:11] = np.nan  # the look at which it happened was cloudy
    assert forest.falls(series) == [(8, 11)]
    assert forest.falls(np.full(20, np.nan, dtype=np.float32)) == []


def test_logging_years_run_from_august():
    assert forest.logging_year(datetime(2017, 7, 31, tzinfo=UTC)) == 2017
    assert forest.logging_year(datetime(2017, 8, 1, tzinfo=UTC)) == 2018


def test_bands_of_the_reference_must_be_there():
    with pytest.raises(InputError, match="lacks B99"):
        forest_bands, forest.BANDS = forest.BANDS, ("B8A", "B99")
        try:
            forest.moisture(open_stream("sim:1?size=64").acquisitions[0])
        finally:
            forest.BANDS = forest_bands


def test_a_missing_package_is_one_clear_line(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(InputError, match=r"pip install --no-deps nrt==0\.2\.1"):
        forest.find_series()


def test_the_real_forest_was_opened_and_logged(nrt_dir):
    losses, years = forest.lasting_losses(open_stream(str(forest.find_series())).acquisitions)
    large = {(loss.cell, loss.year) for loss in losses if loss.share > forest.LOST_SHARE}
    assert {(0, 2017), (1, 2017), (2, 2017), (4, 2019), (5, 2019), (7, 2020), (8, 2020)} <= large
    assert len(large) == 12
    assert (years > 0).mean() < 0.5
