import numpy as np
import pytest

from onboard.sense.acquisition import BandInfo
from onboard.sense.normalise import NormaliseRule, band_statistics, input_table, quantised_table

RULE = NormaliseRule()


def test_a_normal_sample_gets_its_own_median_and_spread():
    rng = np.random.default_rng(0)
    dn = np.clip(np.rint(np.exp(rng.normal(np.log(1500), 0.3, 200_000))), 1, 65534).astype(int)
    found = band_statistics(np.bincount(dn, minlength=65536), BandInfo("B04"), RULE)
    assert found.median == pytest.approx(np.log(0.15 + RULE.shift), abs=0.01)
    assert found.spread == pytest.approx(0.3 * 0.15 / 0.25, rel=0.05)


def test_the_radiometric_offset_is_part_of_the_table():
    dn = np.array([500, 900, 1500, 2600, 4000])
    old, new = BandInfo("B08"), BandInfo("B08", offset=-1000.0)
    histogram, shifted = (np.bincount(d, minlength=65536) for d in (dn, dn + 1000))
    statistics = band_statistics(histogram, old, RULE)
    assert band_statistics(shifted, new, RULE) == statistics
    assert (input_table(old, statistics, RULE)[dn] == input_table(new, statistics, RULE)[dn + 1000]).all()


def test_an_empty_histogram_is_not_an_error():
    assert band_statistics(np.zeros(65536, dtype=int), BandInfo("B02"), RULE).count == 0


def test_the_quantised_table_is_the_table_within_half_a_step():
    statistics = band_statistics(np.bincount([800, 900, 1000, 1200], minlength=65536), BandInfo("B02"), RULE)
    table = input_table(BandInfo("B02"), statistics, RULE)
    scale, zero = RULE.limit / 127, 128
    back = (quantised_table(table, scale, zero).astype(float) - zero) * scale
    assert np.abs(back - np.clip(table, -128 * scale, 127 * scale)).max() <= scale / 2 + 1e-6


def test_rules_survive_json():
    assert NormaliseRule.from_dict(RULE.to_dict()) == RULE
