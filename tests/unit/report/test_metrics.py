from __future__ import annotations

import math

import numpy as np
import pytest

from onboard.report.metrics import average_precision, precision_recall, recall_at, reliability

TRUTH = np.array([True, False, True, False, False])
SCORE = np.array([0.9, 0.8, 0.7, 0.2, 0.1])


def test_average_precision_by_hand() -> None:
    # Recall rises to 1/2 at precision 1, then to 1 at precision 2/3.
    assert average_precision(TRUTH, SCORE) == pytest.approx(0.5 * 1.0 + 0.5 * 2 / 3)


def test_equal_scores_are_one_threshold() -> None:
    # All equal: everything is taken at once, at the base rate, whatever the order.
    assert average_precision(TRUTH, np.zeros(5)) == pytest.approx(0.4)
    assert average_precision(TRUTH[::-1], np.zeros(5)) == pytest.approx(0.4)
    curve = precision_recall(TRUTH, np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert curve.threshold.tolist() == [1.0, 0.0]
    assert curve.precision.tolist() == [0.5, 0.4]
    assert curve.recall.tolist() == [0.5, 1.0]


def test_recall_at_shares_by_hand() -> None:
    # 20 % of five is the first (a hit), 40 % adds a miss, 60 % finds both, 10 % is half of the first.
    assert recall_at(TRUTH, SCORE, (0.2, 0.4, 0.6, 0.1, 1.0)) == pytest.approx([0.5, 0.5, 1.0, 0.25, 1.0])


def test_recall_inside_a_tie_is_the_mean_over_orders() -> None:
    assert recall_at(TRUTH, np.zeros(5), (0.2, 0.6)) == pytest.approx([0.2, 0.6])


def test_without_a_positive_nothing_is_claimed() -> None:
    nobody = np.zeros(5, bool)
    assert math.isnan(average_precision(nobody, SCORE))
    assert math.isnan(recall_at(nobody, SCORE, (0.1,))[0])
    assert precision_recall(nobody, SCORE).recall.size == 0


def test_empty() -> None:
    assert math.isnan(average_precision(np.empty(0, bool), np.empty(0)))
    assert math.isnan(recall_at(np.empty(0, bool), np.empty(0), (0.5,))[0])


def test_nan_and_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        average_precision(TRUTH, np.array([1.0, np.nan, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="equally long"):
        average_precision(TRUTH, SCORE[:3])


def test_infinite_scores_rank_first() -> None:
    assert average_precision(np.array([True, False]), np.array([np.inf, 1.0])) == 1.0


@pytest.mark.parametrize("levels", [3, 17, 10_000])
def test_agrees_with_sklearn(levels: int) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(levels)
    for _ in range(20):
        truth = rng.random(300) < 0.1
        truth[0] = True
        score = (rng.integers(0, levels, 300) / levels + 0.2 * truth).astype(np.float32)
        assert average_precision(truth, score) == pytest.approx(sklearn_metrics.average_precision_score(truth, score))
        precision, recall, threshold = sklearn_metrics.precision_recall_curve(truth, score)
        curve = precision_recall(truth, score)
        np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
        np.testing.assert_allclose(curve.recall, recall[:-1][::-1])
        np.testing.assert_allclose(curve.threshold, threshold[::-1])


def test_reliability_is_the_diagonal_for_an_honest_probability():
    rng = np.random.default_rng(0)
    prior = 0.02
    stated = 1 / (1 + np.exp(-rng.normal(-4, 3, 400_000)))
    stated *= prior / stated.mean()  # so that the declared prior holds
    truth = rng.random(stated.size) < stated
    table = reliability(truth, stated.astype(np.float32), prior)
    many = table.cells > 1000
    assert table.observed[many] == pytest.approx(table.stated[many], rel=0.15, abs=1e-4)
    assert table.cells.sum() == stated.size


def test_reliability_does_not_depend_on_how_much_changed_in_the_stream():
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.beta(1, 30, 50_000), rng.beta(4, 3, 50_000)])
    truth = np.arange(score.size) >= 50_000
    few = np.concatenate([np.arange(50_000), 50_000 + np.arange(5_000)])
    whole, part = (reliability(truth[pick], score[pick], 0.02) for pick in (np.arange(score.size), few))
    assert whole.observed[-4:] == pytest.approx(part.observed[-4:], rel=0.3)


def test_reliability_needs_both_kinds():
    assert reliability(np.zeros(5, bool), np.linspace(0, 1, 5), 0.02).stated.size == 0
