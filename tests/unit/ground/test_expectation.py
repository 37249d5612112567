from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ground.evaluation import expectation as e


def make(looks=40, cells=2, bands=2, seed=0):
    """Sub-cells with seasons of their own, and a little noise."""
    random = np.random.default_rng(seed)
    years = np.sort(random.random(looks)) * 4
    season = 2 * np.pi * (years % 1)
    size = (1, cells * 64, bands)
    level, wave = random.standard_normal(size), random.standard_normal(size)
    noise = 0.05 * random.standard_normal((looks, *size[1:]))
    x = level + wave * np.sin(season)[:, None, None] + noise
    times = tuple(datetime(2015, 1, 1, tzinfo=UTC) + timedelta(days=365.25 * year) for year in years)
    return e.Series(x.astype(np.float32), np.ones(x.shape[:2], dtype=bool), times, years, season)


def test_the_harmonic_knows_the_season_and_its_spread():
    series = make()
    (one,) = e.harmonic(series, 30)(35)
    assert one.known.all()
    assert np.abs(one.mean - series.x[35]).max() < 0.3
    assert 0.03 < float(np.median(one.spread)) < 0.1


def test_the_harmonic_forgets_what_it_may_not_remember():
    series = make()
    series.x[:10] += 5
    (few,), (all_looks,) = e.harmonic(series, 39, looks=16)(39), e.harmonic(series, 39)(39)
    assert np.abs(few.mean - series.x[39]).mean() < np.abs(all_looks.mean - series.x[39]).mean() / 4
    assert not e.harmonic(series, 2)(3)[0].known.any()


def test_the_future_is_never_seen():
    series = make()
    for forecaster in (e.harmonic, e.least_of_recent, e.mean_of_recent):
        before = [one.mean for one in forecaster(series, 20)(22)]
        changed = replace(series, x=series.x.copy(), valid=series.valid.copy())
        changed.x[20:] = 9
        changed.valid[20:] = False
        after = [one.mean for one in forecaster(changed, 20)(22)]
        assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_clouds_are_passed_over():
    series = make()
    series.x[18:20] = 50
    series.valid[18:20] = False
    past, seen = e.recent(series, 20)
    assert (seen == 3).all()
    assert (past[0] == series.x[17]).all()
    assert np.isnan(e.recent(series, 2, 5)[0][2:]).all()


def test_a_clearing_stands_out_and_haze_does_not():
    series = make(cells=9)
    series.x[30:, 64:80] += 2  # a quarter of cell 1, from look 30 on
    series.x[30] = series.x[30] * 1.0 + 1  # the whole scene is brighter
    scores = e.residual_scores(series, e.harmonic, range(28, 36))
    assert scores.shape == (e.HORIZON, 40, 9)
    assert scores[0, 30].argmax() == 1
    assert scores[0, 30, 1] > 3 * np.delete(scores[0, 30], 1).max()
    lasting = e.confirmed(scores)
    assert lasting[30, 1] > 3 * np.delete(lasting[30], 1).max()


def test_confirmation_takes_the_next_clear_looks():
    scores = np.full((e.HORIZON, 1, 4), np.nan, dtype=np.float32)
    scores[:4, 0, 0] = 5, np.nan, 4, 6  # a cloud in between
    scores[:3, 0, 1] = 5, 1, 6  # gone at the next look
    scores[:2, 0, 2] = 5, 5  # not looked at often enough
    scores[1:5, 0, 3] = 5  # not seen itself
    assert e.confirmed(scores)[0] == pytest.approx([4, 1, np.nan, np.nan], nan_ok=True)


def test_a_cell_with_few_clear_sub_cells_is_unknown():
    series = make()
    (forecast,) = e.harmonic(series, 30)(30)
    valid = series.valid[30].copy()
    valid[:40] = False
    score = e.pooled_residual(series.x[30], valid, forecast)
    assert np.isnan(score[0])
    assert np.isfinite(score[1])
    assert np.isnan(e.pooled_residual(series.x[30], np.zeros_like(valid), forecast)).all()
