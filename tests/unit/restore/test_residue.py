"""Stripes as a denoiser sees them: taken off in turn, from lines that are spread over the image."""

import numpy as np

from onboard.restore.enhance import BandScale, Noise, halo, restore_image
from onboard.restore.model import Network
from onboard.restore.residue import LINES, STRIP, column_means, refined, strips
from onboard.restore.told import Told

SCALES = (BandScale(1000.0), BandScale(4000.0))


def test_what_a_denoiser_answers_by_a_half_is_taken_off_in_turn():
    stripes = np.random.default_rng(0).normal(0, 25, (2, 300))
    first = np.rint(stripes * 0.6).astype(np.int32)
    found = refined(first, Told.of_taken(2 * np.eye(2)), SCALES, lambda now: 0.5 * (stripes - now), 400)
    left = stripes - found
    assert (left - left.mean(1, keepdims=True)).std() < 0.15 * (stripes - first).std()


def test_one_bands_columns_tell_of_anothers_as_shares_of_full_scale():
    stripes = np.zeros((2, 300))
    stripes[1] = np.random.default_rng(0).normal(0, 100, 300)
    told = Told.of_taken(np.array([[0.0, 0.0], [1.0, 0.0]]))  # all that is known of the second is seen in the first
    found = refined(np.zeros((2, 300), np.int32), told, SCALES, lambda now: (stripes - now)[::-1] / 4, 400)
    assert not found[0].any()
    left = stripes[1] - found[1]
    assert (left - left.mean()).std() < 0.15 * stripes[1].std()


def test_a_model_of_one_band_tells_each_band_its_own():
    stripes = np.random.default_rng(0).normal(0, 25, (2, 300))
    stripes -= stripes.mean(1, keepdims=True)
    found = refined(np.zeros((2, 300), np.int32), Told.of_taken(np.eye(1)), SCALES, lambda now: stripes - now, 400)
    assert np.abs(stripes - found).std() < 3


def test_a_denoiser_that_knows_no_stripes_leaves_offsets_as_they_are(doubling):
    offsets = np.arange(12, dtype=np.int32).reshape(1, 12)
    assert (refined(offsets, doubling.stripes, SCALES[:1], lambda now: now, 400) == offsets).all()


def test_a_band_keeps_its_mean():
    offsets = np.zeros((1, 50), np.int32)
    assert not refined(offsets, Told.of_taken(np.eye(1)), SCALES[:1], lambda now: np.full((1, 50), 7.0), 400).any()


def test_strips_cover_a_small_image_and_are_spread_over_a_large_one():
    lines = np.concatenate([np.arange(first, first + rows) for first, rows in strips(301)])
    assert (lines == np.arange(301)).all()
    spread = strips(10_980)
    assert sum(rows for _, rows in spread) == LINES
    assert all(first % 2 == 0 for first, _ in spread)
    assert spread[0][0] == 0
    assert 10_980 - 2 <= spread[-1][0] + STRIP <= 10_980


def test_means_of_blocks_are_those_of_the_whole_image(cleaning_pairs):
    rng = np.random.default_rng(1)
    dn = rng.integers(500, 3000, (2, 131, 301)).astype(np.uint16)
    scales = tuple(BandScale(3000.0, Noise.of_snr(20.0, 1500.0, 0.3)) for _ in range(2))
    network = Network(cleaning_pairs)
    good = np.ones(dn.shape, bool)
    good[0, :, 7] = False
    around = halo(cleaning_pairs)
    wide = np.pad(dn, ((0, 0), (around, around + 1), (around, around + 1)), mode="symmetric")

    def block(window):
        rows, cols = (
            slice(start, start + size + 2 * around) for start, size in zip(window[:2], window[2:], strict=True)
        )
        inside = (
            slice(None),
            slice(window.row, window.row + window.height),
            slice(window.col, window.col + window.width),
        )
        odd = ((0, 0), (0, window.height - good[inside].shape[1]), (0, window.width - good[inside].shape[2]))
        return wide[:, rows, cols], np.pad(good[inside], odd)

    found = column_means(network, scales, 131, 301, block)
    wanted = (dn.astype(float) - restore_image(network, dn, scales)).mean(1)
    wanted[0, 7] = 0
    assert np.allclose(found, wanted)
