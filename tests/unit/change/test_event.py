"""The event head: its folded form, its mirror image, hidden sub-cells, and what a bundle may say of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from onboard.change.event import LIMIT, EventHead, EventTest
from onboard.change.pair import Comparison
from onboard.change.record import FLAG_CLEAR, coarse_bands, fine_bands, pack_valid, record_dtype
from onboard.change.rule import ScoreRule
from onboard.change.score import score_cells
from onboard.change.seen import Pair
from onboard.change.subcells import BLOCKS, INPUT_STEP, INPUT_ZERO
from onboard.change.usual import fit_history, fit_pair
from onboard.errors import BundleError
from onboard.infer.bundle import Tensor
from onboard.sense.bands import BAND_SETS
from onboard.sense.normalise import BandStatistics

SETS = ("s2-10", "fire", "rgbn")
RULE = ScoreRule(latent=0.0, loss=0.0, water=0.0)
N = 60
ROWS = np.argsort(BLOCKS.T.reshape(-1))
"""From quarter by quarter to row by row."""


def looks(bands, seed):
    """Two looks that resemble each other, records (N,), every sub-cell valid."""
    rng = np.random.default_rng(seed)
    found = []
    fine = rng.integers(60, 200, (N, len(fine_bands(bands)), 64))
    coarse = rng.integers(60, 200, (N, len(coarse_bands(bands)), 16))
    for _ in range(2):
        one = np.zeros(N, record_dtype(128, bands))
        one["fine"] = np.clip(fine + rng.integers(-6, 7, fine.shape), 0, 255)
        one["coarse"] = np.clip(coarse + rng.integers(-6, 7, coarse.shape), 0, 255)
        one["valid"] = pack_valid(np.ones((N, 64), bool))
        one["flags"] = FLAG_CLEAR
        found.append(one)
    return found


def sees_a_fall(bands, out_bias):
    """A head of one unit, for the first of `bands`, all of them at 10 m."""
    first, zero = np.eye(1, len(bands)), np.zeros((1, len(bands)))
    residual = np.zeros((1, 2 * len(bands)))
    return EventHead(-40 * first, 40 * first, zero, zero, residual, np.zeros(1), np.ones(1), out_bias)


def statistics(bands, seed):
    rng = np.random.default_rng(seed)
    return tuple(BandStatistics(rng.normal(-1.5, 0.2), rng.uniform(0.2, 0.4), 1000) for _ in bands)


def made(bands, seed=0, units=5):
    rng = np.random.default_rng(seed)
    b, f = len(bands), len(fine_bands(bands))
    return EventHead(
        *(rng.normal(0, 1, (units, b)) for _ in range(2)), *(rng.normal(0, 0.3, (units, b)) for _ in range(2)),
        rng.normal(0, 0.3, (units, 2 * f)), rng.normal(0, 1, units), rng.normal(0, 1, units), -1.0,
    )  # fmt: skip


def spectra(records, bands, stats):
    x = np.empty((N, len(bands), 64))
    x[:, fine_bands(bands)] = records["fine"]
    for place, band in enumerate(coarse_bands(bands)):
        x[:, band][:, BLOCKS] = records["coarse"][:, place, :, None]
    return (x - INPUT_ZERO) * INPUT_STEP, np.array([s.spread for s in stats]), np.array([s.median for s in stats])


@pytest.mark.parametrize("name", SETS)
def test_the_folded_head_is_the_head(name):
    bands = BAND_SETS[name]
    now, past = looks(bands, 1)
    s, t = statistics(bands, 2), statistics(bands, 3)
    head, pair = made(bands), fit_pair(now, past, RULE, bands, s, t, None)[0]
    (x, a, m), (y, b, k) = spectra(now, bands, s), spectra(past, bands, t)
    order = fine_bands(bands) + coarse_bands(bands)
    f = len(fine_bands(bands))

    def left(one, other, slope):
        return one[:, order][:, :f] - np.einsum("bf,nbs->nfs", slope[:-1], other[:, order]) - slope[-1][:, None]

    residual = np.concatenate([left(x, y, pair.forward), left(y, x, pair.backward)], axis=1)
    hidden = head.bias[:, None] + np.einsum("ur,nrs->nus", head.residual / pair.residual_spread, residual)
    hidden = hidden + (head.now_median @ m + head.past_median @ k)[:, None]
    for values, weights in ((x * a[:, None], head.now), (y * b[:, None], head.past)):
        hidden = hidden + np.einsum("ub,nbs->nus", weights, values)
    expected = np.einsum("u,nus->ns", head.out, np.maximum(hidden, 0)) + head.out_bias
    found = EventTest(head, bands, s, t, pair.residual_map).log_odds(Pair(now).against(past))[:, ROWS]
    assert found == pytest.approx(np.clip(expected, -LIMIT, LIMIT), abs=0.05)  # weights of limited bits


def test_the_mirror_image_is_that_of_the_exchanged_passes():
    bands = BAND_SETS["s2-10"]
    now, past = looks(bands, 4)
    s, t = statistics(bands, 5), statistics(bands, 6)
    head = made(bands)
    there, back = (
        fit_pair(*pair, RULE, bands, *stats, None)[0] for pair, stats in (((now, past), (s, t)), ((past, now), (t, s)))
    )
    exchanged = Pair(past).against(now)
    mirrored = EventTest(head, bands, t, s, there.mirrored_map).log_odds(exchanged)
    assert mirrored == pytest.approx(EventTest(head, bands, t, s, back.residual_map).log_odds(exchanged), abs=0.05)


def test_hidden_sub_cells_have_the_least_odds():
    bands = BAND_SETS["rgbn"]
    now, past = looks(bands, 7)
    valid = np.ones((N, 64), bool)
    valid[:, :10] = False
    past["valid"] = pack_valid(valid)
    stats = statistics(bands, 8)
    pair = fit_pair(now, past, RULE, bands, stats, stats, None)[0]
    test = EventTest(made(bands), bands, stats, stats, pair.residual_map)
    odds = test.log_odds(Pair(now).against(past))[:, ROWS]
    assert (odds[:, :10] == -LIMIT).all() and (odds[:, 10:] > -LIMIT).any()
    nothing = EventTest(made(bands), bands, stats, stats, pair.residual_map)
    past["valid"] = 0
    everywhere = np.ones(N, bool)
    assert (nothing.evidence(Pair(now).against(past), everywhere, -3.0, 4) == 0).all()


def test_an_event_counts_where_it_exceeds_its_mirror_image():
    """A head that sees a fall of the first band: in some cells it raises the score, where as many rise it does not."""
    bands = BAND_SETS["rgbn"]
    now, past = looks(bands, 9)
    stats = tuple(BandStatistics(-1.5, 0.3, 1000) for _ in bands)
    head = sees_a_fall(bands, -10.0)
    fallen, balanced = now.copy(), now.copy()
    fallen["fine"][:6, 0] -= 40
    balanced["fine"][:6, 0] -= 40
    balanced["fine"][6:12, 0] += 40

    def weight(look):
        return fit_history(look, stats, [(past, stats)], RULE, bands, Tensor("latent", "uint8", 1.0, 0), 3, head)[0]

    assert weight(fallen).event_weight > 0.5
    assert weight(balanced).event_weight < 0.1
    model, everywhere = weight(fallen), np.ones(N, bool)
    found = Comparison(model, RULE, bands, stats, stats, head).event(Pair(fallen).against(past), everywhere)
    assert (found[:6] > 2).all() and (found[6:] == 0).all()
    assert (Comparison(model, RULE, bands, stats, stats).event(Pair(fallen).against(past), everywhere) == 0).all()


def test_only_cells_that_are_asked_for_are_looked_at_and_get_what_they_get_among_all():
    bands = BAND_SETS["s2-10"]
    now, past = looks(bands, 4)
    past["valid"][::3] = 0xFFF
    s, t = statistics(bands, 5), statistics(bands, 6)
    model = replace(fit_pair(now, past, RULE, bands, s, t, None)[0], event_weight=1.0)
    comparison, pair = Comparison(model, RULE, bands, s, t, made(bands)), Pair(now).against(past)
    whole, asked = comparison.event(pair, np.ones(N, bool)), np.arange(N) % 4 > 0
    assert (whole > 0).any()
    assert (comparison.event(pair, asked) == np.where(asked, whole, 0)).all()
    assert (comparison.event(pair, np.zeros(N, bool)) == 0).all()


def test_what_was_there_at_the_last_pass_is_no_event_against_older_ones():
    bands = BAND_SETS["rgbn"]
    now, past = looks(bands, 9)
    stats = tuple(BandStatistics(-1.5, 0.3, 1000) for _ in bands)
    head = sees_a_fall(bands, -10.0)
    now["fine"][:6, 0] -= 40
    seen = past.copy()
    seen["fine"][:3, 0] -= 40  # half of it happened before the last pass
    output = Tensor("latent", "uint8", 1.0, 0)
    model = fit_history(now, stats, [(past, stats)], RULE, bands, output, 3, head)[0]
    comparison, plain = (Comparison(model, RULE, bands, stats, stats, one) for one in (head, None))

    def score(looks, by):
        return score_cells(now, [(one, by) for one in looks], RULE, output, 3)

    raised = score([seen, past], comparison) > score([seen, past], plain)
    assert (np.flatnonzero(raised) == [3, 4, 5]).all()
    assert (np.flatnonzero(score([past, past], comparison) > score([past, past], plain)) == np.arange(6)).all()


def test_a_season_that_undoes_a_little_in_many_cells_does_not_silence_what_happened_to_a_few():
    """The first band falls by much in four cells, and rises by less in half of them."""
    bands = BAND_SETS["rgbn"]
    now, past = looks(bands, 9)
    stats = tuple(BandStatistics(-1.5, 0.3, 1000) for _ in bands)
    head = sees_a_fall(bands, -5.0)
    now["fine"][:4, 0] -= 40
    now["fine"][30:, 0] += 14
    output = Tensor("latent", "uint8", 1.0, 0)
    model = fit_history(now, stats, [(past, stats)], RULE, bands, output, 3, head)[0]
    assert model.event_above > 0
    assert model.event_weight > 0.5
    found = Comparison(model, RULE, bands, stats, stats, head).event(Pair(now).against(past), np.ones(N, bool))
    assert set(np.flatnonzero(found > 1)) == set(range(4))


def test_a_head_survives_json():
    bands = BAND_SETS["fire"]
    head = made(bands)
    again = EventHead.from_dict(json.loads(json.dumps(head.to_dict(bands))), bands)
    assert again.now == pytest.approx(head.now, abs=1e-5)
    assert again.out_bias == pytest.approx(head.out_bias, abs=1e-5)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"bands": ["B04"]},
        {"now": [[1.0]]},
        {"residual": [[0.0] * 3] * 5},
        {"out": [1.0]},
        {"out": [float("nan")] * 5},
        {"out_bias": "much"},
        {"bias": None},
    ],
)
def test_a_head_that_does_not_fit_is_refused(spoilt):
    bands = BAND_SETS["fire"]
    with pytest.raises(BundleError, match="event head"):
        EventHead.from_dict(made(bands).to_dict(bands) | spoilt, bands)
