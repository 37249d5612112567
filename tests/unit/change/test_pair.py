"""What is usual between two passes is not change; what they do not explain of each other is."""

import numpy as np
import pytest

from onboard.change.pair import Comparison, PairModel
from onboard.change.record import COARSE, FINE, FLAG_CLEAR, pack_valid, record_dtype, seal
from onboard.change.rule import ScoreRule
from onboard.change.seen import Pair
from onboard.change.signed import Signed
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.change.usual import fit_history, fit_pair
from onboard.change.weigh import weigh
from onboard.infer.bundle import Tensor
from onboard.sense.bands import BAND_SETS
from onboard.sense.normalise import BandStatistics

BANDS = BAND_SETS["s2-10"]
CELLS = 300
RULE = ScoreRule(latent=0.0)
STATISTICS = tuple(BandStatistics(-1.5, 0.3, 1000) for _ in BANDS)


def records(log, valid=None):
    """Records of log spectra (cells, B, 8, 8), in the order of the bands."""
    dtype = record_dtype(128, BANDS)
    found = np.zeros(len(log), dtype=dtype)
    median, spread = (np.array([getattr(s, key) for s in STATISTICS])[:, None, None] for key in ("median", "spread"))
    u = np.clip(np.rint((log - median) / spread / INPUT_STEP) + INPUT_ZERO, 0, 255).astype(np.uint8)
    fine = [i for i, name in enumerate(BANDS) if name in ("B02", "B03", "B04", "B08")]
    coarse = [i for i in range(len(BANDS)) if i not in fine]
    found["fine"] = u[:, fine].reshape(len(log), len(fine), FINE * FINE)
    means = u[:, coarse].reshape(len(log), len(coarse), COARSE, 2, COARSE, 2).mean(axis=(3, 5))
    found["coarse"] = np.rint(means).reshape(len(log), len(coarse), COARSE * COARSE)
    found["valid"] = pack_valid(np.ones((len(log), 64), bool) if valid is None else valid)
    found["flags"] = FLAG_CLEAR
    seal(found)
    return found


def landscape(seed=0):
    """Log spectra with three latent materials and texture, (cells, B, 8, 8)."""
    rng = np.random.default_rng(seed)
    materials = rng.normal(0, 0.25, (3, len(BANDS)))
    cell = rng.normal(0, 1, (CELLS, 3))[:, :, None, None] + 0.5 * rng.normal(0, 1, (CELLS, 3, FINE, FINE))
    return np.einsum("mb,nmij->nbij", materials, cell) - 1.5 + rng.normal(0, 0.01, (CELLS, len(BANDS), FINE, FINE))


def season(log, seed=1):
    """The same place later: every material moves its own way, noise anew."""
    rng = np.random.default_rng(seed)
    mix = np.eye(len(BANDS)) + rng.normal(0, 0.05, (len(BANDS), len(BANDS)))
    return np.einsum("cb,nbij->ncij", mix, log + 1.5) - 1.45 + rng.normal(0, 0.01, log.shape)


def fall(log, cells, corner, by):
    """Some bands darker or brighter within the upper left `corner` sub-cells of some cells."""
    out = log.copy()
    for band, value in by.items():
        out[cells, BANDS.index(band), :corner, :corner] += value
    return out


def score(now, past):
    """The model of one past pass, and the surprise against it, which the score is the asinh of."""
    model = fit_history(now, STATISTICS, [(past, STATISTICS)], RULE, BANDS, Tensor("latent", "uint8", 1.0, 0), 3)[0]
    comparison = Comparison(model, RULE, BANDS, STATISTICS, STATISTICS)
    return model, np.sinh(comparison.unexplained(Pair(now).against(past), np.zeros(len(now), np.float32)))


CHANGED = np.arange(10)
BUILT = {"B02": 0.3, "B03": 0.3, "B04": 0.3, "B08": -0.2}
BURNT = {"B08": -0.5, "B8A": -0.5, "B07": -0.4, "B06": -0.3, "B12": 0.3}
FLOODED = {"B08": -0.5, "B8A": -0.5, "B07": -0.4, "B06": -0.3, "B11": -0.6, "B12": -0.6}
SHADED = dict.fromkeys(BANDS, -0.5) | {"B02": -0.3, "B03": -0.35, "B04": -0.4}


def test_seasons_are_explained_and_a_building_site_is_not():
    past = landscape()
    quiet_model, quiet = score(records(season(past)), records(past))
    assert np.median(quiet) == pytest.approx(0, abs=0.2)
    assert np.quantile(quiet, 0.99) < 6
    _, found = score(records(fall(season(past), CHANGED, 3, BUILT)), records(past))
    assert set(np.argsort(-found)[: len(CHANGED)]) == set(CHANGED)
    assert found[CHANGED].min() > 2 * quiet.max()
    assert quiet_model.loss_weight < 0.01
    assert quiet_model.water_weight < 0.01


