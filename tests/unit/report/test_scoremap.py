from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from onboard.report.outcome import CellStatus, Outcome
from onboard.report.scoremap import render


def test_scores_are_bit_identical_newest_first(outcome: Outcome) -> None:
    files = render(outcome)
    assert list(files) == ["score.tif", "status.tif"]
    with MemoryFile(files["score.tif"]) as memory, memory.open() as file:
        assert file.count == 3
        assert file.descriptions == tuple(p.product_id for p in outcome.passes[::-1])
        assert file.dtypes == ("float32",) * 3
        assert np.isnan(file.nodata)
        for band, result in enumerate(outcome.passes[::-1], start=1):
            assert file.read(band).tobytes() == result.score.tobytes()
            assert file.tags(band)["SENSING_TIME"].endswith("Z")
    with MemoryFile(files["status.tif"]) as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(1), outcome.passes[-1].status)
        assert file.tags()["STATUS_2"] == "first_look"


def test_georeference_is_one_pixel_a_cell(outcome: Outcome) -> None:
    grid = outcome.passes[0].grid
    with MemoryFile(render(outcome)["score.tif"]) as memory, memory.open() as file:
        assert file.crs == rasterio.crs.CRS.from_wkt(grid.crs)
        assert tuple(file.transform)[:6] == (320.0, 0.0, 400_000.0, 0.0, -320.0, 4_900_000.0)
        assert (file.height, file.width) == (grid.rows, grid.cols)
        assert file.tags()["BUNDLE_NAME"] == "s2-10"
        assert file.tags()["PRODUCT_IDS"] == "S2A_002,S2A_001,S2A_000"


def test_it_is_cloud_optimised(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    outcome = build((build_pass(1, build_grid(343, 343)),))
    with MemoryFile(render(outcome)["score.tif"]) as memory, memory.open() as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.block_shapes == [(256, 256)]
        assert file.overviews(1)


def test_several_places_give_several_files(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    here, there = build_grid(), build_grid(x=700_000.0)
    outcome = build((build_pass(1, here), build_pass(2, there), build_pass(3, here)))
    files = render(outcome)
    assert list(files) == ["score.tif", "status.tif", "score_2.tif", "status_2.tif"]
    with MemoryFile(files["score.tif"]) as memory, memory.open() as file:
        assert file.descriptions == ("S2A_003", "S2A_001")


def test_a_smaller_revisit_is_padded(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    large, small = build_pass(1, build_grid(12, 16)), build_pass(2, build_grid(11, 14))
    files = render(build((large, small)))
    with MemoryFile(files["score.tif"]) as memory, memory.open() as file:
        newest = file.read(1)
        assert newest.shape == (12, 16)
        assert newest[:11, :14].tobytes() == small.score.tobytes()
        assert np.isnan(newest[11]).all()
        assert file.read(2).tobytes() == large.score.tobytes()
    with MemoryFile(files["status.tif"]) as memory, memory.open() as file:
        assert (file.read(1)[11] == CellStatus.NOT_LOOKED_AT).all()


def test_without_crs_and_without_passes(build: Callable[..., Outcome], build_grid: Any, build_pass: Any) -> None:
    with MemoryFile(render(build((build_pass(1, build_grid(crs="")),)))["score.tif"]) as memory, memory.open() as file:
        assert file.crs is None
    assert render(replace(build(), passes=())) == {}


@pytest.mark.parametrize("shape", [(1, 1), (1, 343)])
def test_thin_places(build: Callable[..., Outcome], build_grid: Any, build_pass: Any, shape: tuple[int, int]) -> None:
    result = build_pass(1, build_grid(*shape), status=CellStatus.SCORED)
    with MemoryFile(render(build((result,)))["score.tif"]) as memory, memory.open() as file:
        assert file.read(1).tobytes() == result.score.tobytes()
