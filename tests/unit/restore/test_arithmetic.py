"""The anchor and the consistency layer against plain definitions."""

import numpy as np
import pytest

from ground.scenes.resample import enlarge as reference
from ground.scenes.resample import sensor_shrink, sensor_taps
from onboard.restore import anchor, consistent
from onboard.restore.model import Consistency


@pytest.mark.parametrize("scale", anchor.SCALES)
def test_weights_are_whole_and_sum_to_their_denominator(scale):
    rows, denominator = anchor.weights(scale)
    assert all(sum(row) == denominator for row in rows)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_anchor_is_bicubic(scale):
    dn = np.random.default_rng(0).integers(0, 65536, (2, 24, 20)).astype(np.uint16)
    numerator, denominator = anchor.enlarge(dn, scale)
    cut = anchor.REACH * scale
    wanted = reference(dn.astype(np.float32), scale)[:, cut:-cut, cut:-cut]
    assert np.allclose(numerator / denominator, wanted, atol=0.05)


def test_scale_one_changes_nothing():
    dn = np.arange(200, dtype=np.uint16).reshape(1, 10, 20)
    numerator, denominator = anchor.enlarge(dn, 1)
    assert denominator == 1
    assert np.array_equal(numerator, dn[:, 2:-2, 2:-2])


@pytest.mark.parametrize("scale", [2, 3])
def test_degrade_is_what_the_training_data_were_made_with(scale):
    held = Consistency(tuple(sensor_taps(scale)), 2)
    fine = np.random.default_rng(1).random((1, 24 * scale, 20 * scale), dtype=np.float32)
    cut = consistent.margin(held, scale)
    wanted = sensor_shrink(fine, scale)[:, cut:-cut, cut:-cut]
    assert np.allclose(consistent.degrade(fine, held, scale), wanted, atol=1e-5)


def test_each_round_takes_off_a_third_of_the_deviation_even_of_noise():
    rng = np.random.default_rng(2)
    coarse = np.cumsum(rng.normal(size=(1, 60, 60)), axis=2).astype(np.float32) * 100
    numerator, denominator = anchor.enlarge(coarse, 2)
    fine = (numerator / denominator).astype(np.float32)
    inner = coarse[:, 2:-2, 2:-2]
    left = []
    for rounds in (0, 1, 2):
        held = Consistency(tuple(sensor_taps(2)), rounds)
        cut = consistent.halo(held, 2)
        fixed = consistent.correct(fine, inner, held, 2)
        kept = inner[:, cut : inner.shape[1] - cut, cut : inner.shape[2] - cut]
        left.append(np.abs(consistent.deviation(fixed, kept, held, 2))[:, 8:-8, 8:-8].mean())
    assert left[1] < 0.67 * left[0]
    assert left[2] < 0.67 * left[1]
