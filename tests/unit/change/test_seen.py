"""The layout that the score's matrix products work on: every sub-cell in its place, sums exact, cells independent."""

from dataclasses import replace

import numpy as np
import pytest

from onboard.change.pair import Comparison
from onboard.change.record import COARSE, FINE, FLAG_CLEAR, coarse_bands, fine_bands, pack_valid, record_dtype
from onboard.change.rule import ScoreRule
from onboard.change.score import BATCH, score_cells
from onboard.change.seen import BLOCK, ONE, QUARTERS, Pair, Seen, by_cell, folded
from onboard.change.usual import fit_history
from onboard.infer.bundle import Tensor, load_bundle
from onboard.sense.bands import BAND_SETS
from onboard.sense.normalise import BandStatistics

BANDS = BAND_SETS["s2-10"]
F, C = len(fine_bands(BANDS)), len(coarse_bands(BANDS))


def look(n, seed=0, hidden=0.0):
    rng = np.random.default_rng(seed)
    records = np.zeros(n, record_dtype(128, BANDS))
    for name in ("latent", "fine", "coarse"):
        records[name] = rng.integers(0, 256, records[name].shape)
    records["valid"] = pack_valid(rng.random((n, 64)) >= hidden)
    records["flags"] = FLAG_CLEAR
    return records


def test_every_sub_cell_is_in_its_place():
    records = look(7)
    seen = Seen(records)
    fine = records["fine"].reshape(7, F, FINE, FINE)
    coarse = records["coarse"].reshape(7, C, COARSE, COARSE)
    for quarter, (down, right) in enumerate(np.ndindex(2, 2)):
        assert (seen.fine[:, quarter] == fine[:, :, down::2, right::2].reshape(7, F, BLOCK).transpose(1, 0, 2)).all()
        assert (seen.spectra(slice(None))[F:, quarter] == coarse.reshape(7, C, BLOCK).transpose(1, 0, 2)).all()
    assert (seen.spectra(slice(1, 4))[:F] == seen.fine[:, :, 1:4]).all()
    blocks = fine.reshape(7, F, COARSE, 2, COARSE, 2).mean(axis=(3, 5)).reshape(7, F, BLOCK)
    assert (seen.coarse[:F] == blocks.transpose(1, 0, 2)).all()
    assert (seen.means[:F] == fine.mean(axis=(2, 3)).T).all()
    assert (seen.means[F:] == coarse.mean(axis=(2, 3)).T).all()


def test_what_is_hidden_is_hidden_where_it_lies():
    now, past = look(5), look(5, 1)
    valid = np.ones((5, FINE, FINE), bool)
    valid[2, 3, 6] = False
    past["valid"] = pack_valid(valid)
    hidden = Pair(now).against(past).hidden
    assert hidden.sum() == 1
    assert hidden[3 - 2 + 1, 2, 1 * COARSE + 3]  # lower left corner of the coarse sub-cell in row 1, column 3
    assert by_cell(hidden)[2].sum() == 1
    assert Pair(now).against(now).hidden is None


def test_a_folded_map_is_the_map_and_takes_the_past_that_was_laid_last():
    rng = np.random.default_rng(3)
    given = rng.normal(0, 0.01, (4, 2 * (F + C) + 1))
    now, first, second = look(6), look(6, 1), look(6, 2)
    pair = Pair(now)
    pair.against(first)
    weights = folded(given, F)
    fine, others = pair.against(second).product(weights)
    found = fine + others[:, None]
    rows = [Seen(second).spectra(slice(None)), Seen(now).spectra(slice(None)), np.ones((1, QUARTERS, 6, BLOCK))]
    assert found == pytest.approx(np.einsum("rk,kqnb->rqnb", given, np.concatenate(rows)), abs=2e-2)
    assert (pair.rows.others[-1] == ONE).all()
    assert (found.astype(np.float64).mean(axis=(1, 3)) == pair.mean(weights)).all()


def test_a_cells_score_does_not_depend_on_those_beside_it():
    """Nor on the batch they share, nor on whether some of them are partly hidden."""
    n = 2 * BATCH + 9
    now, past = look(n), [look(n, seed) for seed in (1, 2)]
    now["fine"] //= 4
    whole, partly = past[0].copy(), past[0].copy()
    partly["valid"][::2] = pack_valid(np.arange(64)[None] >= 9)[0]
    bundle = load_bundle("s2-10")
    stats, output = tuple(BandStatistics(-1.5, 0.3, 1000) for _ in BANDS), Tensor("latent", "uint8", 0.1, 128)
    rule = ScoreRule()
    history = [(one, stats) for one in (whole, past[1])]
    models = fit_history(now, stats, history, rule, BANDS, output, 3, bundle.event)
    models = [replace(model, loss_weight=0.5, water_weight=0.5, event_weight=0.5) for model in models]
    comparisons = [Comparison(model, rule, BANDS, stats, stats, bundle.event) for model in models]

    def score(of, cells):
        looks = [(one[cells], comparison) for one, comparison in zip((of, past[1]), comparisons, strict=True)]
        return score_cells(now[cells], looks, rule, output, 3)

    expected = score(whole, slice(None))
    assert np.isfinite(expected).all()
    assert (score(whole, slice(5, 40)) == expected[5:40]).all()
    assert (score(partly, slice(None))[1::2] == expected[1::2]).all()
