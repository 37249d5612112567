"""The main job on generated passes: the changed cell comes first, revisits are exact, broken-off runs continue."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from onboard.cli.detect import main
from onboard.downlink.product import decode
from onboard.store import Store
from tests.scenes import BANDS, changed, landscape, noisy, three_passes, write_pass

CELL_CHANGED = (2, 5)


def run(*args: object) -> int:
    return main([str(a) for a in args])


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def scores(out: Path) -> np.ndarray:
    with rasterio.open(out / "score.tif") as dataset:
        return dataset.read()


def test_the_changed_cell_is_first_and_its_product_holds_the_original_pixels(tmp_path):
    stream = three_passes(tmp_path / "in", CELL_CHANGED)
    assert run(stream, "--out", tmp_path / "out", "--budget-mb", 0.05, "--geotiff") == 0
    found = json.loads((tmp_path / "out/detections.geojson").read_text())["features"]
    best = found[0]["properties"]
    assert (best["row"], best["col"]) == CELL_CHANGED
    assert best["rank"] == 1
    assert best["product_id"].endswith("20230121")
    product = decode((tmp_path / "out/products" / best["product"]).read_bytes())
    with rasterio.open(tmp_path / "in/S2_20230121.tif") as dataset:
        window = rasterio.windows.Window(5 * 32, 2 * 32, 32, 32)
        assert (product.dn == dataset.read(window=window)).all()
    assert [band.name for band in product.bands] == list(BANDS)
    tif = (tmp_path / "out/products" / best["product"]).with_suffix(".tif")
    with rasterio.open(tif) as dataset:
        assert (dataset.read() == product.dn).all()
    sizes = [f["properties"]["bytes"] for f in found]
    assert sum(sizes) <= 50_000
    assert (tmp_path / "out/report.html").stat().st_size > 10_000
    assert summary(tmp_path / "out")["counters"] == {}


def test_a_finished_acquisition_is_skipped_and_the_outputs_stay_the_same(tmp_path):
    stream = three_passes(tmp_path / "in")
    run(stream, "--out", tmp_path / "out", "--budget-mb", 0.05)
    first = (tmp_path / "out/detections.geojson").read_bytes(), scores(tmp_path / "out").tobytes()
    assert run(stream, "--out", tmp_path / "out", "--budget-mb", 0.05) == 0
    assert summary(tmp_path / "out")["counters"]["already_done"] == 3
    assert ((tmp_path / "out/detections.geojson").read_bytes(), scores(tmp_path / "out").tobytes()) == first


def test_passes_given_one_run_at_a_time_score_like_one_run(tmp_path):
    stream = three_passes(tmp_path / "in")
    run(stream, "--out", tmp_path / "whole")
    for name in ("20230101", "20230111", "20230121"):
        run(stream / f"S2_{name}.tif", "--out", tmp_path / "parts", "--store", tmp_path / "store")
    assert scores(tmp_path / "parts")[0].tobytes() == scores(tmp_path / "whole")[0].tobytes()


@pytest.mark.parametrize("offset", [-1000, 1000])
def test_the_radiometric_offset_changes_no_score(tmp_path, offset):
    place = np.maximum(landscape(), 1200)
    later = changed(noisy(place), CELL_CHANGED)
    later = np.maximum(later, 1200)
    for name, shift in (("plain", 0), ("offset", offset)):
        write_pass(tmp_path / name, "20230101", place)
        write_pass(tmp_path / name, "20230121", later, offset=shift)
        assert run(tmp_path / name, "--out", tmp_path / f"out-{name}") == 0
    assert scores(tmp_path / "out-plain").tobytes() == scores(tmp_path / "out-offset").tobytes()


def test_block_layout_and_interleaving_change_no_score(tmp_path):
    place, later = landscape(), changed(noisy(landscape()), CELL_CHANGED)
    layouts = [
        {"tiled": True, "blockxsize": 64, "blockysize": 64},
        {"tiled": False, "blockxsize": None, "blockysize": None, "interleave": "band"},
        {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "interleave": "pixel"},
    ]
    found = []
    for index, layout in enumerate(layouts):
        profile = {key: value for key, value in layout.items() if value is not None}
        if not profile["tiled"]:
            profile |= {"blockxsize": 256, "blockysize": 1}
        write_pass(tmp_path / f"{index}", "20230101", place, **profile)
        write_pass(tmp_path / f"{index}", "20230121", later, **profile)
        assert run(tmp_path / f"{index}", "--out", tmp_path / f"out{index}") == 0
        found.append(scores(tmp_path / f"out{index}").tobytes())
    assert len(set(found)) == 1


def test_a_slightly_larger_revisit_is_cropped_and_half_a_cell_is_counted(tmp_path):
    place = landscape((6, 8))
    write_pass(tmp_path / "in", "20230101", place[:, :180, :250])
    write_pass(tmp_path / "in", "20230121", noisy(place))
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    assert scores(tmp_path / "out").shape[1:] == (5, 7)
    assert summary(tmp_path / "out")["counters"]["remainder_px"] > 0


def test_first_looks_claim_nothing(tmp_path):
    write_pass(tmp_path / "in", "20230101", landscape())
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    assert np.isnan(scores(tmp_path / "out")).all()
    assert json.loads((tmp_path / "out/detections.geojson").read_text())["features"] == []


def test_masked_pixels_make_a_cell_unknown_not_changed(tmp_path):
    place = landscape()
    write_pass(tmp_path / "in", "20230101", place)
    later = noisy(place)
    later[:, 64:96, 160:192] = 0
    later[3, :32, :20] = 65535
    write_pass(tmp_path / "in", "20230121", later)
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    last = scores(tmp_path / "out")[0]
    assert np.isnan(last[2, 5])
    assert np.isnan(last[0, 0])
    assert np.isnan(last).sum() == 2


def test_a_run_killed_anywhere_continues_without_duplicates(tmp_path):
    """SIGKILL at several moments; the continued run ends like one that was never killed."""
    place = landscape((24, 24))
    for day, dn in ((1, place), (11, noisy(place, 1.1, 3)), (21, changed(noisy(place, 0.95, 4), (9, 9)))):
        write_pass(tmp_path / "in", f"202301{day:02d}", dn)
    command = [sys.executable, "-m", "onboard.cli.detect", str(tmp_path / "in"), "--budget-mb", "0.1"]
    command += ["--group-cells", "32"]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    broken = [*command, "--out", str(tmp_path / "broken")]
    kills = 0
    for delay in (0.6, 0.8, 1.0, 1.2, 1.4, 1.6):
        process = subprocess.Popen(broken, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    subprocess.run(broken, check=True, capture_output=True)
    assert scores(tmp_path / "broken").tobytes() == scores(tmp_path / "whole").tobytes()
    for name in ("detections.geojson",):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    broken_off, whole = (
        {p.name: p.read_bytes() for p in (tmp_path / d / "products").iterdir()} for d in ("broken", "whole")
    )
    assert broken_off == whole  # the thumbnail too, whoever wrote the records that it is made of
    assert kills > 0


def test_sigint_commits_what_was_looked_at_and_says_how_to_go_on(tmp_path):
    place = landscape((40, 40))
    for day in (1, 11, 21):
        write_pass(tmp_path / "in", f"202301{day:02d}", noisy(place, 1.0, day))
    command = [sys.executable, "-m", "onboard.cli.detect", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stderr is not None
    process.stderr.readline()  # the first acquisition is through
    process.send_signal(signal.SIGINT)
    text = process.stderr.read().decode()
    if process.wait() == 130:
        assert "run again to continue" in text
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    with Store(tmp_path / "out/store") as store:
        artefacts = {row.id for grid in store.state.grids() for row in store.state.acquisitions(_artefact())}
        assert len(artefacts) == 3


def _artefact() -> str:
    from onboard.infer.bundle import load_bundle

    return load_bundle("s2-10").artefact("onnx", "int8").sha256


def test_json_goes_to_stdout_and_logs_to_stderr(tmp_path, capsys):
    three_passes(tmp_path / "in")
    assert run(tmp_path / "in", "--out", tmp_path / "out", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == summary(tmp_path / "out")
    for line in err.splitlines():
        assert json.loads(line)["level"] in ("info", "warning")


def test_the_bundle_is_chosen_by_the_bands(tmp_path):
    place = landscape(bands=4)
    write_pass(tmp_path / "in", "20230101", place, ("B2", "B3", "B4", "B8"))
    write_pass(tmp_path / "in", "20230111", noisy(place), ("B2", "B3", "B4", "B8"))
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    assert summary(tmp_path / "out")["bundle"]["name"] == "rgbn"
