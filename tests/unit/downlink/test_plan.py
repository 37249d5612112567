"""The planner against exact dynamic programming, and its rules: age, expiry, fairness, what was sent before."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.downlink.plan import Offer, PlanSettings, bound, plan

NOW = datetime(2024, 5, 3, tzinfo=UTC)


def offer(key: str, worth: float, left: int, scene: int = 0, days: float = 0.0) -> Offer:
    return Offer(key, worth, left, scene, NOW - timedelta(days=days))


def optimum(offers: list[Offer], budget: int) -> float:
    """The knapsack's exact optimum, by dynamic programming over bytes."""
    best = np.zeros(budget + 1)
    for one in offers:
        if one.left <= budget:
            best[one.left :] = np.maximum(best[one.left :], best[: budget + 1 - one.left] + one.worth)
    return float(best[-1])


SMALL = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 60)), max_size=9)


@settings(max_examples=200, deadline=None)
@given(SMALL, st.integers(1, 150))
def test_with_its_filler_a_plan_is_worth_what_the_best_choice_is(parts, budget):
    offers = [offer(str(i), worth, left) for i, (worth, left) in enumerate(parts)]
    found = plan(offers, budget)
    by_key = {one.key: one for one in offers}
    best = optimum(offers, budget)
    filler = by_key[found.filler].worth if found.filler is not None else 0.0
    assert found.worth <= best + 1e-9 or found.filler is None
    assert best <= found.worth + filler + 1e-9
    assert best <= found.bound + 1e-9 and found.bound <= found.worth + filler + 1e-9
    whole = [by_key[key] for key in found.order if key != found.filler]
    assert sum(one.left for one in whole) <= budget and found.worth == pytest.approx(sum(one.worth for one in whole))
    densities = [by_key[key].worth / by_key[key].left for key in found.order]
    assert densities == sorted(densities, reverse=True)


def test_what_has_left_before_counts_no_more():
    assert plan([offer("new", 10, 100), offer("begun", 10, 20)], 200).order == ("begun", "new")


def test_age_halves_and_expiry_ends():
    offers = [offer("old", 10, 100, days=60), offer("fresh", 3, 100)]
    assert plan(offers, 200, PlanSettings(half_life_days=30)).order == ("fresh", "old")
    assert plan(offers, 200, PlanSettings(half_life_days=365)).order == ("old", "fresh")
    assert plan(offers, 200, PlanSettings(expiry_days=59)).order == ("fresh",)


def test_what_is_asked_for_is_above_all_worth_and_does_not_expire():
    asked = [
        offer("old", 1e-9, 100, days=90)._replace(priority=1),
        offer("urgent", 0.0, 100, scene=3)._replace(priority=2),
    ]
    offers = [offer("fresh", 1e9, 100, scene=1), *asked, offer("stale", 1e9, 100, days=90)]
    found = plan(offers, 1000, PlanSettings(expiry_days=60))
    assert found.order == ("urgent", "old", "fresh")
    assert plan(offers, 150).order == ("urgent", "old") and plan(offers, 150).filler == "old"


def test_no_scene_is_forgotten():
    rich = [offer(f"rich{i}", 10, 100, scene=1) for i in range(10)]
    poor = [offer(f"poor{i}", 6, 100, scene=2) for i in range(10)]
    assert all(key.startswith("rich") for key in plan(rich + poor, 1000, PlanSettings(fair=False)).order)
    order = plan(rich + poor, 1000).order
    assert order[0] == "rich0" and sum(key.startswith("poor") for key in order) == 3


def test_nothing_to_plan():
    assert plan([], 1000).order == () and plan([offer("a", 1, 1)], 0).order == ()
    assert bound([offer("a", 4, 8)], 2) == 1.0
