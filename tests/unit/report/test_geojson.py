from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from rasterio.crs import CRS

from onboard.report.geojson import feature, polygon, render, timestamp
from onboard.report.outcome import Outcome
from onboard.sense.grid import Grid


def area(ring: list[list[float]]) -> float:
    """Signed: positive is counter-clockwise."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def test_collection(outcome: Outcome) -> None:
    text = render(outcome)
    found = json.loads(text)
    assert text == render(outcome)
    assert found["type"] == "FeatureCollection"
    assert "crs" not in found  # RFC 7946: always WGS84, the member is gone
    assert [f["properties"]["rank"] for f in found["features"]] == list(range(1, len(outcome.detections) + 1))
    first = outcome.detections[0]
    assert found["features"][0]["properties"] == {
        "rank": 1,
        "score": first.score,
        "value": first.value,
        "bytes": first.size,
        "product": first.product,
        "product_id": first.product_id,
        "sensing_time": timestamp(first.sensing_time),
        "reference_times": [timestamp(first.reference_times[0])],
        "row": first.row,
        "col": first.col,
        "truth": first.truth,
    }


@pytest.mark.parametrize("up", [-10.0, 10.0])
def test_rings_are_closed_and_counter_clockwise(
    build: Callable[..., Outcome], build_grid: Any, build_pass: Any, up: float
) -> None:
    outcome = build((build_pass(1, build_grid(up=up)),))
    for item in json.loads(render(outcome))["features"]:
        (ring,) = item["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        assert area(ring) > 0
        assert all(25 < x < 27 and 43 < y < 45 for x, y in ring)


def test_without_crs_only_pixels_are_told(outcome: Outcome, build_grid: Any) -> None:
    item = feature(replace(outcome.detections[0], grid=build_grid(crs=""), row=2, col=3))
    assert item["geometry"] is None
    assert item["properties"]["pixel_bounds"] == [96, 64, 128, 96]


def test_truth_only_where_there_is_one(outcome: Outcome) -> None:
    assert "truth" not in feature(replace(outcome.detections[0], truth=None))["properties"]


def test_nan_becomes_null(outcome: Outcome) -> None:
    text = render(replace(outcome, detections=(replace(outcome.detections[0], value=math.inf, truth=math.nan),)))
    properties = json.loads(text)["features"][0]["properties"]
    assert properties["value"] is None
    assert properties["truth"] is None
    assert "NaN" not in text


def test_no_detection_is_an_empty_collection(outcome: Outcome) -> None:
    assert json.loads(render(replace(outcome, detections=())))["features"] == []


def test_a_cell_on_the_antimeridian_is_cut_in_two() -> None:
    grid = Grid(CRS.from_epsg(32660).to_wkt(), (10.0, 0.0, 833_800.0, 0.0, -10.0, 7_000.0), 64, 64)
    rings = [grid.cell_ring(0, col) for col in range(2)]
    crossing = [ring for ring in rings if max(x for x, _ in ring) - min(x for x, _ in ring) > 180]
    assert len(crossing) == 1, rings
    cut = polygon(crossing[0])
    assert cut["type"] == "MultiPolygon"
    west, east = (part[0] for part in cut["coordinates"])
    assert max(x for x, _ in west) == 180.0
    assert min(x for x, _ in east) == -180.0
    assert area(west) > 0
    assert area(east) > 0
    assert west[0] == west[-1]
    assert east[0] == east[-1]


def test_timestamps_are_utc() -> None:
    assert timestamp(datetime(2024, 3, 2, 11, 6, tzinfo=timezone(timedelta(hours=2)))) == "2024-03-02T09:06:00Z"
    assert timestamp(datetime(2024, 3, 2, 9, 6)) == "2024-03-02T09:06:00Z"
