import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.change.rule import ScoreRule
from onboard.config import SCORE_RULES
from onboard.errors import BundleError
from onboard.infer.bundle import load_bundle, shipped_bundles

number = st.floats(-1e6, 1e6)


@given(
    st.builds(
        ScoreRule,
        rule=st.sampled_from(SCORE_RULES),
        ridge=number,
        top_fine=st.integers(1, 64),
        loss=number,
        prior=st.floats(1e-6, 0.5),
        calibration=st.tuples(number, st.floats(1e-6, 1e6)),
    )
)
def test_a_rule_survives_the_manifest_exactly(rule):
    assert ScoreRule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule


def test_what_a_manifest_leaves_out_is_the_default():
    assert ScoreRule.from_dict({}) == ScoreRule()
    assert ScoreRule.from_dict({"rule": "cosine"}).ridge == ScoreRule().ridge


@pytest.mark.parametrize("name", shipped_bundles())
def test_every_shipped_rule_is_known_and_keeps_the_ranking(name):
    rule = ScoreRule.from_dict(load_bundle(name).score)
    assert rule.calibration[1] > 0
    assert 0 < rule.prior < 1


def test_constants_and_rules_of_other_software_are_refused_by_name():
    with pytest.raises(BundleError, match="depth, width"):
        ScoreRule.from_dict({"width": 1, "ridge": 0.1, "depth": 2})
    with pytest.raises(BundleError, match="mahalanobis") as refused:
        ScoreRule.from_dict({"rule": "mahalanobis"})
    assert all(name in str(refused.value) for name in SCORE_RULES)


UNUSABLE = [
    {"calibration": ["a", "b"]},
    {"calibration": 3},
    {"calibration": [1]},
    {"calibration": [-1, -1]},  # a falling probability
    {"prior": 0},
    {"prior": 1},
    {"ridge": "much"},
]


@pytest.mark.parametrize("raw", UNUSABLE, ids=str)
def test_values_that_cannot_be_scored_with_are_refused(raw):
    with pytest.raises(BundleError):
        ScoreRule.from_dict(raw)
