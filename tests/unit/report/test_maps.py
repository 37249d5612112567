from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from onboard.report.colour import (
    FIRST_LOOK,
    LEVELS,
    NOT_LOOKED_AT,
    UNKNOWN,
    UNKNOWN_HATCH,
    Scale,
    paint,
    palette,
    scale_of,
)
from onboard.report.maps import CODE_MAX, cell_metres, corners, score_map
from onboard.report.outcome import CellStatus, Outcome


def test_paint_tells_every_status_apart() -> None:
    status = np.array([[0, 1, 2, 3, 3, 3]], np.uint8)
    score = np.array([[np.nan, np.nan, np.nan, 0.0, 0.5, 9.0]], np.float32)
    image = paint(status, score, Scale(0.0, 1.0), 6)
    assert image.shape == (6, 36)
    assert np.unique(image[:, :6]).tolist() == [NOT_LOOKED_AT]
    assert np.unique(image[:, 6:12]).tolist() == [UNKNOWN, UNKNOWN_HATCH]
    assert np.unique(image[:, 12:18]).tolist() == [FIRST_LOOK]
    assert [int(image[0, c]) for c in (18, 24, 30)] == [0, round(0.5 * (LEVELS - 1)), LEVELS - 1]
    table = palette()
    assert table.shape == (LEVELS + 4, 4)
    assert table[NOT_LOOKED_AT, 3] == 0
    assert table[0].tolist() == [0, 0, 4, 255]
    assert table[LEVELS - 1].tolist() == [252, 255, 164, 255]


def test_scale_survives_nothing_and_equals() -> None:
    assert scale_of(np.empty(0, np.float32)) == Scale(0.0, 1.0)
    assert scale_of(np.full(9, 2.0, np.float32)).high > 2.0
    assert scale_of(np.zeros(9, np.float32)).high > 0.0


def codes_of(markup: str) -> np.ndarray:
    found = re.search(r'data-codes="([^"]*)"', markup)
    assert found is not None
    return np.frombuffer(base64.b64decode(found[1]), "<u2")


def test_hover_codes_give_back_score_and_status(build_pass: Any) -> None:
    result = build_pass(1)
    codes = codes_of(score_map(result, (), Scale(0.0, 1.0))).reshape(result.score.shape)
    scored = result.status == CellStatus.SCORED
    low, high = float(np.nanmin(result.score)), float(np.nanmax(result.score))
    np.testing.assert_allclose(low + codes[scored] / CODE_MAX * (high - low), result.score[scored], atol=1e-5)
    np.testing.assert_array_equal(codes[~scored] - CODE_MAX - 1, result.status[~scored])


def test_north_is_up(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    southward, northward = build_pass(1, build_grid()), build_pass(1, build_grid(up=10.0))
    down, up = (codes_of(score_map(p, (), Scale(0.0, 1.0))).reshape(p.score.shape) for p in (southward, northward))
    np.testing.assert_array_equal(down, up[::-1])
    for result in (southward, northward):
        upper_left, upper_right, lower_left, _ = corners(result.grid, *result.score.shape) or []
        assert upper_left[1] > lower_left[1]
        assert upper_left[0] < upper_right[0]


def test_chosen_and_truth_are_outlined(outcome: Outcome) -> None:
    result = outcome.passes[1]
    mine = [d for d in outcome.detections if d.product_id == result.product_id]
    markup = score_map(result, mine, Scale(0.0, 1.0))
    assert 'class="chosen"' in markup
    assert 'class="truth"' in markup
    assert f"{mine[0].row},{mine[0].col}" in markup


def test_scale_bar_needs_a_crs(build_grid: Any, build_pass: Any) -> None:
    assert cell_metres(build_grid()) == 320.0
    assert "scale-bar" in score_map(build_pass(1), (), Scale(0.0, 1.0))
    assert "scale-bar" not in score_map(build_pass(1, build_grid(crs="")), (), Scale(0.0, 1.0))