@pytest.mark.parametrize(
    ("change", "loss", "water"), [(BURNT, True, False), (FLOODED, False, True), (SHADED, False, False)]
)
def test_signed_evidence_knows_fire_from_flood_from_shadow(change, loss, water):
    past = landscape()
    model, _ = score(records(fall(season(past), np.arange(60), 8, change)), records(past))
    assert (model.loss_weight > 0.3) == loss
    assert (model.water_weight > 0.3) == water


def test_what_the_season_makes_in_both_directions_counts_for_nothing():
    past = landscape()
    balanced = fall(fall(past, np.arange(60), 8, FLOODED), np.arange(60, 120), 8, {k: -v for k, v in FLOODED.items()})
    model, _ = score(records(balanced), records(past))
    assert model.water_weight < 0.05


def test_invalid_sub_cells_neither_alarm_nor_teach():
    past = landscape()
    valid = np.ones((CELLS, 64), bool)
    hidden = np.zeros((8, 8), bool)
    hidden[:3, :3] = True
    valid[CHANGED] = ~hidden.reshape(-1)
    clouded = fall(season(past), CHANGED, 3, dict.fromkeys(BANDS, 1.5))
    _, found = score(records(clouded, valid), records(past))
    _, quiet = score(records(season(past)), records(past))
    assert np.abs(found - quiet).max() < 3


def weights(now, *history, k=3):
    fitted = [fit_pair(now, past, RULE, BANDS, STATISTICS, STATISTICS, None)[1] for past in history]
    return weigh([(np.ones(len(now), bool), one) for one in fitted], k, RULE)


def test_what_is_new_counts_against_every_past_and_a_season_does_not():
    past = landscape()
    dry_season = records(fall(season(past), np.arange(60), 8, BURNT))  # once a year the same fields wither
    burnt = records(fall(season(past, seed=7), np.arange(60), 8, BURNT))
    green = [records(past), records(season(past, seed=5))]
    assert weights(burnt, *green)[0] > 0.3
    assert weights(burnt, green[0], dry_season)[0] < 0.1
    assert weights(burnt, *green, dry_season, k=2)[0] > 0.3  # beyond the history that counts
    assert weigh([], 3, RULE) == (0.0, 0.0, 0.0, 0.0)


def test_cells_hidden_in_one_past_pass_are_weighed_by_the_others():
    past = landscape()
    burnt = records(fall(season(past), np.arange(60), 8, BURNT))
    history = [records(past), records(season(past, seed=5)), records(season(past, seed=6))]
    whole = weights(burnt, *history)[0]
    seen = np.arange(CELLS) % 3 != 0
    fitted = [fit_pair(burnt[seen], history[0][seen], RULE, BANDS, STATISTICS, STATISTICS, None)[1]]
    fitted += [fit_pair(burnt, one, RULE, BANDS, STATISTICS, STATISTICS, None)[1] for one in history[1:]]
    everywhere = np.ones(CELLS, bool)
    part = weigh(list(zip([seen, everywhere, everywhere], fitted, strict=True)), 3, RULE)[0]
    assert part == pytest.approx(whole, abs=0.1)


def test_a_model_survives_json_exactly():
    import json

    past = landscape()
    model, before = score(records(season(past)), records(past))
    again = PairModel.from_dict(json.loads(json.dumps(model.to_dict())))
    comparison = Comparison(again, RULE, BANDS, STATISTICS, STATISTICS)
    after = np.sinh(comparison.unexplained(Pair(records(season(past))).against(records(past)), None))
    assert (after == before).all()


def test_too_few_common_cells_are_not_compared():
    few = records(landscape()[:5])
    assert fit_pair(few, few, RULE, BANDS, STATISTICS, STATISTICS, None) is None


def test_without_infrared_there_is_no_signed_evidence():
    rgbn = BAND_SETS["rgbn"]
    assert Signed.for_bands(rgbn, STATISTICS[: len(rgbn)], STATISTICS[: len(rgbn)]) is None


def test_falls_are_physical():
    past = landscape()
    signed = Signed.for_bands(BANDS, STATISTICS, STATISTICS)
    darker = past.copy()
    darker[:, BANDS.index("B08")] -= 0.24
    falls = signed.falls(Pair(records(darker)).against(records(past)))
    assert np.median(falls["B08"]) == pytest.approx(0.24, abs=0.01)
    assert np.median(falls["B12"]) == pytest.approx(0.0, abs=0.01)
