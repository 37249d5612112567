"""On real imagery, where the data folder is present: the flight path, its baselines, and the sources end to end."""

import json

import numpy as np
import pytest
import rasterio

from ground.evaluation.change import evaluate_change
from onboard.cli.detect import main
from onboard.report.outcome import CellStatus

README_BASELINES = {"pixel_cosine": (16.1, 12.8), "pixel_l2": (21.9, 17.8), "cva": (34.3, 28.5)}


@pytest.fixture(scope="module")
def oscd(data_dir):
    return evaluate_change(data_dir / "oscd/labelled", "s2-10")


@pytest.mark.parametrize("method", README_BASELINES)
def test_baselines_reproduce_the_known_figures(oscd, method):
    headline, everything = README_BASELINES[method]
    assert 100 * oscd.metrics[method]["tile_ap"] == pytest.approx(headline, abs=0.5)
    assert 100 * oscd.metrics[method]["tile_ap_all"] == pytest.approx(everything, abs=0.5)


def test_cities_beat_ravaens_own_weights_and_change_vector_magnitude(oscd):
    assert len(oscd.scenes_counted) == 6
    assert oscd.metrics["ours"]["tile_ap"] >= 0.34
    assert oscd.metrics["ours"]["tile_ap"] > oscd.metrics["cva"]["tile_ap"]


def test_int8_is_within_half_a_point_of_fp32(oscd, data_dir):
    full = evaluate_change(data_dir / "oscd/labelled", "s2-10", precision="fp32", quick=True)
    assert 100 * abs(full.metrics["ours"]["tile_ap"] - oscd.metrics["ours"]["tile_ap"]) <= 0.5


def test_fires_without_knowing_that_they_are_fires(data_dir):
    found = evaluate_change(data_dir / "fires", "fire")
    assert found.metrics["ours"]["tile_ap"] >= 0.65
    assert found.metrics["ours"]["tile_ap"] > found.metrics["dnbr"]["tile_ap"]
    assert 100 * found.metrics["dnbr"]["tile_ap"] == pytest.approx(82.2, abs=0.5)
    assert 100 * found.metrics["cva"]["tile_ap"] == pytest.approx(65.0, abs=0.5)


def test_a_zipped_l1c_product_is_a_first_look(data_dir, tmp_path):
    zipped = next((data_dir / "safe").glob("*.zip"))
    assert main([str(zipped), "--out", str(tmp_path), "--bundle", "s2-10"]) == 0
    with rasterio.open(tmp_path / "status.tif") as dataset:
        status = dataset.read(1)
    assert set(np.unique(status)) <= {CellStatus.UNKNOWN, CellStatus.FIRST_LOOK}
    assert (status == CellStatus.FIRST_LOOK).any()


def test_a_partial_l2a_product_is_refused_with_what_it_lacks(data_dir, tmp_path, capsys):
    partial = next((data_dir / "safe").glob("*.SAFE"))
    assert main([str(partial), "--out", str(tmp_path)]) == 4
    assert "there is only B04_60m" in capsys.readouterr().err


def test_the_forest_series_runs_through_with_its_scene_classification(nrt_dir, tmp_path):
    cube = nrt_dir / "sentinel2_cube_subset_romania_10m.nc"
    assert main([str(cube), "--out", str(tmp_path), "--budget-mb", "0.05"]) in (0, 3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["passes"]) > 100
    assert summary["bundle"]["name"] == "rgbn"
