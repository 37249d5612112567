from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from onboard.report.outcome import CellStatus, Outcome
from onboard.report.summary import plain, render, summarise
from onboard.report.tally import agree, chosen_hits, count

KEYS = [
    "version", "streams", "bundle", "cells", "tiles", "wall_seconds", "tiles_per_s", "passes", "budget", "truth",
    "strips", "budgets", "timing", "counters", "refused", "settings", "outputs",
]  # fmt: skip


def test_keys_and_counts(outcome: Outcome) -> None:
    found = json.loads(render(outcome, ["detections.geojson"]))
    assert list(found) == KEYS
    assert found["tiles_per_s"] == 288.0
    assert found["outputs"] == ["detections.geojson"]
    first, second = found["passes"][:2]
    # 12 x 16 cells: the last column not looked at, the rest of row 0 unknown.
    assert {k: first[k] for k in ("cells", "scored", "unknown", "first_look", "not_looked_at")} == {
        "cells": 192, "scored": 0, "unknown": 15, "first_look": 165, "not_looked_at": 12,
    }  # fmt: skip
    assert first["score"] is None
    assert second["scored"] == 165
    assert second["score"]["max"] == pytest.approx(float(np.nanmax(outcome.passes[1].score)))
    assert found["budget"]["pixel_bytes"] == 3 * 180 * 1024 * 2 * 3
    assert found["refused"][0]["kind"] == "truncated"


def test_truth(outcome: Outcome) -> None:
    found = summarise(outcome)
    hits, known = chosen_hits(outcome.detections)
    assert (known, found["truth"]["precision_at_chosen"]) == (9, hits / 9)
    assert found["truth"]["average_precision"] > 0.9
    assert {"recall_at_1pct", "recall_at_5pct", "recall_at_10pct", "recall_at_25pct"} < set(found["truth"])
    assert found["passes"][0]["truth"]["average_precision"] is None


def test_no_truth_no_passes_no_time(build: Callable[..., Outcome], build_pass: Any) -> None:
    found = summarise(build((build_pass(1, truth=False),)))
    assert found["truth"] is None
    assert found["passes"][0]["truth"] is None
    empty = json.loads(render(build((), wall_seconds=0.0, tiles=0, budget_bytes=0, bundle={}), ()))
    assert empty["tiles_per_s"] is None
    assert empty["cells"]["total"] == 0
    assert empty["budget"] == {
        "budget_bytes": 0, "used_bytes": 0, "used_share": None, "products": 0, "mean_bytes": None, "pixel_bytes": None,
    }  # fmt: skip


def test_settings_of_any_type_become_json() -> None:
    assert plain({"a": np.float32(0.5), "b": (1, {2: np.int64(3)}), "c": float("nan"), "d": CellStatus.SCORED}) == {
        "a": 0.5, "b": [1, {"2": 3}], "c": None, "d": 3,
    }  # fmt: skip
    assert plain({"e": object}) == {"e": "<class 'object'>"}


def test_unscored_cells_do_not_count_for_agreement(build_pass: Any) -> None:
    result = build_pass(1)
    found = agree([result])
    assert found is not None
    assert found.cells == count([result]).scored
    truth = result.truth.copy()
    truth[3, 3] = np.nan
    again = agree([replace(result, truth=truth)])
    assert again is not None
    assert again.cells == found.cells - 1
