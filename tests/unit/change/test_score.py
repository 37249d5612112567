"""The score is the least distance to the k newest clear looks; the probability never changes a ranking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.change.record import FLAG_CLEAR, record_dtype
from onboard.change.rule import ScoreRule
from onboard.change.score import latent_distance, probability, score_cells
from onboard.infer.bundle import Tensor

OUTPUT = Tensor("latent", "uint8", 0.0625, 131)
SURPRISE = ScoreRule()


class Surprise:
    """A comparison whose surprise is the distance of latents less a usual one."""

    def unexplained(self, pair, latent_distance):
        assert len(pair) == len(latent_distance)
        return latent_distance - np.float32(2)

    def event(self, pair, asked):
        assert len(pair) == len(asked)
        return np.zeros(len(pair), np.float32)


def look(latents, clear=True):
    latents = np.atleast_2d(np.asarray(latents, dtype=np.uint8))
    records = np.zeros(len(latents), dtype=record_dtype(latents.shape[1], ("B02", "B05")))
    records["latent"] = latents
    records["flags"] = np.where(clear, FLAG_CLEAR, 0)
    return records


def plain(a, b, kind):
    a, b = ((np.asarray(x, dtype=float) - OUTPUT.zero_point) * OUTPUT.scale for x in (a, b))
    if kind == "cosine":
        return 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return np.linalg.norm(a - b)


def random_latents(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("kind", ["cosine", "euclidean"])
def test_distances_follow_the_plain_formula(kind):
    a, b = random_latents((2, 50, 128))
    expected = [plain(x, y, kind) for x, y in zip(a, b, strict=True)]
    assert latent_distance(a, b, OUTPUT, kind) == pytest.approx(expected, rel=1e-4)
    assert latent_distance(a, a, OUTPUT, kind) == pytest.approx(np.zeros(50), abs=1e-6)
    assert (latent_distance(a, b, OUTPUT, kind) == latent_distance(b, a, OUTPUT, kind)).all()


def test_opposite_latents_are_two_apart_whatever_their_length():
    zero = OUTPUT.zero_point
    short, long = np.full((1, 8), zero + 10, np.uint8), np.full((1, 8), zero - 100, np.uint8)
    assert latent_distance(short, long, OUTPUT, "cosine") == pytest.approx([2.0])


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(["cosine", "euclidean", "surprise"]), st.integers(0, 4))
def test_the_score_is_the_least_distance_to_the_k_newest_clear_looks(seed, kind, history):
    rng = np.random.default_rng(seed)
    cells, passes = rng.integers(1, 9), rng.integers(0, 7)
    clear = rng.random((passes + 1, cells)) < 0.7
    latents = random_latents((passes + 1, cells, 8), seed)
    now, *past = (look(x, c) for x, c in zip(latents, clear, strict=True))
    rule = ScoreRule(rule=kind)
    found = score_cells(now, [(records, Surprise()) for records in past], rule, OUTPUT, history)
    assert found.dtype == np.float32
    for cell in range(cells):
        looks = [i for i in range(1, passes + 1) if clear[i, cell]][:history]
        if not clear[0, cell] or not looks:
            assert np.isnan(found[cell])
            continue
        distances = np.array([plain(latents[0, cell], latents[i, cell], kind) for i in looks])
        least = distances.min()
        if kind == "surprise":
            soft = -rule.softness * np.log(np.exp(-distances / rule.softness).mean())
            assert least <= soft <= least + rule.softness * np.log(len(looks)) + 1e-9
            least = probability(np.array([soft - 2]), rule)[0]
        assert found[cell] == pytest.approx(least, rel=1e-3, abs=1e-5)


def test_what_was_seen_before_is_no_news_unless_it_was_too_long_ago():
    quiet, burnt = [200] * 8, [60] * 8
    now, past = look(burnt), [(look(x), None) for x in (quiet, quiet, burnt)]  # newest first
    rule = ScoreRule(rule="euclidean")
    assert score_cells(now, past, rule, OUTPUT, 3) == 0
    assert score_cells(now, past, rule, OUTPUT, 2) == pytest.approx(plain(burnt, quiet, "euclidean"))


def test_an_unclear_look_does_not_use_up_the_history():
    quiet, burnt = [200] * 8, [60] * 8
    past = [(look(burnt, clear=False), None), (look(quiet), None)]
    assert score_cells(look(quiet), past, ScoreRule(rule="euclidean"), OUTPUT, 1) == 0


@given(st.floats(-6, 12), st.floats(1e-3, 1))
def test_the_probability_rises_strictly_between_0_and_1(score, step):
    low, high = probability(np.array([score, score + step], np.float32), SURPRISE)
    assert 0 < low < high < 1


@given(st.floats(1e-4, 0.5), st.floats(-3, 3), st.floats(0.1, 2))
def test_at_no_surprise_the_odds_are_those_of_the_prior_times_the_calibration(prior, a, b):
    found = float(probability(np.zeros(1, np.float32), ScoreRule(prior=prior, calibration=(a, b)))[0])
    assert found / (1 - found) == pytest.approx(prior / (1 - prior) * np.exp(a), rel=1e-4)
    neutral = probability(np.zeros(1, np.float32), ScoreRule(prior=prior, calibration=(0.0, b)))
    assert neutral[0] == pytest.approx(prior, rel=1e-5)


def test_unknown_stays_unknown():
    assert np.isnan(probability(np.array([np.nan], np.float32), SURPRISE)).all()
