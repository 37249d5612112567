"""What every processor must compute alike: sums without rounding, whatever their order."""

import numpy as np
import pytest

from onboard.change.exact import exact_weights, ordered_sum, sum_of_squares
from onboard.change.subcells import top_root_mean


@pytest.mark.parametrize("scale", [1e-3, 0.04, 1.0, 37.0])
@pytest.mark.parametrize(("bits", "step"), [(8, 1.0), (10, 0.25)])
def test_products_with_exact_weights_are_never_rounded_whatever_the_order(scale, bits, step):
    rng = np.random.default_rng(5)
    weights = exact_weights(rng.normal(0, scale, (8, 20)), bits)
    inputs = (rng.integers(0, 256, (20, 400)) if bits == 8 else rng.integers(0, 1021, (20, 400)) * step).astype("f4")
    inputs[:, 0] = 255  # the greatest sum there is
    true = weights.astype(np.float64) @ inputs.astype(np.float64)
    for order in (np.arange(20), np.arange(20)[::-1], rng.permutation(20)):
        assert (weights[:, order] @ inputs[order] == true).all()


@pytest.mark.parametrize("bits", [8, 10])
def test_exact_weights_are_near_what_was_asked_for(bits):
    weights = np.random.default_rng(6).normal(0, 1, (8, 20))
    error = np.abs(exact_weights(weights, bits) - weights).max(axis=1)
    assert (error <= np.abs(weights).sum(axis=1) * 2.0 ** (bits + 1 - 24)).all()
    assert (exact_weights(np.zeros((2, 3)), bits) == 0).all()


def test_noise_in_the_last_digits_of_a_fit_does_not_reach_the_weights():
    weights = np.random.default_rng(7).normal(0, 1, (8, 20))
    assert (exact_weights(weights, 8) == exact_weights(weights * (1 + 1e-14), 8)).all()


def test_sums_go_term_by_term():
    values = np.random.default_rng(8).normal(0, 1, (9, 5000)).astype("f4")
    total = np.zeros(5000, dtype="f4")
    for term in range(9):
        total = total + values[term] * values[term]
    assert (ordered_sum(values**2) == total).all()
    assert (sum_of_squares(values.copy()) == total).all()


def test_the_order_of_sub_cells_does_not_change_the_mean_of_the_greatest():
    rng = np.random.default_rng(9)
    squares = rng.gamma(1, 1, (200, 64)).astype("f4")
    expected = top_root_mean(squares, 8)
    for _ in range(5):
        assert (top_root_mean(np.ascontiguousarray(squares[:, rng.permutation(64)]), 8) == expected).all()
